#include "kernels/gemm.h"

#include <algorithm>
#include <cstring>
#include <limits>

#include "base/error.h"

namespace frugal::kernels {

namespace {
int64_t padded(int64_t k, Operand operand) { return operand == Operand::kBF16 ? round_up(k, kBf16Block) : k; }
int64_t groups_of(int64_t k) { return (k + kQuantGroup - 1) / kQuantGroup; }
int64_t panel_bytes(int64_t k, Operand operand) {
  if (is_grouped(operand))
    return groups_of(k) * kPanelCols * (4 + kQuantGroup / (operand == Operand::kInt4 ? 2 : 1));
  return padded(k, operand) * kPanelCols * (operand == Operand::kBF16 ? 2 : 4);
}
int64_t panel_count(int64_t n) { return (n + kPanelCols - 1) / kPanelCols; }

// Rows of a tile and of a block of the level.
int64_t panel_rows(const Level& level, Operand operand) {
  return operand == Operand::kF32 ? kPanelRows : level.panel_rows;
}
int64_t most_rows(const Level& level, Operand operand) {
  return operand == Operand::kF32 ? kBlockRows : level.block_rows;
}

// Scratch slots of this file (Ctx::scratch).
enum : int { kSlotA = 0, kSlotB = 1, kSlotC = 15 };

// Bytes of a block of rows as int8, and of its scales and sums.
int64_t integer_bytes(int64_t rows, int64_t k) {
  return round_up(rows, kMostPanelRows) * groups_of(k) * kQuantGroup;
}
int64_t integer_scales(int64_t rows, int64_t k) { return rows * groups_of(k); }

// Parts of a product (ThreadPool::run): several per thread where they stay large enough that packing an
// operand once more at each end costs little.
int64_t part_count(const Ctx& ctx, int64_t units) {
  constexpr int64_t kUnitsPerPart = 16;
  const int64_t threads = ctx.pool.size();
  if (threads == 1) return 1;
  return threads * std::clamp(units / (kUnitsPerPart * threads), int64_t{1}, ThreadPool::kPartsPerThread);
}

// Shares work out by cost. visit(item) calls item(units, cost per unit, arguments ...) for every piece of it,
// in order; f(thread, first, last, arguments ...) is called with units [first, last) of a piece, all of one
// part.
template <class Visit, class F>
void share_out(Ctx& ctx, Visit visit, F f) {
  int64_t all_units = 0, total = 0;
  visit([&](int64_t units, int64_t cost, auto&&...) {
    all_units += units;
    total += units * cost;
  });
  const int64_t parts = part_count(ctx, all_units);
  ctx.pool.run(parts, [&](int64_t part, int thread) {
    const int64_t begin = total * part / parts, end = total * (part + 1) / parts;
    int64_t at = 0;
    visit([&](int64_t units, int64_t cost, auto&&... arguments) {
      if (units == 0 || cost == 0) return;
      // A unit belongs to the part in which its start lies.
      const int64_t first = std::clamp<int64_t>((begin - at + cost - 1) / cost, 0, units);
      const int64_t last = std::clamp<int64_t>((end - at + cost - 1) / cost, 0, units);
      if (end > at && first < last) f(thread, first, last, arguments...);
      at += units * cost;
    });
  });
}
}  // namespace

int64_t packed_b_bytes(int64_t n, int64_t k, Operand operand) {
  return panel_count(n) * panel_bytes(k, operand);
}

PackedB columns_of(const PackedB& b, int64_t first, int64_t n) {
  FRUGAL_ASSERT(first % kPanelCols == 0 && first + n <= b.n, "columns {} to {} of {}", first, first + n, b.n);
  PackedB part = b;
  part.data = static_cast<const char*>(b.data) + packed_b_bytes(first, b.k, b.operand);
  part.n = n;
  return part;
}

// Behind the last row there is room for the rest of a tile.
int64_t packed_a_rows_size(int64_t rows, int64_t k) {
  return (round_up(rows, kPanelRows) + kMostPanelRows) * (round_up(k, kChunk) / kChunk) * kChunkStride;
}
int64_t packed_a_rows_offset(int64_t row, int64_t k) {
  FRUGAL_ASSERT(row % kPanelRows == 0, "row {} within a panel", row);
  return row * (round_up(k, kChunk) / kChunk) * kChunkStride;
}
int64_t packed_a_cols_size(int64_t rows, int64_t k) {
  return round_up(rows, kPanelRows) * round_up(k, kBf16Block) + 16;
}

namespace {
// Panels [first, last) of B(j,k) = src[j][k], or src[k][j] with `cols`.
void pack_panels(const Level& level, bool cols, const float* src, int64_t ld, int64_t n, int64_t k,
                 Operand operand, void* dst, int64_t first, int64_t last) {
  for (int64_t p = first; p < last; ++p) {
    const int64_t j = p * kPanelCols, columns = std::min(kPanelCols, n - j);
    char* panel = static_cast<char*>(dst) + p * panel_bytes(k, operand);
    if (cols)
      level.pack_b_cols(src + j, ld, nullptr, columns, k, operand, panel);
    else
      level.pack_b_rows(src + j * ld, ld, columns, k, operand, panel);
  }
}
void pack_b(Ctx& ctx, bool cols, const float* src, int64_t ld, int64_t n, int64_t k, Operand operand,
            void* dst) {
  const ProfileScope timed(ctx.profile, "pack operands");
  ctx.pool.parallel_for(panel_count(n), [&](int64_t begin, int64_t end, int) {
    pack_panels(ctx.level, cols, src, ld, n, k, operand, dst, begin, end);
  });
}
}  // namespace

void pack_b_rows(Ctx& ctx, const float* src, int64_t ld, int64_t n, int64_t k, Operand operand, void* dst) {
  pack_b(ctx, false, src, ld, n, k, operand, dst);
}
void pack_b_cols(Ctx& ctx, const float* src, int64_t ld, int64_t n, int64_t k, Operand operand, void* dst) {
  pack_b(ctx, true, src, ld, n, k, operand, dst);
}

void pack_matrices(Ctx& ctx, std::span<const MatrixValues> matrices, int64_t version) {
  Work work;
  for (const auto& [m, values] : matrices) {
    work.bytes +=
        4.0 * static_cast<double>(m->out * m->in) +
        (m->panels_transposed ? 2 : 1) * static_cast<double>(packed_b_bytes(m->out, m->in, m->operand));
    m->version = version;
  }
  const ProfileScope timed(ctx.profile, "pack weights", work);
  const auto visit = [&](auto item) {
    for (const MatrixValues& w : matrices) item(panel_count(w.matrix->out), w.matrix->in, w);
  };
  share_out(ctx, visit, [&](int, int64_t first, int64_t last, const MatrixValues& w) {
    for (int64_t stripe = first; stripe < last; ++stripe)
      pack_stripe(ctx.level, w.values, *w.matrix, stripe * kPanelCols);
  });
}

namespace {
// Row j of a panel of integers: numbers q [groups, 128] and their scales.
void put_integers(const int8_t* q, const float* scale, int64_t j, int64_t groups, Operand operand,
                  char* panel) {
  const bool int4 = operand == Operand::kInt4;
  const int64_t group_bytes = panel_bytes(kQuantGroup, operand);
  for (int64_t g = 0; g < groups; ++g, panel += group_bytes, q += kQuantGroup) {
    std::memcpy(panel + j * 4, scale + g, 4);
    uint8_t* out = reinterpret_cast<uint8_t*>(panel) + kPanelCols * 4 + j * 4;
    for (int64_t at = 0; at < kQuantGroup; at += int4 ? 8 : 4, out += kPanelCols * 4)
      for (int64_t i = 0; i < 4; ++i)
        out[i] = static_cast<uint8_t>(int4 ? (q[at + i] + 8) | (q[at + 4 + i] + 8) << 4 : q[at + i] + 128);
  }
}
}  // namespace

// Missing columns are zeros with scale 0.
void pack_integers(int64_t rows, int64_t k, Operand operand, void* panel,
                   const std::function<void(int64_t row, int8_t* q, float* scale)>& row_of) {
  const int64_t groups = groups_of(k);
  std::vector<int8_t> q(static_cast<size_t>(groups * kQuantGroup));
  std::vector<float> scale(static_cast<size_t>(groups));
  for (int64_t j = 0; j < kPanelCols; ++j) {
    if (j < rows) {
      row_of(j, q.data(), scale.data());
    } else if (j == rows) {
      std::fill(q.begin(), q.end(), int8_t{0});
      std::fill(scale.begin(), scale.end(), 0.0f);
    }
    put_integers(q.data(), scale.data(), j, groups, operand, static_cast<char*>(panel));
  }
}

void pack_stripe(const Level& level, const float* values, const Matrix& m, int64_t row) {
  const int64_t rows = std::min(kPanelCols, m.out - row);
  const float* src = values + row * m.in;
  if (is_integer(m.operand)) {
    std::vector<int32_t> sum(static_cast<size_t>(groups_of(m.in)));
    const float limit = m.operand == Operand::kInt4 ? 7.0f : 127.0f;
    return pack_integers(rows, m.in, m.operand,
                         static_cast<char*>(m.panels) + row / kPanelCols * panel_bytes(m.in, m.operand),
                         [&](int64_t j, int8_t* q, float* scale) {
                           level.quantise_groups(src + j * m.in, m.in, limit, q, scale, sum.data());
                         });
  }
  level.pack_b_rows(src, m.in, rows, m.in, m.operand,
                    static_cast<char*>(m.panels) + row / kPanelCols * panel_bytes(m.in, m.operand));
  if (!m.panels_transposed) return;
  char* dst = static_cast<char*>(m.panels_transposed) + panel_bytes(row, m.operand);
  for (int64_t j = 0; j < m.in; j += kPanelCols, dst += panel_bytes(m.out, m.operand))
    level.pack_b_cols(src + j, m.in, nullptr, std::min(kPanelCols, m.in - j), rows, m.operand, dst);
}

namespace {
constexpr int64_t kGemmDepth = 512;  // k per pass: a packed A panel and a B panel of a pass stay in L1 and L2
static_assert(kGemmDepth % kChunk == 0 && kGemmDepth % kBf16Block == 0);

const float* source_row(const GemmGroup& g, int64_t row) {
  return g.a + (g.index ? g.index[row] : row) * g.lda;
}

// The rows of A that a thread has packed last in this call. The next part, or the next expert of a single
// token, often needs them again.
struct PackedRows {
  const GemmGroup* group = nullptr;
  int64_t row = 0;
  // Whether these rows are packed already. If not, the caller packs them now.
  bool hold(const GemmGroup& g, int64_t at, int64_t rows) {
    const auto one_row = [&] {
      return rows == 1 && group->rows == 1 && group->b.k == g.b.k && group->b.operand == g.b.operand &&
             source_row(*group, row) == source_row(g, at);
    };
    const bool held = group != nullptr && ((group == &g && row == at) || one_row());
    group = &g;
    row = at;
    return held;
  }
};

// Weights of integers: the rows are quantised, then multiplied.
void integer_block(Ctx& ctx, int thread, const GemmGroup& g, int64_t row, int64_t rows, int64_t first_panel,
                   int64_t last_panel, PackedRows* packed) {
  const int64_t groups = groups_of(g.b.k), column = first_panel * kPanelCols;
  int8_t* a = ctx.scratch<int8_t>(thread, kSlotA, integer_bytes(rows, g.b.k));
  float* scale = ctx.scratch<float>(thread, kSlotB, 2 * integer_scales(rows, g.b.k));
  int32_t* sum = reinterpret_cast<int32_t*>(scale + integer_scales(rows, g.b.k));
  const bool held = packed->hold(g, row, rows);
  for (int64_t i = 0; i < rows && !held; ++i)
    ctx.level.quantise_groups(source_row(g, row + i), g.b.k, 127.0f, a + i * groups * kQuantGroup,
                              scale + i * groups, sum + i * groups);
  ctx.level.group_sweep(
      {.a = a,
       .a_scale = scale,
       .a_sum = sum,
       .rows = rows,
       .groups = groups,
       .b = static_cast<const char*>(g.b.data) + first_panel * panel_bytes(g.b.k, g.b.operand),
       .columns = std::min(g.b.n, last_panel * kPanelCols) - column,
       .c = g.c + row * g.ldc + column,
       .ldc = g.ldc,
       .operand = g.b.operand});
}

void fp8_block(Ctx& ctx, int thread, const GemmGroup& g, int64_t row, int64_t rows, int64_t first_panel,
               int64_t last_panel, PackedRows* packed) {
  const int64_t column = first_panel * kPanelCols;
  float* a = ctx.scratch<float>(thread, kSlotA, packed_a_rows_size(rows, g.b.k));
  if (!packed->hold(g, row, rows))
    ctx.level.pack_a_rows(g.index ? g.a : g.a + row * g.lda, g.lda, g.index ? g.index + row : nullptr, rows,
                          g.b.k, Operand::kBF16, a);
  ctx.level.fp8_sweep(
      {.a = a,
       .rows = rows,
       .k = g.b.k,
       .b = static_cast<const char*>(g.b.data) + first_panel * panel_bytes(g.b.k, g.b.operand),
       .columns = std::min(g.b.n, last_panel * kPanelCols) - column,
       .c = g.c + row * g.ldc + column,
       .ldc = g.ldc});
}

void sweep_block(Ctx& ctx, int thread, const GemmGroup& g, int64_t row, int64_t rows, int64_t first_panel,
                 int64_t last_panel, Accumulate accumulate, PackedRows* packed) {
  if (is_integer(g.b.operand))
    return integer_block(ctx, thread, g, row, rows, first_panel, last_panel, packed);
  if (g.b.operand == Operand::kFP8)
    return fp8_block(ctx, thread, g, row, rows, first_panel, last_panel, packed);
  const int64_t column = first_panel * kPanelCols, stride = panel_bytes(g.b.k, g.b.operand);
  const int64_t columns = std::min(g.b.n, last_panel * kPanelCols) - column;
  const char* b = static_cast<const char*>(g.b.data) + first_panel * stride;
  float* c = g.c + row * g.ldc + column;
  // The accumulators of a product to be added lie in scratch until it is finished, if it needs several
  // passes.
  const bool aside = accumulate == Accumulate::kAddFinished && g.b.k > kGemmDepth;
  float* out = aside ? ctx.scratch<float>(thread, kSlotC, most_rows(ctx.level, g.b.operand) * columns) : c;
  const int64_t ldc = aside ? columns : g.ldc;
  // One panel of rows: weights are read once, best from end to end.
  const int64_t most = rows <= panel_rows(ctx.level, g.b.operand) ? g.b.k : kGemmDepth;
  float* a = ctx.scratch<float>(thread, kSlotA, packed_a_rows_size(rows, std::min(most, g.b.k)));
  Accumulate pass = aside ? Accumulate::kStore : accumulate;
  const bool held = packed->hold(g, row, rows);
  for (int64_t k = 0; k < g.b.k; k += most) {
    const int64_t depth = std::min(most, g.b.k - k);
    const float* src = (g.index ? g.a : g.a + row * g.lda) + k;
    if (!held)
      ctx.level.pack_a_rows(src, g.lda, g.index ? g.index + row : nullptr, rows, depth, g.b.operand, a);
    ctx.level.sweep({.a = a,
                     .a_layout = ALayout::kRowMajor,
                     .rows = rows,
                     .b = b + panel_bytes(k, g.b.operand),
                     .k = depth,
                     .b_stride = stride,
                     .columns = columns,
                     .c = out,
                     .ldc = ldc,
                     .accumulate = pass,
                     .operand = g.b.operand});
    pass = Accumulate::kContinue;
  }
  if (g.b.k > most) *packed = {};  // the last pass alone lies there now
  for (int64_t r = 0; aside && r < rows; ++r)
    ctx.level.add(c + r * g.ldc, out + r * ldc, columns, c + r * g.ldc);
}
}  // namespace

namespace {
// Rows of a block: at most the level's, whole panels, and blocks of about equal size.
int64_t block_rows(const Level& level, Operand operand, int64_t rows) {
  const int64_t most = most_rows(level, operand), panel = panel_rows(level, operand);
  const int64_t blocks = (rows + most - 1) / most;
  return blocks == 0 ? panel : round_up((rows + blocks - 1) / blocks, panel);
}
}  // namespace

void grouped_gemm(Ctx& ctx, std::span<const GemmGroup> groups, Accumulate accumulate) {
  Work work;
  for (const GemmGroup& g : groups) {
    if (g.rows == 0) continue;
    FRUGAL_ASSERT(g.b.k > 0, "a product of {} x {} over nothing", g.rows, g.b.n);
    work.flops += static_cast<double>(gemm_flops(g.rows, g.b.n, g.b.k));
    work.bytes +=
        static_cast<double>(4 * g.rows * (g.b.k + g.b.n) + packed_b_bytes(g.b.n, g.b.k, g.b.operand));
  }
  if (groups.empty()) return;
  if (ctx.observer) ctx.observer(groups);
  const ProfileScope timed(ctx.profile, groups[0].b.operation, work, groups[0].b.name);
  int64_t packed = 0;
  for (const GemmGroup& g : groups) {
    if (is_grouped(g.b.operand)) {
      FRUGAL_ASSERT(accumulate == Accumulate::kStore, "a product with quantised weights that adds to C");
      continue;
    }
    packed =
        std::max({packed, packed_a_rows_size(most_rows(ctx.level, g.b.operand), std::min(g.b.k, kGemmDepth)),
                  packed_a_rows_size(panel_rows(ctx.level, g.b.operand), g.b.k)});
  }
  if (packed > 0) ctx.reserve(kSlotA, packed * static_cast<int64_t>(sizeof(float)));
  // A unit is one panel of columns of one block of rows; a thread's units are contiguous, so it packs a block
  // once. Reading the panel costs about as much as three rows.
  const auto visit = [&](auto item) {
    for (const GemmGroup& g : groups) {
      const int64_t step = block_rows(ctx.level, g.b.operand, g.rows);
      for (int64_t row = 0; row < g.rows; row += step) {
        const int64_t rows = std::min(step, g.rows - row);
        item(panel_count(g.b.n), (rows + 3) * g.b.k, g, row, rows);
      }
    }
  };
  auto packed_rows = ctx.list<PackedRows>(ctx.pool.size());
  share_out(ctx, visit,
            [&](int thread, int64_t first, int64_t last, const GemmGroup& g, int64_t row, int64_t rows) {
              sweep_block(ctx, thread, g, row, rows, first, last, accumulate,
                          &packed_rows[static_cast<size_t>(thread)]);
            });
}

void pack_fp8(const uint8_t* q, const float* scale, int64_t rows, int64_t k, int64_t first, int64_t last,
              void* panels) {
  const int64_t groups = groups_of(k);
  uint8_t* out = static_cast<uint8_t*>(panels) + first * panel_bytes(k, Operand::kFP8);
  for (int64_t p = first; p < last; ++p) {
    for (int64_t g = 0; g < groups; ++g, out += panel_bytes(kQuantGroup, Operand::kFP8)) {
      uint8_t* bytes = out + kPanelCols * 4;
      const int64_t n = std::min(kQuantGroup, k - g * kQuantGroup);
      std::memset(bytes, 0, static_cast<size_t>(kQuantGroup * kPanelCols));
      for (int64_t j = 0; j < kPanelCols; ++j) {
        const int64_t row = p * kPanelCols + j;
        float s = 0.0f;
        if (row < rows) {
          const uint8_t* in = q + row * k + g * kQuantGroup;
          bool not_numbers = false;
          for (int64_t i = 0; i < n; ++i) {
            bytes[(i / 2 * kPanelCols + j) * 2 + i % 2] = in[i];
            not_numbers |= (in[i] & 127) == 127;
          }
          // One NaN makes every product of the group so, whatever the activations: kernels need not look for
          // it.
          s = not_numbers ? std::numeric_limits<float>::quiet_NaN() : scale[row / kQuantGroup * groups + g];
        }
        std::memcpy(out + j * 4, &s, 4);
      }
    }
  }
}

void gemm(Ctx& ctx, const GemmGroup& group, Accumulate accumulate) {
  grouped_gemm(ctx, {&group, 1}, accumulate);
}

namespace {
constexpr int64_t kGradientDepth = 256;  // tokens per pass: packed A and B of a pass stay in L2
static_assert(kGradientDepth % kBf16Block == 0);

// Columns [column, column + columns) of dw, all of whose x is packed once: [pass][panel][token].
struct GradientColumns {
  int64_t column, columns;
};

void pack_gradient_columns(Ctx& ctx, const WeightGradient& w, GradientColumns part, char* b) {
  for (int64_t t = 0; t < w.rows; t += kGradientDepth) {
    const int64_t depth = std::min(kGradientDepth, w.rows - t);
    const float* x = w.x + part.column + (w.index ? 0 : t * w.ldx);
    for (int64_t j = 0; j < part.columns; j += kPanelCols, b += panel_bytes(depth, w.operand))
      ctx.level.pack_b_cols(x + j, w.ldx, w.index ? w.index + t : nullptr,
                            std::min(kPanelCols, part.columns - j), depth, w.operand, b);
  }
}

// The rows of a block of dw. The accumulators of a product to be added lie in scratch until it is finished.
void gradient_block(Ctx& ctx, int thread, const WeightGradient& w, int64_t row, int64_t rows,
                    GradientColumns part, const char* b, Accumulate accumulate) {
  float* dw = w.dw + row * w.in + part.column;
  const bool added = accumulate == Accumulate::kAddFinished;
  const int64_t most = most_rows(ctx.level, w.operand);
  float* c = added ? ctx.scratch<float>(thread, kSlotC, most * part.columns) : dw;
  const int64_t ldc = added ? part.columns : w.in;
  float* a = ctx.scratch<float>(thread, kSlotA, packed_a_cols_size(most, kGradientDepth));
  for (int64_t t = 0; t < w.rows; t += kGradientDepth) {
    const int64_t depth = std::min(kGradientDepth, w.rows - t);
    const float* dy = w.dy + row + (w.dy_index ? 0 : t * w.ld_dy);
    ctx.level.pack_a_cols(dy, w.ld_dy, w.dy_index ? w.dy_index + t : nullptr, rows, depth, w.operand, a);
    ctx.level.sweep({.a = a,
                     .a_layout = ALayout::kKMajor,
                     .rows = rows,
                     .b = b,
                     .k = depth,
                     .columns = part.columns,
                     .c = c,
                     .ldc = ldc,
                     .accumulate = t == 0 && accumulate != Accumulate::kContinue ? Accumulate::kStore
                                                                                 : Accumulate::kContinue,
                     .operand = w.operand});
    b += panel_count(part.columns) * panel_bytes(depth, w.operand);
  }
  for (int64_t r = 0; added && r < rows; ++r)
    ctx.level.add(dw + r * w.in, c + r * ldc, part.columns, dw + r * w.in);
}

int64_t packed_columns(int64_t columns, const WeightGradient& w) {  // bytes
  return panel_count(columns) * panel_bytes(round_up(w.rows, kGradientDepth), w.operand);
}

int64_t row_panels(const Level& level, const WeightGradient& w) {
  return round_up(w.out, panel_rows(level, w.operand)) / panel_rows(level, w.operand);
}

// Columns that a thread takes at once. More are better for the cache, fewer for the balance: the most whose
// units of work divide well among the threads.
int64_t gradient_width(const Level& level, std::span<const WeightGradient> gradients, int64_t threads) {
  constexpr int64_t kMost = 8 * kPanelCols;
  constexpr double kEvenly = 0.95;
  int64_t best = kMost;
  double best_balance = 0;
  for (int64_t width = kMost; width >= kPanelCols && best_balance < kEvenly; width /= 2) {
    int64_t units = 0;
    for (const WeightGradient& w : gradients) units += row_panels(level, w) * ((w.in + width - 1) / width);
    const int64_t most = (units + threads - 1) / threads;
    const double balance = static_cast<double>(units) / static_cast<double>(most * threads);
    if (balance > best_balance) best = width, best_balance = balance;
  }
  return best;
}
}  // namespace

void grouped_weight_gradient(Ctx& ctx, std::span<const WeightGradient> gradients, Accumulate accumulate) {
  Work work;
  for (const WeightGradient& w : gradients) {
    work.flops += static_cast<double>(gemm_flops(w.rows, w.out, w.in));
    if (w.rows > 0) work.bytes += static_cast<double>(4 * (w.rows * (w.out + w.in) + 2 * w.out * w.in));
    FRUGAL_ASSERT(accumulate != Accumulate::kStore || w.rows > 0, "nothing to store in a gradient of {} x {}",
                  w.out, w.in);
  }
  if (gradients.empty()) return;
  const ProfileScope timed(ctx.profile, "weight gradients", work, gradients[0].name);
  const int64_t width = gradient_width(ctx.level, gradients, ctx.pool.size());
  int64_t packed = 0;
  for (const WeightGradient& w : gradients)
    packed = std::max(packed, packed_columns(std::min(width, w.in), w));
  ctx.reserve(kSlotB, packed);
  // A unit is one panel of rows of one stretch of columns.
  const auto visit = [&](auto item) {
    for (const WeightGradient& w : gradients)
      for (int64_t column = 0; column < w.in; column += width) {
        const GradientColumns part{column, std::min(width, w.in - column)};
        item(row_panels(ctx.level, w), part.columns * w.rows, w, part);
      }
  };
  share_out(ctx, visit,
            [&](int thread, int64_t first, int64_t last, const WeightGradient& w, GradientColumns part) {
              char* b = ctx.scratch<char>(thread, kSlotB, packed_columns(part.columns, w));
              pack_gradient_columns(ctx, w, part, b);
              const int64_t panel = panel_rows(ctx.level, w.operand), end = std::min(w.out, last * panel);
              const int64_t step = block_rows(ctx.level, w.operand, end - first * panel);
              for (int64_t row = first * panel; row < end; row += step)
                gradient_block(ctx, thread, w, row, std::min(step, end - row), part, b, accumulate);
            });
}

void weight_gradient(Ctx& ctx, const WeightGradient& gradient, Accumulate accumulate) {
  grouped_weight_gradient(ctx, {&gradient, 1}, accumulate);
}

}  // namespace frugal::kernels
