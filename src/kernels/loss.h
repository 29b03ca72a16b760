// Softmax cross-entropy over a vocabulary, one row of logits at a time (docs/numerics.md, section 2).
#pragma once

#include "kernels/ctx.h"

namespace frugal::kernels {

// log sum exp over n logits: blocks of 1,024 ids with the online update, identical in the loss, the sampler
// and reported log-probabilities.
float log_sum_exp(const Level& level, const float* logits, int64_t n);

// For rows [0, rows) of logits [rows, vocab], ld apart: lse and nll[i] = lse - logits[target]; a target of -1
// gives nll 0. If gradient_scale != 0 the logits are replaced by gradient_scale * (softmax - onehot(target)),
// zero for target -1. best (or null) receives the argmax of every row, lower id on ties.
void cross_entropy(Ctx& ctx, float* logits, int64_t ld, int64_t vocab, const int32_t* targets, int64_t rows,
                   float gradient_scale, float* nll, int32_t* best);

int32_t argmax(const float* x, int64_t n);

}  // namespace frugal::kernels
