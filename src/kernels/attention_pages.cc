#include "kernels/attention_pages.h"

#include <algorithm>
#include <cstring>

#include "base/dtype.h"
#include "kernels/gemm.h"
#include "kernels/quant.h"

namespace frugal::kernels {

namespace {
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
float get(Operand operand, const std::byte* panel, int64_t at) {
  if (operand == Operand::kBF16) {
    uint16_t h;
    std::memcpy(&h, panel + at * 2, 2);
    return f32_from_bf16(h);
  }
  float x;
  std::memcpy(&x, panel + at * 4, 4);
  return x;
}

enum : int { kSlotValues = 7, kSlotKeys, kSlotTokens };  // Ctx::scratch
static_assert(kPageTokens == kKeyBlock);

// A token of an e4m3 page: the latent's bytes, its scales, and the rotated key in bf16.
struct TokenBytes {
  explicit TokenBytes(const PageLayout& l)
      : scales(round_up(l.value_dim, 4)), rope(scales + 4 * quant_blocks(l.value_dim)), size(rope + 2 * (l.key_dim - l.value_dim)) {}
  int64_t scales, rope, size;  // bytes
};
}  // namespace

int64_t key_panel_bytes(const PageLayout& l) {
  const bool bf16 = product_operand(l) == Operand::kBF16;
  return (bf16 ? round_up(l.key_dim, kBf16Block) : l.key_dim) * kPanelCols * width(product_operand(l));
}
int64_t value_panel_bytes(const PageLayout& l) { return kPageTokens * kPanelCols * width(product_operand(l)); }

int64_t PageLayout::key_bytes() const {
  if (operand == Operand::kFP8) return kPageTokens * TokenBytes(*this).size;
  return kPageTokens / kPanelCols * key_panel_bytes(*this);
}
int64_t PageLayout::value_bytes() const {
  if (values_in_keys) return 0;
  return round_up(value_dim, kPanelCols) / kPanelCols * value_panel_bytes(*this);
}

namespace {
void write_quantised(const Level& level, const PageWrite& w, int64_t t) {
  const PageLayout& l = w.layout;
  const TokenBytes bytes(l);
  const int64_t position = w.first_position + t;
  std::byte* token = w.pages.page[position / kPageTokens] + position % kPageTokens * bytes.size;
  const float* key = w.keys + t * w.key_stride;
  for (int64_t at = 0; at < l.value_dim; at += kQuantBlock) {
    const float scale = quantise_e4m3(level, key + at, std::min(kQuantBlock, l.value_dim - at),
                                      reinterpret_cast<uint8_t*>(token) + at);
    std::memcpy(token + bytes.scales + at / kQuantBlock * 4, &scale, 4);
  }
  for (int64_t k = l.value_dim; k < l.key_dim; ++k) put(Operand::kBF16, token + bytes.rope, k - l.value_dim, key[k]);
}
// Numbers [first, last) of the keys of a page, as they count in products. out [64, last - first].
void widen_keys(const Level& level, const PageLayout& l, const std::byte* page, int64_t first, int64_t last, float* out) {
  const TokenBytes bytes(l);
  for (int64_t t = 0; t < kPageTokens; ++t, page += bytes.size, out += last - first) {
    int64_t k = first;
    for (int64_t end; k < std::min(last, l.value_dim); k = end) {
      end = std::min({(k / kQuantBlock + 1) * kQuantBlock, last, l.value_dim});
      float scale;
      std::memcpy(&scale, page + bytes.scales + k / kQuantBlock * 4, 4);
      level.widen_e4m3(reinterpret_cast<const uint8_t*>(page) + k, end - k, scale, out + k - first);
      level.round_bf16(out + k - first, end - k, out + k - first);
    }
    if (k < last)
      level.widen_bf16(reinterpret_cast<const uint16_t*>(page + bytes.rope) + k - l.value_dim, last - k, out + k - first);
  }
}

void write_token(const Level& level, const PageWrite& w, int64_t t) {
  const PageLayout& l = w.layout;
  if (l.operand == Operand::kFP8) return write_quantised(level, w, t);
  const int64_t position = w.first_position + t;
  const int64_t slot = position % kPageTokens;
  std::byte* head = w.pages.page[position / kPageTokens];
  const int64_t key_panel = key_panel_bytes(l), value_panel = value_panel_bytes(l);
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
            if (to - from == kPageTokens && w.layout.operand != Operand::kFP8) {
              write_page(ctx.level, w, from);
            } else {
              for (int64_t t = from; t < to; ++t) write_token(ctx.level, w, t);
            }
          }
        });
}

void read_keys(Ctx& ctx, const PageLayout& l, Pages pages, int64_t tokens, float* out) {
  const ProfileScope timed(ctx.profile, "pack operands");
  const int64_t panel_bytes = key_panel_bytes(l);
  ctx.pool.parallel_for((tokens + kPageTokens - 1) / kPageTokens, [&](int64_t begin, int64_t end, int thread) {
    for (int64_t page = begin; page < end; ++page) {
      const int64_t n = std::min(kPageTokens, tokens - page * kPageTokens);
      float* to = out + page * kPageTokens * l.key_dim;
      if (l.operand == Operand::kFP8) {
        float* wide = ctx.scratch<float>(thread, kSlotTokens, kPageTokens * l.key_dim);
        widen_keys(ctx.level, l, pages.page[page], 0, l.key_dim, wide);
        std::memcpy(to, wide, static_cast<size_t>(n * l.key_dim) * sizeof(float));
        continue;
      }
      for (int64_t t = 0; t < n; ++t, to += l.key_dim) {
        const std::byte* panel = pages.page[page] + t / kPanelCols * panel_bytes;
        for (int64_t k = 0; k < l.key_dim; ++k) to[k] = get(l.operand, panel, panel_at(l.operand, t % kPanelCols, k));
      }
    }
  });
}

const std::byte* key_panels(Ctx& ctx, int thread, const PageLayout& l, const std::byte* page, int64_t kv_head) {
  if (l.operand != Operand::kFP8) return page + kv_head * (l.key_bytes() + l.value_bytes());
  float* wide = ctx.scratch<float>(thread, kSlotTokens, kPageTokens * l.key_dim);
  widen_keys(ctx.level, l, page, 0, l.key_dim, wide);
  std::byte* panels = ctx.scratch<std::byte>(thread, kSlotKeys, kPageTokens / kPanelCols * key_panel_bytes(l));
  for (int64_t half = 0; half < kPageTokens; half += kPanelCols)
    ctx.level.pack_b_rows(wide + half * l.key_dim, l.key_dim, kPanelCols, l.key_dim, Operand::kBF16,
                          panels + half / kPanelCols * key_panel_bytes(l));
  return panels;
}

const std::byte* value_panels(Ctx& ctx, int thread, const PageLayout& l, const std::byte* page, int64_t kv_head,
                              int64_t first, int64_t last) {
  const int64_t bytes = value_panel_bytes(l);
  if (!l.values_in_keys)
    return page + kv_head * (l.key_bytes() + l.value_bytes()) + l.key_bytes() + first / kPanelCols * bytes;
  std::byte* values = ctx.scratch<std::byte>(thread, kSlotValues, round_up(last - first, kPanelCols) / kPanelCols * bytes);
  const bool quantised = l.operand == Operand::kFP8;
  float* wide = quantised ? ctx.scratch<float>(thread, kSlotTokens, kPageTokens * l.key_dim) : nullptr;
  if (quantised) widen_keys(ctx.level, l, page, first, last, wide);
  for (int64_t j = first; j < last; j += kPanelCols) {
    std::byte* panel = values + (j - first) / kPanelCols * bytes;
    if (quantised)
      ctx.level.pack_b_cols(wide + j - first, last - first, nullptr, std::min(kPanelCols, last - j), kPageTokens,
                            Operand::kBF16, panel);
    else
      ctx.level.value_panel(page, key_panel_bytes(l), j, l.key_dim - j, l.operand, panel);
  }
  return values;
}

void prefetch_values(const PageLayout& l, const std::byte* page, int64_t first, int64_t last) {
  if (l.operand == Operand::kFP8) {
    const int64_t size = TokenBytes(l).size;
    for (int64_t t = 0; t < kPageTokens; ++t) prefetch(page + t * size + first, last - first);
    return;
  }
  const int64_t row = kPanelCols * width(l.operand);
  for (int64_t half = 0; half < kPageTokens / kPanelCols; ++half)
    prefetch(page + half * key_panel_bytes(l) + first * row, (last - first) * row);
}

}  // namespace frugal::kernels
