#include "kernels/attention.h"

#include <algorithm>
#include <cstring>

#include "base/dtype.h"
#include "kernels/gemm.h"

namespace frugal::kernels {

namespace {
int64_t round_up(int64_t n, int64_t multiple) { return (n + multiple - 1) / multiple * multiple; }
int64_t padded(int64_t k, Operand operand) { return operand == Operand::kBF16 ? round_up(k, kBf16Block) : k; }
int64_t width(Operand operand) { return operand == Operand::kBF16 ? 2 : 4; }

// Position of B(j, k) of a panel, in elements.
int64_t panel_at(Operand operand, int64_t j, int64_t k) {
  return operand == Operand::kBF16 ? (k / 2 * kPanelCols + j) * 2 + k % 2 : k * kPanelCols + j;
}
void put(Operand operand, std::byte* panel, int64_t at, float x) {
  if (operand == Operand::kBF16) {
    const uint16_t h = bf16_from_f32(x);
    std::memcpy(panel + at * 2, &h, 2);
  } else {
    std::memcpy(panel + at * 4, &x, 4);
  }
}

enum : int { kSlotQ = 2, kSlotScores, kSlotP, kSlotPv, kSlotState, kSlotValues };
static_assert(kPageTokens == kKeyBlock);
constexpr int64_t kHeadRows = 4;    // heads of a block of one token, at least: rows of a tile
constexpr int64_t kQueryRows = 48;  // rows per pass over the keys: four panels; more would waste causal work
}  // namespace

int64_t PageLayout::key_bytes() const {
  return kPageTokens / kPanelCols * padded(key_dim, operand) * kPanelCols * width(operand);
}
int64_t PageLayout::value_bytes() const {
  if (values_in_keys) return 0;
  return round_up(value_dim, kPanelCols) * kPageTokens * width(operand);
}

namespace {
void write_token(const PageWrite& w, int64_t t) {
  const PageLayout& l = w.layout;
  const int64_t position = w.first_position + t;
  const int64_t slot = position % kPageTokens;
  std::byte* head = w.pages.page[position / kPageTokens];
  const int64_t key_panel = padded(l.key_dim, l.operand) * kPanelCols * width(l.operand);
  const int64_t value_panel = kPageTokens * kPanelCols * width(l.operand);
  for (int64_t g = 0; g < l.kv_heads; ++g, head += l.key_bytes() + l.value_bytes()) {
    const float* key = w.keys + t * w.key_stride + g * l.key_dim;
    std::byte* panel = head + slot / kPanelCols * key_panel;
    for (int64_t k = 0; k < l.key_dim; ++k)
      put(l.operand, panel, panel_at(l.operand, slot % kPanelCols, k), key[k]);
    if (l.values_in_keys) continue;
    const float* value = w.values + t * w.value_stride + g * w.value_head_stride;
    for (int64_t j = 0; j < l.value_dim; ++j)
      put(l.operand, head + l.key_bytes() + j / kPanelCols * value_panel,
          panel_at(l.operand, j % kPanelCols, slot), value[j]);
  }
}
}  // namespace

namespace {
// The 64 tokens from token t fill one page.
void write_page(const Level& level, const PageWrite& w, int64_t t) {
  const PageLayout& l = w.layout;
  std::byte* head = w.pages.page[(w.first_position + t) / kPageTokens];
  for (int64_t g = 0; g < l.kv_heads; ++g, head += l.key_bytes() + l.value_bytes()) {
    for (int64_t half = 0; half < kPageTokens; half += kPanelCols)
      level.pack_b_rows(w.keys + (t + half) * w.key_stride + g * l.key_dim, w.key_stride, kPanelCols,
                        l.key_dim, l.operand, head + half * l.key_bytes() / kPageTokens);
    if (l.values_in_keys) continue;
    std::byte* values = head + l.key_bytes();
    for (int64_t j = 0; j < l.value_dim;
         j += kPanelCols, values += kPageTokens * kPanelCols * width(l.operand))
      level.pack_b_cols(w.values + t * w.value_stride + g * w.value_head_stride + j, w.value_stride, nullptr,
                        std::min(kPanelCols, l.value_dim - j), kPageTokens, l.operand, values);
  }
}
}  // namespace

void write_pages(Ctx& ctx, std::span<const PageWrite> writes) {
  const ProfileScope timed(ctx.profile, "pack operands");
  for (const PageWrite& w : writes)
    // Threads take whole pages: two tokens share a cache line of a panel.
    ctx.pool.parallel_for(
        (w.first_position + w.tokens - 1) / kPageTokens - w.first_position / kPageTokens + 1,
        [&](int64_t begin, int64_t end, int) {
          const int64_t base = w.first_position / kPageTokens;
          for (int64_t page = base + begin; page < base + end; ++page) {
            const int64_t from = std::max(page * kPageTokens, w.first_position) - w.first_position;
            const int64_t to =
                std::min((page + 1) * kPageTokens, w.first_position + w.tokens) - w.first_position;
            if (to - from == kPageTokens) {
              write_page(ctx.level, w, from);
            } else {
              for (int64_t t = from; t < to; ++t) write_token(w, t);
            }
          }
        });
}

void read_key(const PageLayout& l, const std::byte* page, int64_t slot, int64_t kv_head, int64_t first,
              int64_t n, float* out) {
  const std::byte* panel = page + kv_head * (l.key_bytes() + l.value_bytes()) +
                           slot / kPanelCols * padded(l.key_dim, l.operand) * kPanelCols * width(l.operand);
  for (int64_t k = first; k < first + n; ++k) {
    const int64_t at = panel_at(l.operand, slot % kPanelCols, k);
    if (l.operand == Operand::kBF16) {
      uint16_t h;
      std::memcpy(&h, panel + at * 2, 2);
      out[k - first] = f32_from_bf16(h);
    } else {
      std::memcpy(out + k - first, panel + at * 4, 4);
    }
  }
}

namespace {
// Up to kQueryRows queries of one sequence: of one head and successive tokens, or, where heads share their
// keys, of one token and successive heads, so that keys are read once for many rows.
struct QueryBlock {
  const AttentionSequence* sequence;
  int64_t head, first, rows;  // first head; first token of the sequence's chunk
  bool by_head;
};

// The values of a page of keys that begin with them.
const std::byte* make_values(Ctx& ctx, int thread, const PageLayout& l, const std::byte* keys) {
  const int64_t bytes = kPageTokens * kPanelCols * width(l.operand);
  const int64_t key_panel = l.key_bytes() / (kPageTokens / kPanelCols);
  std::byte* values =
      ctx.scratch<std::byte>(thread, kSlotValues, round_up(l.value_dim, kPanelCols) / kPanelCols * bytes);
  for (int64_t j = 0; j < l.value_dim; j += kPanelCols)
    ctx.level.value_panel(keys, key_panel, j, l.key_dim - j, l.operand, values + j / kPanelCols * bytes);
  return values;
}

void attend(Ctx& ctx, int thread, const AttentionArgs& a, const QueryBlock& block) {
  const Level& level = ctx.level;
  const PageLayout& l = a.layout;
  const AttentionSequence& s = *block.sequence;
  const int64_t rows = block.rows, dk = l.key_dim, dv = l.value_dim;
  float* q = ctx.scratch<float>(thread, kSlotQ, packed_a_rows_size(kQueryRows, dk));
  float* scores = ctx.scratch<float>(thread, kSlotScores, kQueryRows * kPageTokens);
  float* p = ctx.scratch<float>(thread, kSlotP, packed_a_rows_size(kQueryRows, kPageTokens));
  float* pv = ctx.scratch<float>(thread, kSlotPv, kQueryRows * dv);
  float* m = ctx.scratch<float>(thread, kSlotState, 3 * kQueryRows);
  float *sum = m + kQueryRows, *factor = m + 2 * kQueryRows;
  const int64_t row0 = s.first_row + block.first;
  const int64_t between = block.by_head ? 1 : a.heads;  // from row to row, in heads
  const int64_t position0 = s.first_position + block.first;
  const int64_t group = block.head / (a.heads / l.kv_heads);
  float* out = a.out + (row0 * a.heads + block.head) * dv;
  const int64_t out_stride = between * dv, last = block.by_head ? position0 : position0 + rows - 1;
  level.pack_a_rows(a.q + (row0 * a.heads + block.head) * dk, between * dk, nullptr, rows, dk, l.operand, q);
  for (int64_t key0 = 0; key0 <= last; key0 += kPageTokens) {
    const std::byte* keys = s.pages.page[key0 / kPageTokens] + group * (l.key_bytes() + l.value_bytes());
    const std::byte* values = l.values_in_keys ? make_values(ctx, thread, l, keys) : keys + l.key_bytes();
    // Rows before `skip` see no key of this block: no update. Whole A panels are skipped, single rows masked
    // below.
    const int64_t skip = std::max<int64_t>(0, key0 - position0);
    const int64_t start = skip / kPanelRows * kPanelRows;
    const int64_t n = rows - start;
    level.sweep({.a = q + start / kPanelRows * packed_a_rows_size(kPanelRows, dk),
                 .a_layout = ALayout::kRowMajor,
                 .rows = n,
                 .b = keys,
                 .k = dk,
                 .columns = kPageTokens,
                 .c = scores,
                 .ldc = kPageTokens,
                 .accumulate = Accumulate::kStore,
                 .operand = l.operand});
    level.softmax_tile({.rows = n,
                        .visible = position0 + start + 1 - key0,
                        .capacity = round_up(n, kPanelRows),
                        .step = block.by_head ? 0 : 1,
                        .first_block = key0 == 0,
                        .scale = a.scale,
                        .operand = l.operand,
                        .s = scores,
                        .m = m + start,
                        .l = sum + start,
                        .factor = factor,
                        .p = p});
    const bool first_block = key0 == 0;  // O = P V
    level.sweep({.a = p,
                 .a_layout = ALayout::kRowMajor,
                 .rows = n,
                 .b = values,
                 .k = kPageTokens,
                 .columns = dv,
                 .c = first_block ? out : pv,
                 .ldc = first_block ? out_stride : dv,
                 .accumulate = Accumulate::kStore,
                 .operand = l.operand});
    if (!first_block)
      level.rescale_add(factor + skip - start, pv + (skip - start) * dv, rows - skip, dv,
                        out + skip * out_stride, out_stride);
  }
  for (int64_t r = 0; r < rows; ++r) {
    level.divide(sum[r], out + r * out_stride, dv, out + r * out_stride);
    if (a.lse) a.lse[row0 * a.heads + block.head + r * between] = m[r] + level.log1(sum[r]);
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
  int64_t tokens = 0;
  for (const AttentionSequence& s : sequences) tokens += s.tokens;
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
