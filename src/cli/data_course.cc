// frugal data course: writes the built-in course of questions with worked answers as JSONL.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>

#include "base/error.h"
#include "base/files.h"
#include "base/log.h"
#include "cli/commands.h"
#include "cli/data_commands.h"
#include "data/course.h"

namespace frugal::cli {

namespace {
struct DataCourseOptions {
  std::string out;
  int64_t documents = 200000;
  uint64_t seed = 1;
};

void run_data_course(const DataCourseOptions& o) {
  if (file_exists(o.out) || is_directory(o.out)) fail(o.out, "exists already", "name another --out");
  const std::string text = data::course_text(o.seed, o.documents);
  write_file_atomic(o.out, text);
  info("wrote {} documents, {:.1f} MB, to {}", o.documents, static_cast<double>(text.size()) * 1e-6, o.out);
}
}  // namespace

void add_data_course_command(CLI::App& data) {
  CLI::App* c = data.add_subcommand("course", "write questions with worked answers of eight kinds (JSONL)");
  auto o = std::make_shared<DataCourseOptions>();
  c->add_option("--out", o->out, "file to write")->required();
  c->add_option("--documents", o->documents, "how many")
      ->capture_default_str()
      ->check(CLI::Range(1, 10000000));
  c->add_option("--seed", o->seed, "same seed, same documents")->capture_default_str()->check(not_negative);
  c->callback([o] { run_data_course(*o); });
}

}  // namespace frugal::cli
