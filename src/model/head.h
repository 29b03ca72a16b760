// The output head and its cross-entropy: logits = h W^T, in chunks of 256 tokens x the whole vocabulary, so
// that logits of a whole batch never exist in training.
#pragma once

#include "model/model.h"

namespace frugal::model {

// logits [rows, V] of h [rows, hidden] (row stride hidden).
void head_logits(kernels::Ctx& ctx, const Model& model, const float* h, int64_t rows, float* logits);

struct HeadLossArgs {
  const float* h = nullptr;          // [T, hidden], after the norm
  const int32_t* targets = nullptr;  // [T], -1: no target
  int64_t tokens = 0;
  float gradient_scale = 0;       // 0: loss only
  float* dh = nullptr;            // [T, hidden], overwritten (zeros when gradient_scale is 0), or null
  float* grads = nullptr;         // flat, +=
  float* nll = nullptr;           // [T], 0 without a target
  int32_t* best = nullptr;        // [T] argmax, or null
  const Probe* logits = nullptr;  // receives every chunk's logits as "logits"
};
void head_loss(kernels::Ctx& ctx, const Model& model, const HeadLossArgs& args, Arena* arena);
int64_t head_loss_scratch_bytes(const ModelConfig& config);

// Sum over targets in double, blocks of 128 tokens ascending (docs/numerics.md, section 5).
double sum_nll(const float* nll, int64_t tokens);

}  // namespace frugal::model
