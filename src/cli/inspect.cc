// frugal inspect MODEL: what a model is, what its files hold and whether it fits here.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>

#include "base/error.h"
#include "base/progress.h"
#include "cli/commands.h"
#include "cli/model_facts.h"
#include "model/manifest.h"

namespace frugal::cli {

namespace {
struct InspectOptions {
  std::string model;
  bool json = false, verify = false;
};

void verify(const ModelFacts& f) {
  if (!f.checksums) fail(f.source, "has no manifest.json to verify", "`frugal convert` writes one");
  ProgressLine progress;
  model::verify_manifest(f.source, [&](int64_t done) {
    progress.show(fmt::format("verifying  {:.1f} MB", static_cast<double>(done) * 1e-6));
  });
}

void run_inspect(const InspectOptions& o) {
  const ModelFacts f = gather_model_facts(o.model);
  std::fputs((o.json ? facts_as_json(f) : facts_as_text(f)).c_str(), stdout);
  std::fflush(stdout);
  if (!f.problems.empty())
    fail(f.source, fmt::format("{} of its tensors are not what config.json describes", f.problems.size()),
         f.problems[0].remedy);
  if (!o.verify) return;
  verify(f);
  if (!o.json) std::puts("every checksum of manifest.json holds");
}
}  // namespace

void add_inspect_command(CLI::App& app) {
  auto o = std::make_shared<InspectOptions>();
  CLI::App* c = app.add_subcommand(
      "inspect", "what a model is, what its files hold and whether it fits in this machine");
  c->add_option("model", o->model, "model or run directory, config.json, recipe or preset")->required();
  c->add_flag("--json", o->json, "one JSON object");
  c->add_flag("--verify", o->verify, "read all weights and compare them with manifest.json");
  c->callback([o] { run_inspect(*o); });
}

}  // namespace frugal::cli
