#include "model/head.h"

#include <algorithm>

#include "kernels/loss.h"

namespace frugal::model {

using kernels::Accumulate;

constexpr int64_t kChunkTokens =
    256;  // more would push the logits out of the cache, fewer read dW more often
static_assert(kChunkTokens % kernels::kBf16Block == 0);

namespace {
// Rows of logits start in different cache sets, also where the vocabulary is a power of two.
int64_t logits_stride(int64_t vocab) { return (vocab + 15) / 16 * 16 + 16; }

void multiply(kernels::Ctx& ctx, const Model& m, const float* h, int64_t rows, float* logits, int64_t ld) {
  const Weight& w = m.head();
  FRUGAL_ASSERT(w.matrix.version == m.version, "stale head: version {} of {}", w.matrix.version, m.version);
  kernels::gemm(ctx, {h, w.in, nullptr, rows, w.matrix.forward(), logits, ld}, Accumulate::kStore);
}

void report(const Probe& probe, const float* logits, int64_t ld, int64_t rows, int64_t vocab) {
  std::vector<float> contiguous(static_cast<size_t>(rows * vocab));
  for (int64_t t = 0; t < rows; ++t) std::copy_n(logits + t * ld, vocab, contiguous.data() + t * vocab);
  probe("logits", contiguous.data(), rows, vocab);
}
}  // namespace

void head_logits(kernels::Ctx& ctx, const Model& m, const float* h, int64_t rows, float* logits) {
  multiply(ctx, m, h, rows, logits, m.head().out);
}

int64_t head_loss_scratch_bytes(const ModelConfig& c) {
  return (kChunkTokens * logits_stride(c.vocab_size) + c.hidden_size * c.vocab_size) * 4 + 128;
}

void head_loss(kernels::Ctx& ctx, const Model& m, const HeadLossArgs& a, Arena* arena) {
  const Weight& w = m.head();
  const int64_t mark = arena->used(), ld = logits_stride(w.out);
  float* logits = arena->alloc<float>(kChunkTokens * ld);
  const bool train = a.gradient_scale != 0;
  if (a.dh && !train) std::fill_n(a.dh, a.tokens * w.in, 0.0f);  // a step without targets
  float* dw = train ? arena->alloc<float>(w.elements()) : nullptr;
  for (int64_t t = 0; t < a.tokens; t += kChunkTokens) {
    const int64_t n = std::min(kChunkTokens, a.tokens - t);
    const float* h = a.h + t * w.in;
    multiply(ctx, m, h, n, logits, ld);
    if (a.logits) report(*a.logits, logits, ld, n, w.out);
    kernels::cross_entropy(ctx, logits, ld, w.out, a.targets + t, n, a.gradient_scale, a.nll + t,
                           a.best ? a.best + t : nullptr);
    if (!train) continue;
    kernels::gemm(ctx, {logits, ld, nullptr, n, w.matrix.backward(), a.dh + t * w.in, w.in},
                  Accumulate::kStore);
    // One product over all tokens: the unfinished accumulator continues from chunk to chunk.
    kernels::weight_gradient(ctx,
                             {logits, ld, h, w.in, nullptr, n, dw, w.out, w.in, w.matrix.operand, w.label},
                             t == 0 ? Accumulate::kStore : Accumulate::kContinue);
  }
  if (train) {
    float* g = a.grads + w.offset;
    const kernels::ProfileScope timed(ctx.profile, "row operations",
                                      {0, 12.0 * static_cast<double>(w.elements())}, "gradients");
    ctx.pool.parallel_for(w.out, [&](int64_t begin, int64_t end, int) {
      ctx.level.add(g + begin * w.in, dw + begin * w.in, (end - begin) * w.in, g + begin * w.in);
    });
  }
  arena->rewind(mark);
}

double sum_nll(const float* nll, int64_t tokens) {
  constexpr int64_t kTokenBlock = 128;
  double total = 0;
  for (int64_t t = 0; t < tokens; t += kTokenBlock) {
    double block = 0;
    for (int64_t i = t; i < std::min(tokens, t + kTokenBlock); ++i) block += static_cast<double>(nll[i]);
    total += block;
  }
  return total;
}

}  // namespace frugal::model
