#include "model/saved.h"

namespace frugal::model {

namespace {
template <auto Field>
void alloc_field(LayerSaved* s, Arena* arena, int64_t elements) {
  using T = std::remove_pointer_t<std::remove_reference_t<decltype(s->*Field)>>;
  s->*Field = arena->alloc<T>(elements);
}
// clang-format off
#define PER_TOKEN(expression) [](const ModelConfig& c, bool moe) -> int64_t { (void)c; (void)moe; return expression; }
#define ROW(field, expression) {#field, alloc_field<&LayerSaved::field>, nullptr, PER_TOKEN(expression)}
#define OPERAND_ROW(field, expression) \
  {#field, alloc_field<&LayerSaved::field>, alloc_field<&LayerSaved::field##_bf16>, PER_TOKEN(expression)}
// clang-format on

int64_t mlp_width(const ModelConfig& c, bool moe) {
  return moe ? c.shared_intermediate_size() : c.intermediate_size;
}
int64_t routed(const ModelConfig& c, bool moe) { return moe ? c.num_experts_per_tok : 0; }
}  // namespace

const std::vector<SavedRow>& saved_rows() {
  static const std::vector<SavedRow> rows = {
      ROW(x_in, c.hidden_size),
      ROW(r_in, 1),
      ROW(q_a, c.q_lora_rank),
      ROW(r_q, c.q_lora_rank ? 1 : 0),
      OPERAND_ROW(q, c.num_attention_heads * c.qk_head_dim()),
      ROW(kv_a, c.kv_lora_rank + c.qk_rope_head_dim),
      ROW(r_kv, 1),
      OPERAND_ROW(kv, c.num_attention_heads * (c.qk_nope_head_dim + c.v_head_dim)),
      OPERAND_ROW(attn, c.num_attention_heads * c.v_head_dim),
      ROW(lse, c.num_attention_heads),
      ROW(x_mid, c.hidden_size),
      ROW(r_post, 1),
      OPERAND_ROW(gate_up, 2 * mlp_width(c, moe)),
      ROW(scores, moe ? c.n_routed_experts : 0),
      ROW(weights, routed(c, moe)),
      ROW(indices, routed(c, moe)),
      ROW(rows, routed(c, moe)),
      ROW(slots, routed(c, moe)),
      OPERAND_ROW(expert_gate_up, routed(c, moe) * 2 * c.moe_intermediate_size),
  };
  return rows;
}
#undef OPERAND_ROW
#undef ROW
#undef PER_TOKEN

LayerSaved alloc_saved(const ModelConfig& config, bool moe, int64_t tokens, kernels::Operand kept,
                       Arena* arena) {
  LayerSaved s;
  for (const SavedRow& row : saved_rows()) {
    const int64_t n = row.per_token(config, moe);
    if (n > 0)
      (row.alloc_bf16 && kept == kernels::Operand::kBF16 ? row.alloc_bf16 : row.alloc)(&s, arena, n * tokens);
  }
  if (moe) s.offsets = arena->alloc<int32_t>(config.n_routed_experts + 1);
  return s;
}

int64_t saved_bytes(const ModelConfig& config, bool moe, int64_t tokens, kernels::Operand kept) {
  int64_t bytes = moe ? (config.n_routed_experts + 1) * 4 + 64 : 0;
  for (const SavedRow& row : saved_rows()) {
    const int64_t width = row.alloc_bf16 && kept == kernels::Operand::kBF16 ? 2 : 4;
    bytes += (row.per_token(config, moe) * tokens * width + 63) / 64 * 64;
  }
  return bytes;
}

WideRows wide_rows(const ModelConfig& c, bool moe) {
  return {c.num_attention_heads * (c.qk_head_dim() + c.qk_nope_head_dim + 2 * c.v_head_dim),
          2 * mlp_width(c, moe) + routed(c, moe) * 2 * c.moe_intermediate_size};
}

}  // namespace frugal::model
