// frugal data tasks: writes the built-in course of small reasoning tasks as JSONL.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/files.h"
#include "base/log.h"
#include "cli/commands.h"
#include "data/tasks.h"

namespace frugal::cli {

namespace {
struct Options {
  std::string out;
  int64_t documents = 40000;
  uint64_t seed = 1;
};

void run(const Options& o) {
  if (file_exists(o.out) || is_directory(o.out)) fail(o.out, "exists already", "name another --out");
  std::string text;
  for (const std::string& d : data::generate_tasks(o.seed, o.documents)) text += nlohmann::json{{"text", d}}.dump() + "\n";
  write_file_atomic(o.out, text);
  info("wrote {} documents, {:.1f} MB, to {}", o.documents, static_cast<double>(text.size()) * 1e-6, o.out);
}
}  // namespace

void add_data_command(CLI::App& app) {
  CLI::App* data = app.add_subcommand("data", "training data");
  data->require_subcommand(1);
  CLI::App* c = data->add_subcommand("tasks", "write small reasoning tasks with worked answers (JSONL)");
  auto o = std::make_shared<Options>();
  c->add_option("--out", o->out, "file to write")->required();
  c->add_option("--documents", o->documents, "how many")->capture_default_str()->check(CLI::Range(1, 10000000));
  c->add_option("--seed", o->seed, "same seed, same documents")->capture_default_str()->check(not_negative);
  c->callback([o] { run(*o); });
}

}  // namespace frugal::cli
