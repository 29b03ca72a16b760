#include "model/head.h"

#include <algorithm>

#include "kernels/loss.h"

namespace frugal::model {

using kernels::Accumulate;

constexpr int64_t kTokenBlock = 128;

void head_logits(kernels::Ctx& ctx, const Model& m, const float* h, int64_t rows, float* logits) {
  const Weight& w = m.head();
  FRUGAL_ASSERT(w.matrix.version == m.version, "stale head: version {} of {}", w.matrix.version, m.version);
  kernels::gemm(ctx, {h, w.in, nullptr, rows, w.matrix.forward(), logits, w.out}, Accumulate::kStore);
}

int64_t head_loss_scratch_bytes(const ModelConfig& c) {
  return (kTokenBlock + c.hidden_size) * c.vocab_size * 4 + 128;
}

void head_loss(kernels::Ctx& ctx, const Model& m, const HeadLossArgs& a, Arena* arena) {
  const Weight& w = m.head();
  const int64_t mark = arena->used();
  float* logits = arena->alloc<float>(kTokenBlock * w.out);
  const bool train = a.gradient_scale != 0;
  if (a.dh && !train) std::fill_n(a.dh, a.tokens * w.in, 0.0f);  // a step without targets
  float* dw = train ? arena->alloc<float>(w.elements()) : nullptr;
  for (int64_t t = 0; t < a.tokens; t += kTokenBlock) {
    const int64_t n = std::min(kTokenBlock, a.tokens - t);
    const float* h = a.h + t * w.in;
    head_logits(ctx, m, h, n, logits);
    if (a.logits) (*a.logits)("logits", logits, n, w.out);
    kernels::cross_entropy(ctx, logits, w.out, a.targets + t, n, a.gradient_scale, a.nll + t,
                           a.best ? a.best + t : nullptr);
    if (!train) continue;
    kernels::gemm(ctx, {logits, w.out, nullptr, n, w.matrix.backward(), a.dh + t * w.in, w.in},
                  Accumulate::kStore);
    // One product over all tokens: the unfinished accumulator continues from chunk to chunk.
    kernels::weight_gradient(ctx, {logits, w.out, h, w.in, nullptr, n, dw, w.out, w.in, w.matrix.operand},
                             t == 0 ? Accumulate::kStore : Accumulate::kContinue);
  }
  if (train) {
    float* g = a.grads + w.offset;
    const kernels::ProfileScope timed(ctx.profile, "row operations");
    ctx.pool.parallel_for(w.out, [&](int64_t begin, int64_t end, int) {
      ctx.level.add(g + begin * w.in, dw + begin * w.in, (end - begin) * w.in, g + begin * w.in);
    });
  }
  arena->rewind(mark);
}

double sum_nll(const float* nll, int64_t tokens) {
  double total = 0;
  for (int64_t t = 0; t < tokens; t += kTokenBlock) {
    double block = 0;
    for (int64_t i = t; i < std::min(tokens, t + kTokenBlock); ++i) block += static_cast<double>(nll[i]);
    total += block;
  }
  return total;
}

}  // namespace frugal::model
