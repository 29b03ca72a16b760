#include "kernels/norm.h"

#include <algorithm>

namespace frugal::kernels {

constexpr int64_t kTokenBlock = 128;

void rmsnorm(Ctx& ctx, const float* x, int64_t ldx, const float* w, float eps, int64_t tokens, int64_t n,
             float* y, float* r) {
  const ProfileScope timed(ctx.profile, "norms", {0, 8.0 * static_cast<double>(tokens * n)});
  ctx.pool.parallel_for(tokens, [&](int64_t begin, int64_t end, int) {
    for (int64_t t = begin; t < end; ++t) {
      const float v = ctx.level.rmsnorm(x + t * ldx, w, eps, n, y + t * n);
      if (r) r[t] = v;
    }
  });
}

void rmsnorm_again(Ctx& ctx, const float* x, int64_t ldx, const float* w, const float* r, int64_t tokens,
                   int64_t n, float* y) {
  const ProfileScope timed(ctx.profile, "norms", {0, 8.0 * static_cast<double>(tokens * n)});
  ctx.pool.parallel_for(tokens, [&](int64_t begin, int64_t end, int) {
    for (int64_t t = begin; t < end; ++t) ctx.level.rmsnorm_again(x + t * ldx, w, r[t], n, y + t * n);
  });
}

void rmsnorm_backward(Ctx& ctx, const float* x, int64_t ldx, const float* w, const float* r, const float* dy,
                      int64_t tokens, int64_t n, float* dx, int64_t lddx, float* dw) {
  const ProfileScope timed(ctx.profile, "norms", {0, 16.0 * static_cast<double>(tokens * n)});
  const int64_t blocks = (tokens + kTokenBlock - 1) / kTokenBlock;
  List<float> partial = ctx.list<float>(blocks * n);
  ctx.pool.parallel_for(blocks, [&](int64_t begin, int64_t end, int) {
    for (int64_t b = begin; b < end; ++b)
      for (int64_t t = b * kTokenBlock; t < std::min(tokens, (b + 1) * kTokenBlock); ++t)
        ctx.level.rmsnorm_backward(x + t * ldx, w, r[t], dy + t * n, n, dx + t * lddx,
                                   partial.data() + b * n);
  });
  for (int64_t b = 1; b < blocks; ++b)
    ctx.level.add(partial.data(), partial.data() + b * n, n, partial.data());
  if (blocks > 0) ctx.level.add(dw, partial.data(), n, dw);
}

}  // namespace frugal::kernels
