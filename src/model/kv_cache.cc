#include "model/kv_cache.h"

#include <cstring>

namespace frugal::model {

kernels::PageLayout expanded_layout(const ModelConfig& c, kernels::Operand operand) {
  return {operand, c.num_attention_heads, c.qk_head_dim(), c.v_head_dim};
}
kernels::PageLayout absorbed_layout(const ModelConfig& c, kernels::Operand operand) {
  return {operand, 1, c.kv_lora_rank + c.qk_rope_head_dim, c.kv_lora_rank, true};
}

int64_t KvCache::page_bytes(const ModelConfig& c, kernels::Operand operand, bool absorbed) {
  return c.num_hidden_layers *
         (absorbed ? absorbed_layout(c, operand) : expanded_layout(c, operand)).page_bytes();
}

KvCache::KvCache(const ModelConfig& c, kernels::Operand operand, bool absorbed, int64_t pages)
    : layout_(absorbed ? absorbed_layout(c, operand) : expanded_layout(c, operand)),
      absorbed_(absorbed),
      layers_(c.num_hidden_layers),
      pages_(pages),
      memory_(aligned_array<std::byte>(pages * page_bytes(c, operand, absorbed))) {
  for (int64_t i = pages - 1; i >= 0; --i) free_.push_back(static_cast<int32_t>(i));
}

std::byte* KvCache::expanding(int64_t bytes) {
  if (bytes > expanding_bytes_) {
    expanding_.reset();  // or both would be held
    expanding_ = aligned_array<std::byte>(bytes);
    expanding_bytes_ = bytes;
  }
  return expanding_.get();
}

int32_t KvCache::take() {
  FRUGAL_ASSERT(!free_.empty(), "no free page of {}", pages_);
  const int32_t id = free_.back();
  free_.pop_back();
  // Zeroed when handed out: a masked key has weight zero, and 0 * NaN is NaN.
  for (int64_t layer = 0; layer < layers_; ++layer)
    std::memset(page(layer, id), 0, static_cast<size_t>(layout_.page_bytes()));
  return id;
}

void KvCache::give(int32_t page) { free_.push_back(page); }

}  // namespace frugal::model
