#include "eval/verify.h"

#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "cli/commands.h"
#include "eval/signature.h"

namespace frugal::cli {

namespace {
struct VerifyOptions {
  std::vector<std::string> directories;
  int threads = 0;
  bool json = false, quiet = false, signature = false;
};

void run_verify(const VerifyOptions& o) {
  kernels::Ctx ctx(o.threads);
  if (o.signature) std::fputs((eval::signature(ctx) + "\n").c_str(), stdout);
  if (o.directories.empty()) return;
  std::vector<eval::CaseReport> reports;
  bool passed = true;
  for (const std::string& directory : o.directories) {
    for (const std::string& one : eval::case_directories(directory)) {
      reports.push_back(eval::verify_directory(ctx, one));
      passed = passed && reports.back().passed();
      if (!o.quiet) eval::print_report(reports.back(), o.json);
      std::fflush(stdout);
    }
  }
  eval::print_summary(reports, o.json);
  throw ExitStatus{passed ? 0 : 1};
}
}  // namespace

void add_verify_command(CLI::App& app) {
  auto o = std::make_shared<VerifyOptions>();
  CLI::App* command = app.add_subcommand("verify", "Run golden data through this build on this machine");
  command->add_option("DIR", o->directories,
                      "Directories of golden data, or directories of such directories");
  command->add_option("--threads", o->threads, "Threads; 0: as many as the process may use")
      ->check(CLI::Range(0, 1024));
  command->add_flag("--json", o->json, "One JSON object per case, and one for the summary");
  command->add_flag("--quiet", o->quiet, "Only the summary, failures and what was not checked");
  command->add_flag("--signature", o->signature, "Print the signature of this build's numerics");
  command->callback([o] {
    if (o->directories.empty() && !o->signature) throw CLI::RequiredError("DIR or --signature");
    run_verify(*o);
  });
}

}  // namespace frugal::cli
