#include "kernels/attention.h"

#include <algorithm>

#include "kernels/attention_pages.h"
#include "kernels/gemm.h"

namespace frugal::kernels {

namespace {
// Ctx::scratch; 7 to 9 are in attention_pages.h.
enum : int { kSlotQ = 2, kSlotScores, kSlotP, kSlotPv, kSlotState, kSlotAllScores = 10, kSlotAllStates, kSlotOut };
constexpr int64_t kHeadRows = 4;    // heads of a block of one token, at least: rows of a tile
constexpr int64_t kQueryRows = 48;  // rows per pass over the keys: four panels; more would waste causal work
constexpr int64_t kValueColumns = 128;  // dimensions of the values at a time: 16 KiB of bf16
constexpr int64_t kSpreadColumns = 32;  // where pages come from memory: reading and products alternate; not
                                        // for e4m3, whose short pieces cost too much
constexpr int64_t kApart = 1024;  // floats: a page of memory, which no prefetcher of the hardware leaves
constexpr int64_t kSpreadLeast = 2;    // pages per thread, or spreading costs more than it saves
constexpr int64_t kSpreadPages = 128;  // pages whose scores are kept: 1.5 MiB with 48 heads

int64_t row_heads(const AttentionArgs& a) { return a.row_heads > 0 ? a.row_heads : a.heads; }

// Up to kQueryRows queries of one sequence: of one head and successive tokens, or, where heads share their
// keys, of one token and successive heads, so that keys are read once for many rows.
struct QueryBlock {
  const AttentionSequence* sequence;
  int64_t head, first, rows;  // first head; first token of the sequence's chunk
  bool by_head;
};

// What a page adds to the output of some rows: O = fma(O, factor, P V), in the first block O = P V. The rows before
// `skip` see none of its keys; p and factor begin with the panel that holds row `skip`.
struct ValueUpdate {
  const float *p, *factor;
  float* pv;  // [kQueryRows, columns]
  int64_t rows, skip;
  bool first_block;
  int64_t columns;        // at a time; at most kValueColumns
  const std::byte* next;  // the page whose values are asked for meanwhile, or null
  float* o;  // [rows, last - first]; not where it goes to in the end, whose rows lie far apart
};
// Dimensions [first, last) of the values, few at a time, so that they stay in the nearest cache.
void add_values(Ctx& ctx, int thread, const PageLayout& l, const std::byte* page, int64_t group, int64_t first,
                int64_t last, const ValueUpdate& u) {
  const int64_t start = u.skip / kPanelRows * kPanelRows, width = last - first;
  for (int64_t j = first; j < last; j += u.columns) {
    const int64_t columns = std::min(u.columns, last - j);
    float* o = u.o + j - first;
    if (u.next) prefetch_values(l, u.next, j, j + columns);
    ctx.level.sweep({.a = u.p,
                     .a_layout = ALayout::kRowMajor,
                     .rows = u.rows - start,
                     .b = value_panels(ctx, thread, l, page, group, j, j + columns),
                     .k = kPageTokens,
                     .columns = columns,
                     .c = u.first_block ? o : u.pv,
                     .ldc = u.first_block ? width : columns,
                     .accumulate = Accumulate::kStore,
                     .operand = product_operand(l)});
    if (!u.first_block)
      ctx.level.rescale_add(u.factor + u.skip - start, u.pv + (u.skip - start) * columns, u.rows - u.skip, columns,
                            o + u.skip * width, width);
  }
}

void attend(Ctx& ctx, int thread, const AttentionArgs& a, const QueryBlock& block) {
  const Level& level = ctx.level;
  const PageLayout& l = a.layout;
  const AttentionSequence& s = *block.sequence;
  const Operand operand = product_operand(l);
  const int64_t rows = block.rows, dk = l.key_dim, dv = l.value_dim;
  float* q = ctx.scratch<float>(thread, kSlotQ, packed_a_rows_size(kQueryRows, dk));
  float* scores = ctx.scratch<float>(thread, kSlotScores, kQueryRows * kPageTokens);
  float* p = ctx.scratch<float>(thread, kSlotP, packed_a_rows_size(kQueryRows, kPageTokens));
  float* pv = ctx.scratch<float>(thread, kSlotPv, kQueryRows * kValueColumns);
  float* m = ctx.scratch<float>(thread, kSlotState, 3 * kQueryRows);
  float *sum = m + kQueryRows, *factor = m + 2 * kQueryRows;
  const int64_t row0 = s.first_row + block.first;
  const int64_t between = block.by_head ? 1 : row_heads(a);  // from row to row, in heads
  const int64_t head0 = row0 * row_heads(a) + block.head;    // of q, out and lse
  const int64_t position0 = s.first_position + block.first;
  const int64_t group = block.head / (a.heads / l.kv_heads);
  float* o = ctx.scratch<float>(thread, kSlotOut, kQueryRows * dv);
  const int64_t last = block.by_head ? position0 : position0 + rows - 1;
  level.pack_a_rows(a.q + head0 * dk, between * dk, nullptr, rows, dk, operand, q);
  for (int64_t key0 = 0; key0 <= last; key0 += kPageTokens) {
    const std::byte* page = s.pages.page[key0 / kPageTokens];
    // Rows before `skip` see no key of this block: no update. Whole A panels are skipped, single rows masked
    // below.
    const int64_t skip = std::max<int64_t>(0, key0 - position0);
    const int64_t start = skip / kPanelRows * kPanelRows;
    const int64_t n = rows - start;
    level.sweep({.a = q + packed_a_rows_offset(start, dk),
                 .a_layout = ALayout::kRowMajor,
                 .rows = n,
                 .b = key_panels(ctx, thread, l, page, group),
                 .k = dk,
                 .columns = kPageTokens,
                 .c = scores,
                 .ldc = kPageTokens,
                 .accumulate = Accumulate::kStore,
                 .operand = operand});
    level.softmax_tile({.rows = n,
                        .visible = position0 + start + 1 - key0,
                        .capacity = round_up(n, kPanelRows),
                        .step = block.by_head ? 0 : 1,
                        .first_block = key0 == 0,
                        .scale = a.scale,
                        .operand = operand,
                        .s = scores,
                        .m = m + start,
                        .l = sum + start,
                        .factor = factor,
                        .p = p});
    add_values(ctx, thread, l, page, group, 0, dv,
               {.p = p,
                .factor = factor,
                .pv = pv,
                .rows = rows,
                .skip = skip,
                .first_block = key0 == 0,
                .columns = kValueColumns,
                .next = nullptr,
                .o = o});
  }
  float* out = a.out + head0 * dv;
  for (int64_t r = 0; r < rows; ++r) {
    level.divide(sum[r], o + r * dv, dv, out + r * between * dv);
    if (a.lse) a.lse[head0 + r * between] = m[r] + level.log1(sum[r]);
  }
}
// A block of one token's heads, spread over the threads, where there are fewer tokens than threads and many keys:
// the scores by pages, then, where every thread needs them all, the values by dimensions. The operations on a
// number are those of attend() in the same order.
void attend_spread(Ctx& ctx, const AttentionArgs& a, const AttentionSequence& s, int64_t token, int64_t head,
                   int64_t rows) {
  const Level& level = ctx.level;
  const PageLayout& l = a.layout;
  const Operand operand = product_operand(l);
  const int64_t dk = l.key_dim, dv = l.value_dim, position = s.first_position + token;
  const int64_t row = (s.first_row + token) * row_heads(a) + head, pages = position / kPageTokens + 1;
  const int64_t panels = (dv + kPanelCols - 1) / kPanelCols, parts = std::min<int64_t>(panels, ctx.pool.size());
  float* all = ctx.scratch<float>(0, kSlotAllScores, std::min(pages, kSpreadPages) * rows * kPageTokens);
  // What a part keeps: m, sum and factor of its rows, and their output. Parts lie apart, or one thread would fetch ahead
  // what another writes.
  const int64_t state = 3 * kQueryRows + kQueryRows * ((panels + parts - 1) / parts * kPanelCols) + kApart;
  float* states = ctx.scratch<float>(0, kSlotAllStates, parts * state);
  for (int64_t from = 0; from < pages; from += kSpreadPages) {
    const int64_t count = std::min(kSpreadPages, pages - from);
    ctx.pool.parallel_for(count, [&](int64_t begin, int64_t end, int thread) {
      float* q = ctx.scratch<float>(thread, kSlotQ, packed_a_rows_size(kQueryRows, dk));
      level.pack_a_rows(a.q + row * dk, dk, nullptr, rows, dk, operand, q);
      // Not where they go to at once: sums that grow in lines that another thread has read wait for each of them.
      float* scores = ctx.scratch<float>(thread, kSlotScores, kQueryRows * kPageTokens);
      for (int64_t i = begin; i < end; ++i) {
        level.sweep({.a = q,
                     .a_layout = ALayout::kRowMajor,
                     .rows = rows,
                     .b = key_panels(ctx, thread, l, s.pages.page[from + i], 0),
                     .k = dk,
                     .columns = kPageTokens,
                     .c = scores,
                     .ldc = kPageTokens,
                     .accumulate = Accumulate::kStore,
                     .operand = operand});
        std::copy_n(scores, rows * kPageTokens, all + i * rows * kPageTokens);
      }
    });
    ctx.pool.run(parts, [&](int64_t part, int thread) {
      const int64_t first = panels * part / parts * kPanelCols;
      const int64_t last = std::min(dv, panels * (part + 1) / parts * kPanelCols);
      float* p = ctx.scratch<float>(thread, kSlotP, packed_a_rows_size(kQueryRows, kPageTokens));
      float* pv = ctx.scratch<float>(thread, kSlotPv, kQueryRows * kValueColumns);
      float *m = states + part * state, *sum = m + kQueryRows, *factor = sum + kQueryRows, *o = factor + kQueryRows;
      for (int64_t i = 0; i < count; ++i) {
        const bool first_block = from + i == 0;
        if (i + 1 < count)
          prefetch(all + (i + 1) * rows * kPageTokens, rows * kPageTokens * int64_t{sizeof(float)});
        level.softmax_tile({.rows = rows,
                            .visible = position + 1 - (from + i) * kPageTokens,
                            .capacity = round_up(rows, kPanelRows),
                            .step = 0,
                            .first_block = first_block,
                            .scale = a.scale,
                            .operand = operand,
                            .s = all + i * rows * kPageTokens,
                            .m = m,
                            .l = sum,
                            .factor = factor,
                            .p = p});
        add_values(ctx, thread, l, s.pages.page[from + i], 0, first, last,
                   {.p = p,
                    .factor = factor,
                    .pv = pv,
                    .rows = rows,
                    .skip = 0,
                    .first_block = first_block,
                    .columns = l.operand == Operand::kFP8 ? kValueColumns : kSpreadColumns,
                    .next = i + 1 < count ? s.pages.page[from + i + 1] : nullptr,
                    .o = o});
      }
      if (from + count < pages) return;
      for (int64_t r = 0; r < rows; ++r) {
        level.divide(sum[r], o + r * (last - first), last - first, a.out + (row + r) * dv + first);
        if (a.lse && part == 0) a.lse[row + r] = m[r] + level.log1(sum[r]);
      }
    });
  }
}
}  // namespace

Work attention_work(std::span<const AttentionSequence> sequences, int64_t heads, int64_t per_pair,
                    int64_t per_token) {
  double pairs = 0, tokens = 0;
  for (const AttentionSequence& s : sequences) {
    pairs += static_cast<double>(s.tokens) *
             (static_cast<double>(s.first_position) + static_cast<double>(s.tokens + 1) / 2);
    tokens += static_cast<double>(s.tokens);
  }
  return {pairs * static_cast<double>(heads * per_pair), 4 * tokens * static_cast<double>(heads * per_token)};
}

void attention(Ctx& ctx, const AttentionArgs& args, std::span<const AttentionSequence> sequences) {
  const int64_t dims = args.layout.key_dim + args.layout.value_dim;
  Work work = attention_work(sequences, args.heads, 2 * dims, 2 * dims);
  for (const AttentionSequence& s : sequences)  // pages are read once
    work.bytes += static_cast<double>((s.first_position + s.tokens) * args.layout.page_bytes() / kPageTokens);
  const ProfileScope timed(ctx.profile, "attention", work);
  // One key for all heads: a block is one token with all of them, or with a share where there are fewer
  // tokens than threads.
  const bool by_head = args.layout.kv_heads == 1 && args.heads > 1;
  int64_t tokens = 0, pages = 0;
  for (const AttentionSequence& s : sequences) {
    tokens += s.tokens;
    pages = std::max(pages, (s.first_position + s.tokens + kPageTokens - 1) / kPageTokens);
  }
  if (by_head && tokens < ctx.pool.size() && pages >= kSpreadLeast * ctx.pool.size()) {
    const int64_t blocks = (args.heads + kQueryRows - 1) / kQueryRows, most = (args.heads + blocks - 1) / blocks;
    for (const AttentionSequence& s : sequences)
      for (int64_t t = 0; t < s.tokens; ++t)
        for (int64_t head = 0; head < args.heads; head += most)
          attend_spread(ctx, args, s, t, head, std::min(most, args.heads - head));
    return;
  }
  const int64_t shares = std::max<int64_t>(1, (ctx.pool.size() + tokens - 1) / std::max<int64_t>(1, tokens));
  const int64_t share = (args.heads + shares - 1) / shares;
  const int64_t width = by_head ? std::min(round_up(share, kHeadRows), kQueryRows) : kQueryRows;
  const int64_t per_token = by_head ? (args.heads + width - 1) / width : 1;
  const auto blocks_of = [&](const AttentionSequence& s) {
    return by_head ? s.tokens * per_token : (s.tokens + kQueryRows - 1) / kQueryRows * args.heads;
  };
  const auto block_at = [&](const AttentionSequence& s, int64_t b) -> QueryBlock {
    if (by_head) {
      const int64_t head = b % per_token * width;
      return {&s, head, b / per_token, std::min(width, args.heads - head), true};
    }
    const int64_t blocks = (s.tokens + kQueryRows - 1) / kQueryRows, first = b % blocks * kQueryRows;
    return {&s, b / blocks, first, std::min(kQueryRows, s.tokens - first), false};
  };
  int64_t items = 0;
  for (const AttentionSequence& s : sequences) items += blocks_of(s);
  const int64_t parts = std::min(items, ctx.pool.size() * ThreadPool::kPartsPerThread);
  // Interleaved over parts: later query blocks see more keys than earlier ones.
  ctx.pool.run(parts, [&](int64_t part, int thread) {
    int64_t item = 0;
    for (const AttentionSequence& s : sequences)
      for (int64_t b = 0; b < blocks_of(s); ++b, ++item)
        if (item % parts == part) attend(ctx, thread, args, block_at(s, b));
  });
}

}  // namespace frugal::kernels
