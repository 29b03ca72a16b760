#include "kernels/loss.h"

#include <algorithm>
#include <cmath>

namespace frugal::kernels {

constexpr int64_t kVocabBlock = 1024;

float log_sum_exp(const Level& level, const float* logits, int64_t n) {
  float m = 0, l = 0;
  for (int64_t at = 0; at < n; at += kVocabBlock) {
    const int64_t size = std::min(kVocabBlock, n - at);
    const float block_max = level.row_max(logits + at, size);
    const float new_max = at == 0 ? block_max : (m > block_max ? m : block_max);
    const float sum = level.exp_sum(logits + at, new_max, size, nullptr);
    l = at == 0 ? sum : std::fma(l, level.exp1(m - new_max), sum);
    m = new_max;
  }
  return m + level.log1(l);
}

int32_t argmax(const float* x, int64_t n) {
  int64_t best = 0;
  for (int64_t i = 1; i < n; ++i)
    if (x[i] > x[best]) best = i;
  return static_cast<int32_t>(best);
}

void cross_entropy(Ctx& ctx, float* logits, int64_t ld, int64_t vocab, const int32_t* targets, int64_t rows,
                   float gradient_scale, float* nll, int32_t* best) {
  const ProfileScope timed(ctx.profile, "cross-entropy",
                           {0, (gradient_scale != 0 ? 8.0 : 4.0) * static_cast<double>(rows * vocab)});
  ctx.pool.parallel_for(rows, [&](int64_t begin, int64_t end, int) {
    for (int64_t i = begin; i < end; ++i) {
      float* row = logits + i * ld;
      const int32_t target = targets[i];
      if (best) best[i] = argmax(row, vocab);
      nll[i] = 0;
      if (target < 0) {
        if (gradient_scale != 0) std::fill_n(row, vocab, 0.0f);
        continue;
      }
      const float lse = log_sum_exp(ctx.level, row, vocab);
      nll[i] = lse - row[target];
      if (gradient_scale == 0) continue;
      ctx.level.exp_scaled(row, lse, gradient_scale, vocab, row);
      row[target] = row[target] - gradient_scale;
    }
  });
}

}  // namespace frugal::kernels
