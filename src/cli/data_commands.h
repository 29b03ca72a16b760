// The subcommands of `frugal data`.
#pragma once

namespace CLI {
class App;
}

namespace frugal::cli {

void add_data_course_command(CLI::App& data);
void add_data_build_command(CLI::App& data);
void add_data_show_command(CLI::App& data);

}  // namespace frugal::cli
