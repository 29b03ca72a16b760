// The MODEL argument of commands: a model directory, or a run directory, which stands for its newest
// checkpoint.
#pragma once

#include <CLI/CLI.hpp>
#include <memory>
#include <string>

#include "infer/engine.h"
#include "kernels/ctx.h"
#include "model/model.h"
#include "text/tokenizer.h"

namespace frugal::cli {

// Throws Error for a path that is neither.
std::string model_directory(const std::string& path);

// How a model is held while it runs. --attention expanded or absorbed, --cache bf16, f32 or fp8; without the first:
// absorbed where weights are quantised, which an expanded cache would dwarf, and where a type is given. --mmap.
struct HoldArgument {
  std::string attention, cache;
  bool map_files = false;
};
void add_hold_options(CLI::App* command, HoldArgument* arguments, const std::string& prefix = "");
infer::CacheForm cache_argument(const HoldArgument& arguments, const model::ModelConfig& config,
                                kernels::Operand operand);
// "bf16", "f32", or "" for what the config says. Throws Error for anything else.
kernels::Operand operand_argument(const std::string& precision, const model::ModelConfig& config);

// Throws Error if the tokenizer has ids that the model has not.
void check_tokenizer(const text::Tokenizer& tokenizer, const model::ModelConfig& config,
                     const std::string& directory);

struct LoadedModel {
  std::string directory;
  text::Tokenizer tokenizer;
  std::unique_ptr<model::Model> model;
};
// Loads both. `more_bytes` are needed beside the model (see model/model_files.h).
LoadedModel load_model_argument(kernels::Ctx& ctx, const std::string& path, const std::string& precision,
                                int64_t more_bytes = 0, bool absorbed = false, bool map_files = false);

}  // namespace frugal::cli
