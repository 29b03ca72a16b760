// The forward pass with quantised activations (DeepSeek-V3 report section 3.3; what an FP8 checkpoint's
// config calls activation_scheme "dynamic"), written plainly in double: the input of every quantised
// projection is rounded to f32 and quantised per token and 128 channels, products are summed per 128-block
// and scaled, attention is un-absorbed. Slow and for verification only.
#pragma once

#include <map>
#include <vector>

#include "model/model_files.h"
#include "model/objective.h"

namespace frugal::eval {

struct W8a8Result {
  std::vector<double> logits;                       // [B T, V]
  std::map<int64_t, std::vector<int32_t>> indices;  // layer -> [B T, K]
};
// ue8m0: activation scales are rounded up to powers of two. input: every row holds input.length tokens.
W8a8Result w8a8_forward(kernels::Ctx& ctx, const model::ModelConfig& config,
                        const model::CheckpointFiles& files, const model::TokenRows& input, bool ue8m0);

}  // namespace frugal::eval
