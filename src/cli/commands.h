// One function per subcommand: adds its options to the app. Callbacks throw frugal::Error.
#pragma once

#include <string>

namespace CLI {
class App;
}

namespace frugal::cli {

// Thrown by a command whose result is the exit status (verify); main catches it. Failures are frugal::Error.
struct ExitStatus {
  int status = 0;
};

inline constexpr int kInterrupted = 130;  // as shells say it of SIGINT

// A check for unsigned options: CLI11 reads -1 as the largest number.
inline std::string not_negative(const std::string& value) {
  return value.starts_with('-') ? "'" + value + "' is negative" : "";
}

void add_tokenizer_command(CLI::App& app);
void add_verify_command(CLI::App& app);
void add_train_command(CLI::App& app);
void add_generate_command(CLI::App& app);
void add_data_command(CLI::App& app);
void add_eval_command(CLI::App& app);
void add_bench_command(CLI::App& app);
void add_demo_command(CLI::App& app);
void add_chat_command(CLI::App& app);
void add_report_command(CLI::App& app);
void add_inspect_command(CLI::App& app);
void add_convert_command(CLI::App& app);  // and quantize
void add_synth_command(CLI::App& app);
void add_doctor_command(CLI::App& app);

}  // namespace frugal::cli
