#include "cli/model_argument.h"

#include "base/error.h"
#include "base/files.h"
#include "model/model_files.h"
#include "train/checkpoint.h"

namespace frugal::cli {

std::string model_directory(const std::string& path) {
  if (!is_directory(path)) fail(path, "is not a directory", "give a model directory or a run directory");
  if (!is_directory(path + "/checkpoints")) return path;
  return train::newest_checkpoint(path);
}

bool absorbed_argument(const std::string& attention, const model::ModelConfig& config,
                       kernels::Operand operand) {
  if (attention.empty()) return config.bits > 0 || (config.fp8 && operand == kernels::Operand::kBF16);
  if (attention != "expanded" && attention != "absorbed")
    fail("--attention", "'" + attention + "' is not a form", "use expanded or absorbed");
  return attention == "absorbed";
}

kernels::Operand operand_argument(const std::string& precision, const model::ModelConfig& config) {
  if (precision.empty()) return model::stored_operand(config);
  if (precision != "bf16" && precision != "f32")
    fail("--precision", "'" + precision + "' is not implemented", "use bf16 or f32");
  return precision == "f32" ? kernels::Operand::kF32 : kernels::Operand::kBF16;
}

void check_tokenizer(const text::Tokenizer& tokenizer, const model::ModelConfig& config,
                     const std::string& directory) {
  if (tokenizer.vocab_size() > config.vocab_size)
    fail(text::Tokenizer::find(directory),
         fmt::format("{} tokens exceed the model's vocab_size of {}", tokenizer.vocab_size(),
                     config.vocab_size),
         "use the model's own tokenizer");
}

LoadedModel load_model_argument(kernels::Ctx& ctx, const std::string& path, const std::string& precision,
                                int64_t more_bytes) {
  const std::string directory = model_directory(path);
  text::Tokenizer tokenizer = text::Tokenizer::load(directory);
  const model::ModelConfig config = model::load_config(directory);
  check_tokenizer(tokenizer, config, directory);
  return {directory, tokenizer,
          model::load_model(ctx, directory, {operand_argument(precision, config), false, false, more_bytes})};
}

}  // namespace frugal::cli
