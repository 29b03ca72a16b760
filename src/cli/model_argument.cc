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

void add_hold_options(CLI::App* c, HoldArgument* a, const std::string& prefix) {
  c->add_option("--attention", a->attention,
                prefix + "cache form of generated tokens: expanded or absorbed; default: expanded, absorbed for fp8, "
                         "int8 and int4");
  c->add_option("--cache", a->cache, prefix + "type of an absorbed cache: bf16, f32 or fp8; default: the model's");
  c->add_flag("--mmap", a->map_files,
              prefix + "int8 and int4: map the files instead of reading them into memory; starts sooner and shares them with "
                       "other processes, but decodes more slowly");
}

infer::CacheForm cache_argument(const HoldArgument& a, const model::ModelConfig& config, kernels::Operand operand) {
  if (a.attention != "" && a.attention != "expanded" && a.attention != "absorbed")
    fail("--attention", "'" + a.attention + "' is not a form", "use expanded or absorbed");
  const bool quantised = config.bits > 0 || (config.fp8 && operand == kernels::Operand::kBF16);
  infer::CacheForm form{a.attention.empty() ? quantised || !a.cache.empty() : a.attention == "absorbed"};
  if (a.cache.empty()) return form;
  if (!form.absorbed)
    fail("--cache", "an expanded cache has the model's own type", "use --attention absorbed, or leave --cache out");
  const bool fp8 = a.cache == "fp8";
  if (!fp8 && a.cache != "bf16" && a.cache != "f32") fail("--cache", "'" + a.cache + "' is not a type", "use bf16, f32 or fp8");
  form.type = fp8 ? kernels::Operand::kFP8 : a.cache == "f32" ? kernels::Operand::kF32 : kernels::Operand::kBF16;
  return form;
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
                                int64_t more_bytes, bool absorbed, bool map_files) {
  const std::string directory = model_directory(path);
  text::Tokenizer tokenizer = text::Tokenizer::load(directory);
  const model::ModelConfig config = model::load_config(directory);
  check_tokenizer(tokenizer, config, directory);
  return {directory, tokenizer,
          model::load_model(ctx, directory,
                            {operand_argument(precision, config), false, absorbed, more_bytes, map_files})};
}

}  // namespace frugal::cli
