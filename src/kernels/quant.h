// Block FP8 as DeepSeek-V3 stores and multiplies it (report section 3.3; docs/numerics.md, section 1, `fp8`,
// `w8a16`). e4m3 bytes with one f32 scale per block; value = byte * scale (the files call the scale
// weight_scale_inv).
//   activations  1 x 128: a scale per row and 128 channels,  s = max(amax, 1e-4) / 448
//   weights      128 x 128: edge blocks are ragged,          s = amax / 448
// Legend: blocks(n) = ceil(n / 128).
#pragma once

#include <cstdint>

#include "kernels/ctx.h"

namespace frugal::kernels {

constexpr int64_t kQuantBlock = 128;
inline int64_t quant_blocks(int64_t n) { return (n + kQuantBlock - 1) / kQuantBlock; }

// s rounded up to a power of two: the exponent bits plus (mantissa != 0), no logarithm. s positive and
// normal.
float ue8m0_scale(float s);

// One block of n <= 128 activations; returns its scale.
float quantise_e4m3(const Level& level, const float* x, int64_t n, uint8_t* q);
// x [rows, channels] with row stride ldx -> q [rows, channels], scale [rows, blocks(channels)]. ue8m0:
// power-of-two scales (scale_fmt "ue8m0", DeepSeek-V3.1 and later).
void quantise_activations(Ctx& ctx, const float* x, int64_t ldx, int64_t rows, int64_t channels, bool ue8m0,
                          uint8_t* q, float* scale);

// w [out, in] -> q [out, in], scale_inv [blocks(out), blocks(in)]. A block without a value that a normal
// scale can represent (all zero, or amax below 448 * 2^-126) has scale 1 and zero bytes: no source defines 0
// / 0.
void quantise_weights(Ctx& ctx, const float* w, int64_t out, int64_t in, uint8_t* q, float* scale_inv);
// w = q * scale_inv, rounded to f32 once.
void dequantise_weights(Ctx& ctx, const uint8_t* q, const float* scale_inv, int64_t out, int64_t in,
                        float* w);
void dequantise_activations(Ctx& ctx, const uint8_t* q, const float* scale, int64_t rows, int64_t channels,
                            float* x);

// c [m, n] = a b^T. Each 128-block of k gives p by the bf16 rule from +0; c = fma(p, s, c), blocks ascending
// from +0.
struct BlockScaledProduct {
  int64_t m = 0, n = 0, k = 0;
  // Either e4m3 with scales (W8A8: s = s_a * s_b, rounded to f32) ...
  const uint8_t* a_q = nullptr;    // [m, k]
  const float* a_scale = nullptr;  // [m, blocks(k)]
  // ... or numbers that are rounded to bf16 (W8A16: s = s_b).
  const float* a = nullptr;        // [m, k]
  const uint8_t* b_q = nullptr;    // [n, k]
  const float* b_scale = nullptr;  // [blocks(n), blocks(k)]
  float* c = nullptr;              // [m, n]
};
// The definition, written plainly on the level's product and row kernels: it unpacks both sides on every
// call.
void block_scaled_product(Ctx& ctx, const BlockScaledProduct& product);

}  // namespace frugal::kernels
