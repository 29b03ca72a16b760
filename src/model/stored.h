// What a model directory holds: its tensors and their types in each stored format, counted by part of the
// model.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "model/model_files.h"

namespace frugal::model {

// Formats of a directory's matrices (README_WEIGHTS of DeepSeek-V3):
//   f32, bf16  every matrix and the embedding
//   fp8        matrices of the layers in e4m3 with a scale per 128 x 128 block; embedding, head and the MTP
//   module's
//              projection in bf16
//   int8, int4 matrices, the head included, in groups of 128 with a scale, as panels that the kernels read as
//   they
//              lie (kernels/level.h, GroupSweepArgs); kv_b_proj, the MTP module's projection and the
//              embedding in bf16
// Norms and the router's matrix are published in bf16, the router's bias in f32.
enum class StoredFormat { kF32, kBF16, kFP8, kInt8, kInt4 };
inline int64_t bits_of(StoredFormat f) {  // ModelConfig::bits
  return f == StoredFormat::kInt8 ? 8 : f == StoredFormat::kInt4 ? 4 : 0;
}

struct StoredTensor {
  std::string name;
  Dtype dtype;
  Shape shape;
  const Param* param;     // the parameter, also of a copy
  bool is_scale = false;  // weight_scale_inv of the tensor before it
  int64_t bytes() const { return shape.elements() * dtype_size(dtype); }
};
// In the order of the forward pass, scales behind their matrix, the MTP module's copies of embedding and head
// last. `weights` is what the table was built on.
std::vector<StoredTensor> stored_tensors(const ParamTable& table, const Weights& weights,
                                         StoredFormat format);

enum class Part {
  kEmbedding,
  kAttention,  // with the norms of the latents
  kDenseMlp,
  kRoutedExperts,
  kSharedExperts,
  kRouter,  // matrix and bias
  kNorms,
  kHead,
  kMtp,        // the whole module
  kMtpCopies,  // of embedding and head, which some files repeat: not parameters
};
inline constexpr int kParts = 10;
const char* part_name(Part part);

struct PartCount {
  Part part{};
  int64_t parameters = 0;
  int64_t active = 0;               // used for one token when text is continued, which needs no MTP module
  std::map<Dtype, int64_t> stored;  // bytes by type, scales included; empty without files
  int64_t bytes() const;
};
// Parts that the model has, in the order of the enum. files: null for a config without weights.
std::vector<PartCount> count_parts(const ModelConfig& config, const ParamTable& table, const Weights& weights,
                                   const CheckpointFiles* files);

// Bytes of the cache per token as the family publishes it: the latent and the shared rotated key of every
// layer, in numbers of `width` bytes. DeepSeek-V3 in bf16: 61 x 576 x 2 = 70,272.
int64_t latent_bytes_per_token(const ModelConfig& config, int64_t width);

}  // namespace frugal::model
