// Products (docs/numerics.md, section 1). Every element of C is one fixed sequence of operations over k, so
// the partition over threads, the neighbours of a row and the level change no bit.
#pragma once

#include <functional>
#include <span>

#include "kernels/ctx.h"

namespace frugal::kernels {

inline int64_t round_up(int64_t n, int64_t multiple) { return (n + multiple - 1) / multiple * multiple; }

inline bool is_integer(Operand operand) { return operand == Operand::kInt8 || operand == Operand::kInt4; }
// Weights in groups of 128 with scales: they only multiply, and a product with them only stores.
inline bool is_grouped(Operand operand) { return is_integer(operand) || operand == Operand::kFP8; }

// The B side of a product, packed into panels: B(j,k), j < n, k < k.
struct PackedB {
  Operand operand = Operand::kF32;
  const void* data = nullptr;
  int64_t n = 0, k = 0;
  const char* operation = "products";  // in profiles; literals
  const char* name = "";
};
int64_t packed_b_bytes(int64_t n, int64_t k, Operand operand);
// Columns [first, first + n) of B; first is a multiple of kPanelCols.
PackedB columns_of(const PackedB& b, int64_t first, int64_t n);
// Packs B(j,k) = src[j][k] ("rows": a weight [out, in] for forward) or src[k][j] ("cols": the same for
// backward).
void pack_b_rows(Ctx& ctx, const float* src, int64_t ld, int64_t n, int64_t k, Operand operand, void* dst);
void pack_b_cols(Ctx& ctx, const float* src, int64_t ld, int64_t n, int64_t k, Operand operand, void* dst);

// What a Linear layer multiplies with: y = x W^T, W [out, in]. The panels are written by pack_matrix() and
// carry the version (optimizer step) of the values they were made from.
struct Matrix {
  Operand operand = Operand::kF32;
  int64_t out = 0, in = 0;
  void* panels = nullptr;             // for y = x W^T
  void* panels_transposed = nullptr;  // for dx = dy W; null when the model is not trained
  int64_t version = -1;
  const char* name = "";  // in profiles; a literal

  PackedB forward() const { return {operand, panels, out, in, "products", name}; }
  PackedB backward() const { return {operand, panels_transposed, in, out, "input gradients", name}; }
};
struct MatrixValues {
  Matrix* matrix = nullptr;
  const float* values = nullptr;  // [out, in]
};
// All of them in one go, since most are small.
void pack_matrices(Ctx& ctx, std::span<const MatrixValues> matrices, int64_t version);
// Rows [row, row + 32) into both; row is a multiple of 32. For callers that share the work out themselves.
void pack_stripe(const Level& level, const float* values, const Matrix& matrix, int64_t row);
inline void pack_matrix(Ctx& ctx, const float* values, Matrix* matrix, int64_t version) {
  const MatrixValues one{matrix, values};
  pack_matrices(ctx, {&one, 1}, version);
}

// One panel of int8 or int4 weights of up to 32 rows: row_of gives each row's numbers, in whole groups of 128 padded
// with zeros, and the scale of each group.
void pack_integers(int64_t rows, int64_t k, Operand operand, void* panel,
                   const std::function<void(int64_t row, int8_t* q, float* scale)>& row_of);
// Panels [first, last) of e4m3 weights out of the bytes of a published checkpoint, [rows, k], with a scale
// per block of 128 x 128. Missing rows are zeros.
void pack_fp8(const uint8_t* q, const float* scale, int64_t rows, int64_t k, int64_t first, int64_t last,
              void* panels);

// C[rows, n] = A B^T with A[i][k] = a[index ? index[i] : i][k].
struct GemmGroup {
  const float* a = nullptr;
  int64_t lda = 0;
  const int32_t* index = nullptr;
  int64_t rows = 0;
  PackedB b;
  float* c = nullptr;
  int64_t ldc = 0;
};
void gemm(Ctx& ctx, const GemmGroup& group, Accumulate accumulate);
// One call over all experts; groups without rows are allowed.
void grouped_gemm(Ctx& ctx, std::span<const GemmGroup> groups, Accumulate accumulate);

// dw[out, in] of a Linear layer: sum over rows t of dy[dy_index ? dy_index[t] : t][out] x[index ? index[t] :
// t][in].
struct WeightGradient {
  const float* dy = nullptr;
  int64_t ld_dy = 0;
  const float* x = nullptr;
  int64_t ldx = 0;
  const int32_t* index = nullptr;
  int64_t rows = 0;
  float* dw = nullptr;  // [out, in], contiguous
  int64_t out = 0, in = 0;
  Operand operand = Operand::kF32;
  const char* name = "";  // in profiles; a literal
  const int32_t* dy_index = nullptr;
};
void weight_gradient(Ctx& ctx, const WeightGradient& gradient, Accumulate accumulate);
void grouped_weight_gradient(Ctx& ctx, std::span<const WeightGradient> gradients, Accumulate accumulate);

inline int64_t gemm_flops(int64_t m, int64_t n, int64_t k) { return 2 * m * n * k; }

// Floats that a packed A block needs, for callers of Level::pack_a_rows / pack_a_cols.
int64_t packed_a_rows_size(int64_t rows, int64_t k);
// Where in it a row lies that is a multiple of kPanelRows.
int64_t packed_a_rows_offset(int64_t row, int64_t k);
int64_t packed_a_cols_size(int64_t rows, int64_t k);

}  // namespace frugal::kernels
