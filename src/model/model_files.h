// Model directories in Hugging Face layout: config.json, generation_config.json, model*.safetensors (+
// index).
#pragma once

#include <map>
#include <memory>
#include <string>

#include "base/safetensors.h"
#include "model/model.h"

namespace frugal::model {

// The safetensors shards of a directory: model.safetensors, or those that model.safetensors.index.json names.
class CheckpointFiles {
 public:
  explicit CheckpointFiles(const std::string& directory);
  const Tensor* find(const std::string& name) const;
  const std::string& file_of(const std::string& name) const;  // for messages
  std::vector<std::string> names() const;

 private:
  std::vector<std::unique_ptr<SafetensorsFile>> files_;
  std::map<std::string, std::pair<const Tensor*, const std::string*>> tensors_;
};

// f32 values of a parameter: widened, or dequantised by its `weight_scale_inv` (blocks of 128 x 128).
// Throws Error for a missing tensor or scale and for a wrong shape.
std::vector<float> read_parameter(const CheckpointFiles& files, const ModelConfig& config,
                                  const std::string& name, const Shape& shape);

struct LoadOptions {
  kernels::Operand operand = kernels::Operand::kBF16;
  bool trainable = false;
  bool absorbed = false;  // also make the matrices of the absorbed attention form
  int64_t cache_bytes =
      0;  // what the caller will allocate beside the model: refused together, before anything is read
};
// Throws Error for every tensor that is missing, superfluous or of the wrong shape.
std::unique_ptr<Model> load_model(kernels::Ctx& ctx, const std::string& directory,
                                  const LoadOptions& options);

// "f32" for checkpoints stored in float32, else "bf16".
kernels::Operand stored_operand(const ModelConfig& config);

// Writes config.json, generation_config.json and model.safetensors into an existing directory: what forward
// reads, that is matrices and embedding in bf16 (f32 models: f32), norms, gate and bias in f32. The model
// must be trainable.
void save_model(const Model& model, const std::string& directory);

}  // namespace frugal::model
