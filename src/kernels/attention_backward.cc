#include <algorithm>

#include "kernels/attention.h"
#include "kernels/gemm.h"

namespace frugal::kernels {

// One task is one head of one sequence. For every block of 64 queries i and every block of 64 keys j <= i:
//   S = q k^T, dP = dout v^T, P = exp(S scale - lse), dS = P (dP - D) scale
//   dq_i += dS k_j, dk_j += dS^T q_i, dv_j += P^T dout_i
// Accumulators continue from block to block (i ascending for dk and dv, j ascending for dq), so each is one
// product over the whole sequence and no T x T matrix exists.
namespace {

constexpr int64_t kBlock = kPageTokens;

enum : int {
  kSlotQ = 2,
  kSlotDo,
  kSlotKeys,
  kSlotValues,
  kSlotKeyCols,
  kSlotQCols,
  kSlotDoCols,
  kSlotScores,
  kSlotP,
  kSlotRow
};

// Key-side panels of the whole sequence, per block of 64 keys.
struct KeySide {
  char* key_rows;    // B(j = key, k = dim) of k: for S
  char* value_rows;  // B(j = key, k = dim) of v: for dP
  char* key_cols;    // B(j = dim, k = key) of k: for dq
  int64_t key_rows_block, value_rows_block, key_cols_block;
};

void pack_panels(const Level& level, bool rows, const float* src, int64_t ld, int64_t n, int64_t k,
                 Operand operand, char* dst) {
  for (int64_t j = 0; j < n; j += kPanelCols) {
    const int64_t columns = std::min<int64_t>(kPanelCols, n - j);
    if (rows) {
      level.pack_b_rows(src + j * ld, ld, columns, k, operand, dst);
    } else {
      level.pack_b_cols(src + j, ld, nullptr, columns, k, operand, dst);
    }
    dst += packed_b_bytes(kPanelCols, k, operand);
  }
}

KeySide pack_keys(Ctx& ctx, int thread, const AttentionBackwardArgs& a, const AttentionSequence& s,
                  int64_t head) {
  const int64_t blocks = (s.tokens + kBlock - 1) / kBlock;
  KeySide ks{};
  ks.key_rows_block = packed_b_bytes(kBlock, a.key_dim, a.operand);
  ks.value_rows_block = packed_b_bytes(kBlock, a.value_dim, a.operand);
  ks.key_cols_block = packed_b_bytes(a.key_dim, kBlock, a.operand);
  ks.key_rows = ctx.scratch<char>(thread, kSlotKeys, blocks * ks.key_rows_block);
  ks.value_rows = ctx.scratch<char>(thread, kSlotValues, blocks * ks.value_rows_block);
  ks.key_cols = ctx.scratch<char>(thread, kSlotKeyCols, blocks * ks.key_cols_block);
  for (int64_t b = 0; b < blocks; ++b) {
    const int64_t n = std::min(kBlock, s.tokens - b * kBlock);
    const int64_t row = s.first_row + b * kBlock;
    const float* k = a.k + (row * a.heads + head) * a.key_dim;
    const float* v = a.v + row * a.v_stride + head * a.v_head_stride;
    pack_panels(ctx.level, true, k, a.heads * a.key_dim, n, a.key_dim, a.operand,
                ks.key_rows + b * ks.key_rows_block);
    pack_panels(ctx.level, true, v, a.v_stride, n, a.value_dim, a.operand,
                ks.value_rows + b * ks.value_rows_block);
    pack_panels(ctx.level, false, k, a.heads * a.key_dim, a.key_dim, n, a.operand,
                ks.key_cols + b * ks.key_cols_block);
  }
  return ks;
}

void backward_head(Ctx& ctx, int thread, const AttentionBackwardArgs& a, const AttentionSequence& s,
                   int64_t head) {
  const Level& level = ctx.level;
  const int64_t dk = a.key_dim, dv = a.value_dim;
  const int64_t ldk = a.heads * dk, ldv = a.heads * dv;
  const KeySide ks = pack_keys(ctx, thread, a, s, head);
  float* q_packed = ctx.scratch<float>(thread, kSlotQ, packed_a_rows_size(kBlock, dk));
  float* do_packed = ctx.scratch<float>(thread, kSlotDo, packed_a_rows_size(kBlock, dv));
  char* q_cols = ctx.scratch<char>(thread, kSlotQCols, packed_b_bytes(dk, kBlock, a.operand));
  char* do_cols = ctx.scratch<char>(thread, kSlotDoCols, packed_b_bytes(dv, kBlock, a.operand));
  float* scores = ctx.scratch<float>(thread, kSlotScores, 2 * kBlock * kBlock);
  float* dp = scores + kBlock * kBlock;
  float* p = ctx.scratch<float>(thread, kSlotP, 2 * packed_a_rows_size(kBlock, kBlock));
  float* ds = p + packed_a_rows_size(kBlock, kBlock);
  float* delta = ctx.scratch<float>(thread, kSlotRow, 2 * kBlock);
  float* lse = delta + kBlock;
  const int64_t base = (s.first_row * a.heads + head);
  for (int64_t i = 0; i < s.tokens; i += kBlock) {
    const int64_t rows = std::min(kBlock, s.tokens - i);
    const float* q = a.q + base * dk + i * ldk;
    const float* dout = a.dout + base * dv + i * ldv;
    level.pack_a_rows(q, ldk, nullptr, rows, dk, a.operand, q_packed);
    level.pack_a_rows(dout, ldv, nullptr, rows, dv, a.operand, do_packed);
    pack_panels(level, false, q, ldk, dk, rows, a.operand, q_cols);
    pack_panels(level, false, dout, ldv, dv, rows, a.operand, do_cols);
    for (int64_t r = 0; r < rows; ++r) {
      delta[r] = level.dot(dout + r * ldv, a.out + base * dv + (i + r) * ldv, dv);
      lse[r] = a.lse[base + (i + r) * a.heads];
    }
    for (int64_t j = 0; j <= i; j += kBlock) {
      const int64_t keys = std::min(kBlock, s.tokens - j);
      const int64_t b = j / kBlock;
      const auto product = [&](const float* packed_a, ALayout layout, int64_t m, const char* packed_b,
                               int64_t k, int64_t n, float* c, int64_t ldc, bool continued) {
        level.sweep({.a = packed_a,
                     .a_layout = layout,
                     .rows = m,
                     .b = packed_b,
                     .k = k,
                     .columns = n,
                     .c = c,
                     .ldc = ldc,
                     .accumulate = continued ? Accumulate::kContinue : Accumulate::kStore,
                     .operand = a.operand});
      };
      product(q_packed, ALayout::kRowMajor, rows, ks.key_rows + b * ks.key_rows_block, dk, keys, scores,
              kBlock, false);
      product(do_packed, ALayout::kRowMajor, rows, ks.value_rows + b * ks.value_rows_block, dv, keys, dp,
              kBlock, false);
      level.softmax_backward_tile({.rows = rows,
                                   .visible = i + 1 - j,
                                   .capacity = kBlock,
                                   .scale = a.scale,
                                   .operand = a.operand,
                                   .s = scores,
                                   .dp = dp,
                                   .lse = lse,
                                   .delta = delta,
                                   .p = p,
                                   .ds = ds});
      product(ds, ALayout::kRowMajor, rows, ks.key_cols + b * ks.key_cols_block, keys, dk,
              a.dq + base * dk + i * ldk, ldk, j > 0);
      product(ds, ALayout::kTransposed, keys, q_cols, rows, dk, a.dk + base * dk + j * ldk, ldk, i > j);
      product(p, ALayout::kTransposed, keys, do_cols, rows, dv, a.dv + base * dv + j * ldv, ldv, i > j);
    }
  }
}
}  // namespace

void attention_backward(Ctx& ctx, const AttentionBackwardArgs& args,
                        std::span<const AttentionSequence> sequences) {
  // Scores, dQ and dK over the key's width; dP and dV over the value's.
  const int64_t per_pair = 2 * (3 * args.key_dim + 2 * args.value_dim),
                per_token = 4 * (args.key_dim + args.value_dim);
  const ProfileScope timed(ctx.profile, "attention backward",
                           attention_work(sequences, args.heads, per_pair, per_token));
  const int64_t items = static_cast<int64_t>(sequences.size()) * args.heads;
  ctx.pool.run(items, [&](int64_t item, int thread) {
    backward_head(ctx, thread, args, sequences[static_cast<size_t>(item / args.heads)], item % args.heads);
  });
}

}  // namespace frugal::kernels
