// frugal bench MODEL: prefill and decode of a model directory, beside the machine's limits.
#pragma once

#include <CLI/CLI.hpp>
#include <string>
#include <vector>

#include "cli/model_argument.h"

namespace frugal::cli {

struct ModelBenchArguments {
  std::vector<int64_t> prompts = {512}, generate = {64}, depths = {0}, batches = {1};
  int repeats = 3;
  HoldArgument hold;
  std::string precision;
  bool profile = false;
};
void add_model_bench_options(CLI::App* command, ModelBenchArguments* arguments);
void bench_model_directory(const std::string& path, const ModelBenchArguments& arguments, int threads,
                           bool json);

}  // namespace frugal::cli
