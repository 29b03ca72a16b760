// RMSNorm (DeepSeek-V3 report section 2.1; config: rms_norm_eps): y = w * x / sqrt(mean(x^2) + eps), per row.
#pragma once

#include "kernels/ctx.h"

namespace frugal::kernels {

// x [T, n] with row stride ldx -> y [T, n] contiguous. r [T] receives 1 / rms (for backward), or null.
void rmsnorm(Ctx& ctx, const float* x, int64_t ldx, const float* w, float eps, int64_t tokens, int64_t n,
             float* y, float* r);

// y again from x and r, bit for bit: backward recomputes what forward did not keep.
void rmsnorm_again(Ctx& ctx, const float* x, int64_t ldx, const float* w, const float* r, int64_t tokens,
                   int64_t n, float* y);

// With g = w dy: dx += r g - x r^3 dot(g, x) / n (row stride lddx); dw += sum over tokens of dy x r, summed
// in blocks of 128 tokens, ascending (docs/numerics.md, section 5).
void rmsnorm_backward(Ctx& ctx, const float* x, int64_t ldx, const float* w, const float* r, const float* dy,
                      int64_t tokens, int64_t n, float* dx, int64_t lddx, float* dw);

}  // namespace frugal::kernels
