#include "kernels/quant.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <limits>

#include "base/dtype.h"
#include "base/error.h"
#include "kernels/gemm.h"

namespace frugal::kernels {

namespace {
constexpr float kE4m3Max = 448.0f;
constexpr float kSmallestActivationMax = 1e-4f;
// Scratch slots of this file (Ctx::scratch).
enum : int { kSlotA = 0, kSlotB = 1, kSlotWide = 2, kSlotProduct = 3 };

const std::array<float, 256>& decode_table() {
  static const std::array<float, 256> table = [] {
    std::array<float, 256> t{};
    for (size_t i = 0; i < t.size(); ++i) t[i] = f32_from_e4m3(static_cast<uint8_t>(i));
    return t;
  }();
  return table;
}
void decode(const uint8_t* q, int64_t n, float* x) {
  const std::array<float, 256>& table = decode_table();
  for (int64_t i = 0; i < n; ++i) x[i] = table[q[i]];
}
void encode(const Level& level, const float* x, float scale, int64_t n, uint8_t* q) {
  std::array<float, kQuantBlock> scaled;
  level.divide(scale, x, n, scaled.data());
  for (int64_t i = 0; i < n; ++i) q[i] = e4m3_from_f32(scaled[static_cast<size_t>(i)]);
}
// A NaN stays in the maximum, so that it reaches the scale and is not lost.
float abs_max(const float* x, int64_t n, float m) {
  for (int64_t i = 0; i < n; ++i) {
    const float a = std::fabs(x[i]);
    m = a > m || a != a ? a : m;
  }
  return m;
}
}  // namespace

float ue8m0_scale(float s) {
  const uint32_t u = std::bit_cast<uint32_t>(s);
  if ((u & 0x7f800000u) == 0x7f800000u) return s;
  return std::bit_cast<float>((u & 0x7f800000u) + ((u & 0x007fffffu) != 0 ? 0x00800000u : 0u));
}

float quantise_e4m3(const Level& level, const float* x, int64_t n, uint8_t* q) {
  const float scale = abs_max(x, n, kSmallestActivationMax) / kE4m3Max;
  encode(level, x, scale, n, q);
  return scale;
}

void quantise_activations(Ctx& ctx, const float* x, int64_t ldx, int64_t rows, int64_t channels, bool ue8m0,
                          uint8_t* q, float* scale) {
  const int64_t blocks = quant_blocks(channels);
  ctx.pool.parallel_for(rows, [&](int64_t begin, int64_t end, int) {
    for (int64_t t = begin; t < end; ++t) {
      for (int64_t b = 0; b < blocks; ++b) {
        const int64_t at = b * kQuantBlock, n = std::min(kQuantBlock, channels - at);
        const float* in = x + t * ldx + at;
        const float s = abs_max(in, n, kSmallestActivationMax) / kE4m3Max;
        scale[t * blocks + b] = ue8m0 ? ue8m0_scale(s) : s;
        encode(ctx.level, in, scale[t * blocks + b], n, q + t * channels + at);
      }
    }
  });
}

void quantise_weights(Ctx& ctx, const float* w, int64_t out, int64_t in, uint8_t* q, float* scale_inv) {
  const int64_t block_columns = quant_blocks(in);
  ctx.pool.parallel_for(quant_blocks(out) * block_columns, [&](int64_t begin, int64_t end, int) {
    for (int64_t b = begin; b < end; ++b) {
      const int64_t row = b / block_columns * kQuantBlock, last_row = std::min(row + kQuantBlock, out);
      const int64_t at = b % block_columns * kQuantBlock, n = std::min(kQuantBlock, in - at);
      float amax = 0.0f;
      for (int64_t r = row; r < last_row; ++r) amax = abs_max(w + r * in + at, n, amax);
      const float s = amax / kE4m3Max;
      scale_inv[b] = s < std::numeric_limits<float>::min() ? 1.0f : s;
      for (int64_t r = row; r < last_row; ++r)
        encode(ctx.level, w + r * in + at, scale_inv[b], n, q + r * in + at);
    }
  });
}

namespace {
// Rows share their scales in groups of `rows_per_scale`.
void dequantise(Ctx& ctx, const uint8_t* q, const float* scale, int64_t rows, int64_t columns,
                int64_t rows_per_scale, float* x) {
  ctx.pool.parallel_for(rows, [&](int64_t begin, int64_t end, int) {
    for (int64_t r = begin; r < end; ++r) {
      float* out = x + r * columns;
      decode(q + r * columns, columns, out);
      const float* s = scale + r / rows_per_scale * quant_blocks(columns);
      for (int64_t at = 0; at < columns; at += kQuantBlock)
        ctx.level.scale(s[at / kQuantBlock], out + at, std::min(kQuantBlock, columns - at), out + at);
    }
  });
}
}  // namespace

void dequantise_weights(Ctx& ctx, const uint8_t* q, const float* scale_inv, int64_t out, int64_t in,
                        float* w) {
  dequantise(ctx, q, scale_inv, out, in, kQuantBlock, w);
}
void dequantise_activations(Ctx& ctx, const uint8_t* q, const float* scale, int64_t rows, int64_t channels,
                            float* x) {
  dequantise(ctx, q, scale, rows, channels, 1, x);
}

namespace {
static_assert(kQuantBlock % kPanelCols == 0 && kQuantBlock % kBf16Block == 0 && kQuantBlock <= kChunk);

// One 128-block of k: packs rows [row, row + rows) of A.
float* pack_a(Ctx& ctx, int thread, const BlockScaledProduct& p, int64_t row, int64_t rows, int64_t at,
              int64_t k) {
  float* packed = ctx.scratch<float>(thread, kSlotA, packed_a_rows_size(rows, k));
  if (p.a_q == nullptr) {
    ctx.level.pack_a_rows(p.a + row * p.k + at, p.k, nullptr, rows, k, Operand::kBF16, packed);
    return packed;
  }
  float* wide = ctx.scratch<float>(thread, kSlotWide, kBlockRows * kQuantBlock);
  for (int64_t i = 0; i < rows; ++i) decode(p.a_q + (row + i) * p.k + at, k, wide + i * k);
  ctx.level.pack_a_rows(wide, k, nullptr, rows, k, Operand::kBF16, packed);
  return packed;
}

// The columns [column, column + n) of the same block of k, n <= 128.
char* pack_b(Ctx& ctx, int thread, const BlockScaledProduct& p, int64_t column, int64_t n, int64_t at,
             int64_t k) {
  char* packed = ctx.scratch<char>(thread, kSlotB, packed_b_bytes(kQuantBlock, k, Operand::kBF16));
  float* wide = ctx.scratch<float>(thread, kSlotWide, kBlockRows * kQuantBlock);
  for (int64_t j = 0; j < n; j += kPanelCols) {
    const int64_t columns = std::min(kPanelCols, n - j);
    for (int64_t i = 0; i < columns; ++i) decode(p.b_q + (column + j + i) * p.k + at, k, wide + i * k);
    ctx.level.pack_b_rows(wide, k, columns, k, Operand::kBF16, packed + packed_b_bytes(j, k, Operand::kBF16));
  }
  return packed;
}

void product_of_rows(Ctx& ctx, int thread, const BlockScaledProduct& p, int64_t row, int64_t rows) {
  const int64_t k_blocks = quant_blocks(p.k);
  float* product = ctx.scratch<float>(thread, kSlotProduct, kBlockRows * kQuantBlock);
  std::fill_n(p.c + row * p.n, rows * p.n, 0.0f);
  for (int64_t kb = 0; kb < k_blocks; ++kb) {
    const int64_t at = kb * kQuantBlock, k = std::min(kQuantBlock, p.k - at);
    const float* a = pack_a(ctx, thread, p, row, rows, at, k);
    for (int64_t column = 0; column < p.n; column += kQuantBlock) {
      const int64_t n = std::min(kQuantBlock, p.n - column);
      ctx.level.sweep({.a = a,
                       .a_layout = ALayout::kRowMajor,
                       .rows = rows,
                       .b = pack_b(ctx, thread, p, column, n, at, k),
                       .k = k,
                       .columns = n,
                       .c = product,
                       .ldc = kQuantBlock,
                       .accumulate = Accumulate::kStore,
                       .operand = Operand::kBF16});
      const float s_b = p.b_scale[column / kQuantBlock * k_blocks + kb];
      for (int64_t i = 0; i < rows; ++i) {
        const float s = p.a_q != nullptr ? p.a_scale[(row + i) * k_blocks + kb] * s_b : s_b;
        ctx.level.add_scaled(s, product + i * kQuantBlock, n, p.c + (row + i) * p.n + column);
      }
    }
  }
}
}  // namespace

void block_scaled_product(Ctx& ctx, const BlockScaledProduct& p) {
  FRUGAL_ASSERT((p.a_q == nullptr) != (p.a == nullptr), "the left side is either e4m3 or f32");
  ctx.pool.parallel_for(p.m, [&](int64_t begin, int64_t end, int thread) {
    for (int64_t row = begin; row < end; row += kBlockRows)
      product_of_rows(ctx, thread, p, row, std::min(kBlockRows, end - row));
  });
}

}  // namespace frugal::kernels
