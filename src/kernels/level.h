// Level: one instruction set's implementation of every primitive, as a table of plain function pointers. All
// levels compute the same bits (docs/numerics.md); which one runs is chosen once, by cpuid's feature bits.
//
// A product C[i][j] = sum_k A(i,k) B(j,k) is computed from packed operands:
//   A block   up to kBlockRows rows in panels of kPanelRows rows. Three layouts, all straight copies of their
//   source:
//             kRowMajor  [panel][k / kChunk][kPanelRows][kChunkStride] (source has k contiguous),
//             kKMajor    [panel][k][kPanelRows]                        (source has rows contiguous),
//             kTransposed [k][kChunkStride]: a row-major block of up to kKeyBlock columns, read across.
//   B panel   kPanelCols columns: f32 [k][32]; bf16 [k / 2][32][2], k padded with zeros to a multiple of 32.
//             The bf16 layout is what an AMX B tile loads (16 pairs x 16 columns).
// Values of A are f32 numbers, already rounded to bf16 when the product is a bf16 one. Level amx packs the A
// of bf16 products as tiles load it (levels/tile_products.inl), in the same memory.
//
// This header is included by the level files and must stay free of inline functions (see
// levels/level_avx2.cc).
#pragma once

#include <stdint.h>

namespace frugal::kernels {

// The type in which a product takes its operands; kInt8, kInt4: of the weights, activations are int8; kFP8:
// of the weights (e4m3 with scales), activations are bf16.
enum class Operand : int { kF32, kBF16, kInt8, kInt4, kFP8 };
enum class ALayout : int { kRowMajor, kKMajor, kTransposed };
// What happens to C: overwritten; the finished product added once; or an unfinished accumulator continued.
enum class Accumulate : int { kStore, kAddFinished, kContinue };

constexpr int64_t kPanelRows = 12;     // AVX-512: 12 x 2 accumulators + 2 operands fill 32 registers
constexpr int64_t kPanelCols = 32;     // two AVX-512 registers, two AMX tiles
constexpr int64_t kBlockRows = 96;     // A rows per pass over B: at most 96 x 512 floats stay in L2 beside B
// Level amx: rows of a tile, and rows per pass, which are more because arithmetic is so fast that reading B
// is what has to be shared (about 160 rows for weights from memory).
constexpr int64_t kMostPanelRows = 16, kMostBlockRows = 192;
constexpr int64_t kChunk = 256;        // k per A chunk, so that row offsets are compile-time displacements
constexpr int64_t kChunkStride = 272;  // kChunk + one line: rows fall into different cache sets
constexpr int64_t kBf16Block = 32;     // k per block of the bf16 rule

struct SweepArgs {
  const float* a;  // packed A block
  ALayout a_layout;
  int64_t rows;          // 1 .. the level's block_rows
  const void* b;         // first packed B panel
  int64_t k;             // unpadded
  int64_t b_stride = 0;  // bytes from panel to panel; 0: they follow each other
  int64_t columns;       // columns of C, any number
  float* c;
  int64_t ldc;
  Accumulate accumulate;
  Operand operand;
};

// Products with int8 (-127 .. 127) or int4 (-7 .. 7) weights: per group of 128 k an exact int32 sum p, and
// c = fma(float(p), s_a * s_b, c), groups ascending from +0.
//   A panel of kPanelCols columns holds for every group 32 f32 scales, then the numbers, unsigned:
//     int8 [k / 4][32][4] bytes, 128 added;
//     int4 [k / 8][32][4] bytes, 8 added: k .. k + 3 in the low halves, k + 4 .. k + 7 in the high ones.
constexpr int64_t kQuantGroup = 128;
struct GroupSweepArgs {
  const int8_t*
      a;  // [rows, groups, 128], padded with zeros; memory for rows up to a multiple of kMostPanelRows
  const float* a_scale;  // [rows, groups]
  const int32_t* a_sum;  // [rows, groups]: of the numbers of a group
  int64_t rows, groups;
  const void* b;    // first panel
  int64_t columns;  // of C, any number
  float* c;         // overwritten
  int64_t ldc;
  Operand operand;
};

// Products with e4m3 weights and bf16 activations (w8a16): per group of 128 k a product p by the bf16 rule
// from +0, and c = fma(p, s_b, c), groups ascending from +0. A is packed as for SweepArgs (kRowMajor). A
// panel of kPanelCols columns holds for every group 32 f32 scales and [64][32][2] bytes.
struct Fp8SweepArgs {
  const float* a;
  int64_t rows;  // 1 .. the level's block_rows
  int64_t k;     // unpadded
  const void* b;
  int64_t columns;
  float* c;  // overwritten
  int64_t ldc;
};

// Rows of raw products s [rows, 64] of one block of keys (docs/numerics.md, section 3). Row r sees the first
// visible + r keys of the block, at most 64; rows that see none are left as they are. p and ds come out
// rounded to the operand type and as a packed A block of 64 columns and `capacity` rows (stride
// kChunkStride), zero where nothing is seen.
constexpr int64_t kKeyBlock = 64;
struct SoftmaxTile {
  int64_t rows, visible, capacity;  // capacity >= rows, at most 64
  int64_t step;  // 1: every row sees a key more than the one before it; 0: all see the same
  bool first_block;
  float scale;
  Operand operand;
  const float* s;
  float *m, *l;   // [rows] running maximum and sum
  float* factor;  // [rows] out: what O is multiplied with before P V is added; 0 in the first block
  float* p;
};
// P = exp(s scale - lse), dS = P (dP - delta) scale.
struct SoftmaxBackwardTile {
  int64_t rows, visible, capacity;
  float scale;
  Operand operand;
  const float *s, *dp;       // [rows, 64]
  const float *lse, *delta;  // [rows]
  float *p, *ds;
};

struct AdamwArgs {
  float* param;
  float* exp_avg;
  float* exp_avg_sq;
  const float* grad;
  int64_t n;
  float grad_scale, beta1, beta2, eps, learning_rate, weight_decay;
  float bias_correction1, bias_correction2;  // 1 - beta^t
};

struct Level {
  const char* name;
  bool narrow_a = false;  // A blocks of bf16 products hold bf16
  // Rows of a tile, and at most of a block, of all products but f32's.
  int64_t panel_rows = kPanelRows, block_rows = kBlockRows;

  // ---- products (levels/products.inl) ----
  void (*sweep)(const SweepArgs&);
  // Packs rows [0, rows) of A(i,k) = src[index ? index[i] : i][k]; row stride ld. dst:
  // packed_a_rows_size(rows, k) floats.
  void (*pack_a_rows)(const float* src, int64_t ld, const int32_t* index, int64_t rows, int64_t k, Operand,
                      float* dst);
  // Packs A(i,k) = src[index ? index[k] : k][i].
  void (*pack_a_cols)(const float* src, int64_t ld, const int32_t* index, int64_t rows, int64_t k, Operand,
                      float* dst);
  // Packs one B panel, B(j,k) = src[j][k], columns <= 32 (missing ones are zero).
  void (*pack_b_rows)(const float* src, int64_t ld, int64_t columns, int64_t k, Operand, void* dst);
  // Packs one B panel, B(j,k) = src[index ? index[k] : k][j].
  void (*pack_b_cols)(const float* src, int64_t ld, const int32_t* index, int64_t columns, int64_t k, Operand,
                      void* dst);

  // One panel of values, 32 dimensions from `first` over 64 keys, out of the two panels of keys that begin
  // with them (absorbed MLA: the latent is the front of the key). dims: of a key from `first` on; more are
  // zero.
  void (*value_panel)(const void* keys, int64_t key_panel_bytes, int64_t first, int64_t dims, Operand,
                      void* dst);

  // ---- products with weights in groups: integers in levels/group_products.inl, e4m3 in products.inl, and
  // rounding to integers in rows.inl ----
  void (*group_sweep)(const GroupSweepArgs&);
  void (*fp8_sweep)(const Fp8SweepArgs&);
  // n numbers into whole groups of q, with a scale and the sum of q for each; limit: the largest |q|.
  void (*quantise_groups)(const float* x, int64_t n, float limit, int8_t* q, float* scale, int32_t* sum);

  // ---- rows (levels/rows.inl); n is the row's length ----
  void (*round_bf16)(const float* x, int64_t n, float* y);
  void (*narrow_bf16)(const float* x, int64_t n, uint16_t* y);  // the same as 16 bits
  void (*widen_bf16)(const uint16_t* x, int64_t n, float* y);
  void (*widen_e4m3)(const uint8_t* q, int64_t n, float scale, float* y);  // y = q * scale
  void (*add)(const float* a, const float* b, int64_t n, float* y);  // y = a + b
  void (*add_scaled)(float s, const float* x, int64_t n, float* y);  // y = fma(s, x, y)
  void (*scale)(float s, const float* x, int64_t n, float* y);       // y = s * x
  void (*divide)(float s, const float* x, int64_t n, float* y);      // y = x / s
  float (*dot)(const float* a, const float* b, int64_t n);           // 16 lanes, folded 8, 4, 2, 1
  float (*sum_squares)(const float* x, int64_t n);
  float (*row_max)(const float* x, int64_t n);
  float (*rmsnorm)(const float* x, const float* w, float eps, int64_t n, float* y);     // returns 1 / rms
  void (*rmsnorm_again)(const float* x, const float* w, float r, int64_t n, float* y);  // with its 1 / rms
  // dx += d rmsnorm; dw_sum += dy * x * r (one row of a sum over tokens).
  void (*rmsnorm_backward)(const float* x, const float* w, float r, const float* dy, int64_t n, float* dx,
                           float* dw_sum);
  // Rotates adjacent pairs by the angle (sign 1) or back (sign -1).
  void (*rope)(const float* x, const float* cos, const float* sin, float sign, int64_t pairs, float* y);
  void (*swiglu)(const float* gate, const float* up, int64_t n, float* y);  // y = silu(gate) * up
  // With a = silu(gate) up, of which weight a was used: gradients from weight dy; act = weight a (may be dy
  // itself); returns dot(a, dy), the gradient of weight.
  float (*swiglu_backward)(const float* gate, const float* up, const float* dy, float weight, int64_t n,
                           float* dgate, float* dup, float* act);
  void (*sigmoid)(const float* x, int64_t n, float* y);
  void (*softmax)(const float* x, int64_t n, float* y);
  // y = exp(x - m), unless y is null; returns the row sum.
  float (*exp_sum)(const float* x, float m, int64_t n, float* y);
  void (*exp_scaled)(const float* x, float m, float s, int64_t n, float* y);  // y = s * exp(x - m)
  float (*exp1)(float x);
  float (*log1)(float x);
  void (*softmax_tile)(const SoftmaxTile&);
  void (*softmax_backward_tile)(const SoftmaxBackwardTile&);
  // y [rows, n] = fma(y, factor[row], x); rows of x are n apart, of y ldy.
  void (*rescale_add)(const float* factor, const float* x, int64_t rows, int64_t n, float* y, int64_t ldy);
  void (*adamw)(const AdamwArgs&);
  // Nothing but reading x, n a multiple of 256, as fast as this level can; the result is of no use.
  float (*read)(const float* x, int64_t n);
  float (*read_ahead)(const float* x, int64_t n);  // the same, asking for what lies ahead
  // fma_chains independent chains of `rounds` FMAs on registers of 16: what this level can do at most.
  float (*fma_chain)(int64_t rounds);
  int fma_chains;
  // The same for tiles of bf16: `rounds` times as many products as tiles of C; operations of a round. Null
  // without tiles.
  void (*tile_chain)(int64_t rounds) = nullptr;
  double tile_chain_operations = 0;
};

const Level& level_scalar();
#if defined(__x86_64__)
const Level& level_scalar_fma();
const Level& level_avx2();
const Level& level_avx512();
void group_sweep_avx512_vnni(const GroupSweepArgs&);
const Level& level_amx();
const Level& level_amx_emulated();  // for processors with AVX-512 and without AMX
#endif

}  // namespace frugal::kernels
