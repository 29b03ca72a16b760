#include <CLI/CLI.hpp>
#include <cstdio>

#include "base/error.h"
#include "cli/commands.h"

// Exit codes: 0 done, 1 failed, 2 wrong usage.
int main(int argc, char** argv) {
  CLI::App app{"frugal: train and run DeepSeek-V3-class language models on hardware that people have"};
  app.set_version_flag("--version", "frugal 0.1.0");
  app.require_subcommand(1);
  app.failure_message(CLI::FailureMessage::help);
  frugal::cli::add_tokenizer_command(app);
  frugal::cli::add_data_command(app);
  frugal::cli::add_train_command(app);
  frugal::cli::add_generate_command(app);
  frugal::cli::add_verify_command(app);
  try {
    app.parse(argc, argv);
    return 0;
  } catch (const CLI::Success& e) {
    return app.exit(e);
  } catch (const CLI::ParseError& e) {
    std::fprintf(stderr, "frugal: %s\n", e.what());
    std::fprintf(stderr, "`frugal --help` and `frugal COMMAND --help` list what there is.\n");
    return 2;
  } catch (const frugal::cli::ExitStatus& e) {
    return e.status;
  } catch (const std::bad_alloc&) {
    std::fprintf(stderr, "frugal: out of memory; use a smaller batch or model\n");
  } catch (const std::exception& e) {
    std::fprintf(stderr, "frugal: %s\n", e.what());
  }
  return 1;
}
