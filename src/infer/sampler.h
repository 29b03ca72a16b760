// Sampling: one random number per (seed, stream, position) decides a token (docs/numerics.md, section 6).
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/ctx.h"

namespace frugal::infer {

struct SamplingParams {
  float temperature = 1.0f;  // 0: argmax
  int64_t top_k = 0;         // 0: off
  float top_p = 1.0f;        // (0, 1]
  float min_p = 0.0f;        // [0, 1): tokens below min_p * largest probability are dropped
  uint64_t seed = 0;
  uint64_t stream = 0;  // number of the request among those of one seed
};
// Throws Error naming the field that is out of range.
void check_sampling(const SamplingParams& params);

struct Sampled {
  int32_t token;
  float logprob;  // log softmax of the unscaled logits: equals minus the training loss of that token, bit for
                  // bit
};
// logits [vocab] of the token at `position` (its place in the sequence).
Sampled sample(const kernels::Level& level, const float* logits, int64_t vocab, const SamplingParams& params,
               int64_t position);

}  // namespace frugal::infer
