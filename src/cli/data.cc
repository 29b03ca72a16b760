// frugal data course | build | show
#include <CLI/CLI.hpp>

#include "cli/commands.h"
#include "cli/data_commands.h"

namespace frugal::cli {

void add_data_command(CLI::App& app) {
  CLI::App* data = app.add_subcommand("data", "training data: look at it, tokenise it to disk, make some");
  data->require_subcommand(1);
  add_data_build_command(*data);
  add_data_show_command(*data);
  add_data_course_command(*data);
}

}  // namespace frugal::cli
