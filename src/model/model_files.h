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
// Only headers are read until somebody looks at a tensor's bytes.
class CheckpointFiles {
 public:
  explicit CheckpointFiles(const std::string& directory);
  static bool exist(const std::string& directory);  // whether there is one of the two
  const Tensor* find(const std::string& name) const;
  const std::string& file_of(const std::string& name) const;  // for messages
  std::vector<std::string> names() const;
  const std::vector<std::unique_ptr<SafetensorsFile>>& shards() const { return files_; }
  // Tensors that lie in a shard without standing in the index, with their file.
  const std::map<std::string, std::string>& unlisted() const { return unlisted_; }

 private:
  std::vector<std::unique_ptr<SafetensorsFile>> files_;
  std::map<std::string, std::pair<const Tensor*, const std::string*>> tensors_;
  std::map<std::string, std::string> unlisted_;
};

// The name of the scales that belong to an F8_E4M3 matrix, and back: "" for a name that is not one of scales.
std::string scale_name(const std::string& name);
std::string scaled_name(const std::string& scale_name);

// The name of a matrix as int8 or int4 panels, and back; its shape [panels, bytes].
std::string packed_name(const std::string& name);
std::string unpacked_name(const std::string& packed_name);
Shape packed_shape(const Param& param, int64_t bits);

// What is wrong with a directory, in the words of an Error.
struct TensorProblem {
  std::string where, what, remedy;
};
// Every tensor that is missing, superfluous, of the wrong shape or type, or without its scales. Reads headers
// only.
std::vector<TensorProblem> tensor_problems(const CheckpointFiles& files, const ModelConfig& config,
                                           const ParamTable& table, const std::string& directory);
// Throws Error before a table of all parameters is built from a config.json that asks for more experts than
// there are tensors.
void refuse_more_experts_than_tensors(const CheckpointFiles& files, const ModelConfig& config,
                                      const std::string& directory);

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
  bool map_files = false;  // int8 and int4 panels lie in the mapped files, not in memory of the process's own
};
// Throws Error for every tensor that is missing, superfluous or of the wrong shape.
std::unique_ptr<Model> load_model(kernels::Ctx& ctx, const std::string& directory,
                                  const LoadOptions& options);

// "f32" for checkpoints stored in float32, else "bf16".
kernels::Operand stored_operand(const ModelConfig& config);

// The tensors of model.safetensors as a trained model is stored: matrices and embedding in bf16 (f32 models:
// f32), norms, gate and bias in f32.
struct SavedTensor {
  TensorEntry entry;
  const Param* param;  // also of a copy
};
std::vector<SavedTensor> saved_tensors(const ParamTable& table, kernels::Operand operand);
// A tensor's bytes, made from `masters` (flat, in table order). `buffer` holds them where they were rounded.
const void* saved_values(const SavedTensor& tensor, const float* masters, std::vector<uint16_t>* buffer);
// Writes config.json and generation_config.json into an existing directory.
void save_model_config(const Model& model, const std::string& directory);
// Both, and model.safetensors of the model's own masters. The model must be trainable.
void save_model(const Model& model, const std::string& directory);

}  // namespace frugal::model
