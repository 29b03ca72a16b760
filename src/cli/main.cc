#include <CLI/CLI.hpp>
#include <cstdio>

#include "base/build.h"
#include "base/error.h"
#include "cli/commands.h"

namespace {
// CLI11 complains first of what is missing when an unknown word stands in its place.
std::string usage_message(const CLI::App& app, const CLI::ParseError& error) {
  const CLI::App* at = &app;
  while (!at->get_subcommands().empty()) at = at->get_subcommands()[0];
  const bool needs_command = !at->get_subcommands([](const CLI::App*) { return true; }).empty();
  for (const std::string& word : at->remaining())
    if (needs_command || word.starts_with('-')) return fmt::format("unknown command or option '{}'", word);
  std::string text = error.what();
  for (char& c : text)
    if (c == '\n') c = ' ';
  return text;
}

// What stdio still holds may fail only now: a full disk, a closed pipe.
int flushed(int status) {
  if (std::fflush(stdout) == 0 && std::ferror(stdout) == 0) return status;
  std::fprintf(stderr, "frugal: standard output: cannot write; free disk space or write elsewhere\n");
  return 1;
}
}  // namespace

// Exit codes: 0 done, 1 failed, 2 wrong usage.
int main(int argc, char** argv) {
  CLI::App app{"frugal: train and run DeepSeek-V3-class language models on hardware that people have"};
  app.set_version_flag("--version", fmt::format("frugal {}", frugal::kVersion));
  app.require_subcommand(1);
  app.failure_message(CLI::FailureMessage::help);
  frugal::cli::add_tokenizer_command(app);
  frugal::cli::add_data_command(app);
  frugal::cli::add_train_command(app);
  frugal::cli::add_report_command(app);
  frugal::cli::add_generate_command(app);
  frugal::cli::add_demo_command(app);
  frugal::cli::add_chat_command(app);
  frugal::cli::add_eval_command(app);
  frugal::cli::add_inspect_command(app);
  frugal::cli::add_convert_command(app);
  frugal::cli::add_synth_command(app);
  frugal::cli::add_verify_command(app);
  frugal::cli::add_bench_command(app);
  frugal::cli::add_doctor_command(app);
  try {
    app.parse(argc, argv);
    return flushed(0);
  } catch (const CLI::Success& e) {
    return flushed(app.exit(e));
  } catch (const CLI::ParseError& e) {
    std::fprintf(stderr, "frugal: %s; `frugal --help` and `frugal COMMAND --help` list what there is\n",
                 usage_message(app, e).c_str());
    return 2;
  } catch (const frugal::cli::ExitStatus& e) {
    return flushed(e.status);
  } catch (const std::bad_alloc&) {
    std::fprintf(stderr, "frugal: out of memory; use a smaller batch or model\n");
  } catch (const std::exception& e) {
    std::fprintf(stderr, "frugal: %s\n", e.what());
  }
  return 1;
}
