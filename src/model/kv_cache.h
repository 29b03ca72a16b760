// KvCache: the pages of all layers. A page id names 64 positions of one sequence in every layer at once.
// expanded: K and V of every head in the operand type; absorbed: the latent and the shared rotated key
// as one key, whose front is the value: kv_lora_rank + qk_rope_head_dim numbers per token and layer, 70,272
// bytes per token for DeepSeek-V3 in bf16.
#pragma once

#include <vector>

#include "base/arena.h"
#include "kernels/attention.h"
#include "model/config.h"

namespace frugal::model {

kernels::PageLayout expanded_layout(const ModelConfig& config, kernels::Operand operand);
kernels::PageLayout absorbed_layout(const ModelConfig& config, kernels::Operand operand);

// Bytes that a layer may need to expand a prompt from an absorbed cache; a head and 64 positions are the
// least.
constexpr int64_t kExpandingLimit = 256 << 20;

class KvCache {
 public:
  KvCache(const ModelConfig& config, kernels::Operand operand, bool absorbed, int64_t pages);
  // Bytes of one page over all layers.
  static int64_t page_bytes(const ModelConfig& config, kernels::Operand operand, bool absorbed);

  int64_t expanding_limit = kExpandingLimit;
  // Memory for that, kept for the next layer and chunk; contents undefined. Valid until asked for again.
  std::byte* expanding(int64_t bytes);

  bool absorbed() const { return absorbed_; }
  const kernels::PageLayout& layout() const { return layout_; }
  int64_t free_pages() const { return static_cast<int64_t>(free_.size()); }
  int64_t pages() const { return pages_; }
  int32_t take();  // a zeroed page; asserts that one is free
  void give(int32_t page);
  // Pages of a layer lie together: attention walks many of one layer, and the hardware fetches ahead.
  std::byte* page(int64_t layer, int32_t id) const {
    return memory_.get() + (layer * pages_ + id) * layout_.page_bytes();
  }

 private:
  kernels::PageLayout layout_;
  bool absorbed_;
  int64_t layers_, pages_;
  AlignedPtr<std::byte> memory_;
  std::vector<int32_t> free_;
  AlignedPtr<std::byte> expanding_;
  int64_t expanding_bytes_ = 0;
};

}  // namespace frugal::model
