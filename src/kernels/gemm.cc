#include "kernels/gemm.h"

#include <algorithm>

#include "base/error.h"

namespace frugal::kernels {

namespace {
int64_t round_up(int64_t n, int64_t multiple) { return (n + multiple - 1) / multiple * multiple; }
int64_t padded(int64_t k, Operand operand) { return operand == Operand::kBF16 ? round_up(k, kBf16Block) : k; }
int64_t panel_bytes(int64_t k, Operand operand) {
  return padded(k, operand) * kPanelCols * (operand == Operand::kBF16 ? 2 : 4);
}
int64_t panel_count(int64_t n) { return (n + kPanelCols - 1) / kPanelCols; }

// Scratch slots of this file (Ctx::scratch).
enum : int { kSlotA = 0, kSlotB = 1 };

// The share of [0, total) that belongs to `thread`.
struct Share {
  int64_t begin, end;
};
Share share_of(int64_t total, int thread, int threads) {
  return {total * thread / threads, total * (thread + 1) / threads};
}

// Walks items of the given costs; calls f(item, first, last) with the part of the item's `units` units that
// fall into this thread's share of the total cost.
template <class Items, class Units, class Cost, class F>
void for_share(const Items& items, Units units, Cost cost_per_unit, int thread, int threads, F f) {
  int64_t total = 0;
  for (const auto& item : items) total += units(item) * cost_per_unit(item);
  const Share share = share_of(total, thread, threads);
  int64_t at = 0;
  for (const auto& item : items) {
    const int64_t n = units(item), cost = cost_per_unit(item);
    if (n == 0 || cost == 0) continue;
    // Unit u belongs to the thread in whose share its start lies.
    const int64_t first = std::clamp<int64_t>((share.begin - at + cost - 1) / cost, 0, n);
    const int64_t last = std::clamp<int64_t>((share.end - at + cost - 1) / cost, 0, n);
    if (share.end > at && first < last) f(item, first, last);
    at += n * cost;
  }
}
}  // namespace

int64_t packed_b_bytes(int64_t n, int64_t k, Operand operand) {
  return panel_count(n) * panel_bytes(k, operand);
}

int64_t packed_a_rows_size(int64_t rows, int64_t k) {
  return round_up(rows, kPanelRows) * (round_up(k, kChunk) / kChunk) * kChunkStride;
}
int64_t packed_a_cols_size(int64_t rows, int64_t k) {
  return round_up(rows, kPanelRows) * round_up(k, kBf16Block) + 16;
}

void pack_b_rows(Ctx& ctx, const float* src, int64_t ld, int64_t n, int64_t k, Operand operand, void* dst) {
  const ProfileScope timed(ctx.profile, "pack operands");
  ctx.pool.parallel_for(panel_count(n), [&](int64_t begin, int64_t end, int) {
    for (int64_t p = begin; p < end; ++p)
      ctx.level.pack_b_rows(src + p * kPanelCols * ld, ld, std::min<int64_t>(kPanelCols, n - p * kPanelCols),
                            k, operand, static_cast<char*>(dst) + p * panel_bytes(k, operand));
  });
}

void pack_b_cols(Ctx& ctx, const float* src, int64_t ld, int64_t n, int64_t k, Operand operand, void* dst) {
  const ProfileScope timed(ctx.profile, "pack operands");
  ctx.pool.parallel_for(panel_count(n), [&](int64_t begin, int64_t end, int) {
    for (int64_t p = begin; p < end; ++p)
      ctx.level.pack_b_cols(src + p * kPanelCols, ld, nullptr,
                            std::min<int64_t>(kPanelCols, n - p * kPanelCols), k, operand,
                            static_cast<char*>(dst) + p * panel_bytes(k, operand));
  });
}

void pack_matrix(Ctx& ctx, const float* weight, Matrix* m, int64_t version) {
  const ProfileScope timed(ctx.profile, "pack weights");
  pack_b_rows(ctx, weight, m->in, m->out, m->in, m->operand, m->panels);
  if (m->panels_transposed) pack_b_cols(ctx, weight, m->in, m->in, m->out, m->operand, m->panels_transposed);
  m->version = version;
}

namespace {
void sweep_block(Ctx& ctx, int thread, const GemmGroup& g, int64_t row, int64_t rows, int64_t first_panel,
                 int64_t last_panel, Accumulate accumulate) {
  float* a = ctx.scratch<float>(thread, kSlotA, packed_a_rows_size(rows, g.b.k));
  const float* src = g.index ? g.a : g.a + row * g.lda;
  ctx.level.pack_a_rows(src, g.lda, g.index ? g.index + row : nullptr, rows, g.b.k, g.b.operand, a);
  const int64_t column = first_panel * kPanelCols;
  ctx.level.sweep({.a = a,
                   .a_layout = ALayout::kRowMajor,
                   .rows = rows,
                   .b = static_cast<const char*>(g.b.data) + first_panel * panel_bytes(g.b.k, g.b.operand),
                   .k = g.b.k,
                   .columns = std::min(g.b.n, last_panel * kPanelCols) - column,
                   .c = g.c + row * g.ldc + column,
                   .ldc = g.ldc,
                   .accumulate = accumulate,
                   .operand = g.b.operand});
}
}  // namespace

void grouped_gemm(Ctx& ctx, std::span<const GemmGroup> groups, Accumulate accumulate) {
  double flops = 0;
  for (const GemmGroup& g : groups) flops += static_cast<double>(gemm_flops(g.rows, g.b.n, g.b.k));
  const ProfileScope timed(ctx.profile, "products", flops);
  // A unit is one panel of columns of one block of rows; a thread's units are contiguous, so it packs a block
  // once.
  ctx.pool.run([&](int thread) {
    const auto units = [](const GemmGroup& g) {
      return (g.rows + kBlockRows - 1) / kBlockRows * panel_count(g.b.n);
    };
    const auto cost = [](const GemmGroup& g) { return std::min<int64_t>(g.rows, kBlockRows) * g.b.k; };
    for_share(groups, units, cost, thread, ctx.pool.size(),
              [&](const GemmGroup& g, int64_t first, int64_t last) {
                const int64_t panels = panel_count(g.b.n);
                while (first < last) {
                  const int64_t block = first / panels;
                  const int64_t end = std::min(last, (block + 1) * panels);
                  const int64_t row = block * kBlockRows;
                  sweep_block(ctx, thread, g, row, std::min<int64_t>(kBlockRows, g.rows - row),
                              first - block * panels, end - block * panels, accumulate);
                  first = end;
                }
              });
  });
}

void gemm(Ctx& ctx, const GemmGroup& group, Accumulate accumulate) {
  grouped_gemm(ctx, {&group, 1}, accumulate);
}

namespace {
// dw rows [row0, row1) x panels [p0, p1).
void gradient_part(Ctx& ctx, int thread, const WeightGradient& w, int64_t row0, int64_t row1, int64_t p0,
                   int64_t p1, Accumulate accumulate) {
  const int64_t bytes = panel_bytes(w.rows, w.operand);
  char* b = ctx.scratch<char>(thread, kSlotB, (p1 - p0) * bytes);
  for (int64_t p = p0; p < p1; ++p)
    ctx.level.pack_b_cols(w.x + p * kPanelCols, w.ldx, w.index,
                          std::min<int64_t>(kPanelCols, w.in - p * kPanelCols), w.rows, w.operand,
                          b + (p - p0) * bytes);
  for (int64_t row = row0; row < row1; row += kBlockRows) {
    const int64_t rows = std::min<int64_t>(kBlockRows, row1 - row);
    float* a = ctx.scratch<float>(thread, kSlotA, packed_a_cols_size(rows, w.rows));
    ctx.level.pack_a_cols(w.dy + row, w.ld_dy, rows, w.rows, w.operand, a);
    ctx.level.sweep({.a = a,
                     .a_layout = ALayout::kKMajor,
                     .rows = rows,
                     .b = b,
                     .k = w.rows,
                     .columns = std::min(w.in, p1 * kPanelCols) - p0 * kPanelCols,
                     .c = w.dw + row * w.in + p0 * kPanelCols,
                     .ldc = w.in,
                     .accumulate = accumulate,
                     .operand = w.operand});
  }
}
}  // namespace

void grouped_weight_gradient(Ctx& ctx, std::span<const WeightGradient> gradients, Accumulate accumulate) {
  double flops = 0;
  for (const WeightGradient& w : gradients) flops += static_cast<double>(gemm_flops(w.rows, w.out, w.in));
  const ProfileScope timed(ctx.profile, "weight gradients", flops);
  const auto row_blocks = [](const WeightGradient& w) { return (w.out + kBlockRows - 1) / kBlockRows; };
  int64_t blocks = 0, panels = 0;
  for (const WeightGradient& w : gradients) {
    blocks += row_blocks(w);
    panels += panel_count(w.in);
    FRUGAL_ASSERT(accumulate != Accumulate::kStore || w.rows > 0, "nothing to store in a gradient of {} x {}",
                  w.out, w.in);
  }
  const int threads = ctx.pool.size();
  // Threads take whole row blocks or whole column panels, whichever splits more finely; what is shared is
  // packed by each.
  ctx.pool.run([&](int thread) {
    if (blocks >= panels) {
      for_share(
          gradients, row_blocks, [](const WeightGradient& w) { return w.in * w.rows; }, thread, threads,
          [&](const WeightGradient& w, int64_t first, int64_t last) {
            gradient_part(ctx, thread, w, first * kBlockRows, std::min(w.out, last * kBlockRows), 0,
                          panel_count(w.in), accumulate);
          });
    } else {
      for_share(
          gradients, [](const WeightGradient& w) { return panel_count(w.in); },
          [](const WeightGradient& w) { return w.out * w.rows; }, thread, threads,
          [&](const WeightGradient& w, int64_t first, int64_t last) {
            gradient_part(ctx, thread, w, 0, w.out, first, last, accumulate);
          });
    }
  });
}

void weight_gradient(Ctx& ctx, const WeightGradient& gradient, Accumulate accumulate) {
  grouped_weight_gradient(ctx, {&gradient, 1}, accumulate);
}

}  // namespace frugal::kernels
