// A page as the products of attention read it: B panels of its keys and of its values. For attention*.cc only.
#pragma once

#include "kernels/attention.h"

namespace frugal::kernels {

// Of the products: what a page is multiplied as.
inline Operand product_operand(const PageLayout& l) {
  return l.operand == Operand::kFP8 ? Operand::kBF16 : l.operand;
}
// Of a panel of 32 keys, and of 32 dimensions of the values of a page.
int64_t key_panel_bytes(const PageLayout& layout);
int64_t value_panel_bytes(const PageLayout& layout);

// Slots 8 and 9 of a thread's scratch, and 7 for values.
// The two panels of keys of one kv head of a page.
const std::byte* key_panels(Ctx& ctx, int thread, const PageLayout& layout, const std::byte* page, int64_t kv_head);
// Its panels of values from dimension `first`, a multiple of 32, up to `last`.
const std::byte* value_panels(Ctx& ctx, int thread, const PageLayout& layout, const std::byte* page, int64_t kv_head,
                              int64_t first, int64_t last);
// Asks for what value_panels() will read where the values are the front of the keys.
void prefetch_values(const PageLayout& layout, const std::byte* page, int64_t first, int64_t last);
inline void prefetch(const void* data, int64_t bytes) {
  for (int64_t at = 0; at < bytes; at += 64) __builtin_prefetch(static_cast<const char*>(data) + at);
}

}  // namespace frugal::kernels
