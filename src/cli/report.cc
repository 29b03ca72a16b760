// frugal report RUN... [--out FILE]
#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>

#include "cli/commands.h"
#include "report/page.h"

namespace frugal::cli {

void add_report_command(CLI::App& app) {
  struct Options {
    std::vector<std::string> runs;
    std::string out;
  };
  CLI::App* c =
      app.add_subcommand("report", "write a run's report.html anew, or one page that compares runs");
  auto o = std::make_shared<Options>();
  c->add_option("runs", o->runs, "run directories; several are drawn over one another")->required();
  c->add_option("--out", o->out, "file; default RUN/report.html, for several runs report.html");
  c->callback([o] { std::printf("%s\n", report::report_runs(o->runs, o->out).c_str()); });
}

}  // namespace frugal::cli
