#include "model/flops.h"

namespace frugal::model {

double forward_flops_per_token(const ModelConfig& c, int64_t length, bool with_mtp) {
  const int64_t H = c.num_attention_heads, hidden = c.hidden_size, qk = c.qk_head_dim();
  const int64_t q = c.q_lora_rank ? c.q_lora_rank * (hidden + H * qk) : hidden * H * qk;
  const int64_t mla = q + hidden * (c.kv_lora_rank + c.qk_rope_head_dim) +
                      c.kv_lora_rank * H * (c.qk_nope_head_dim + c.v_head_dim) + H * c.v_head_dim * hidden;
  const double attention =
      static_cast<double>(H * (qk + c.v_head_dim)) * static_cast<double>(length + 1) / 2.0;
  const int64_t dense = 3 * hidden * c.intermediate_size;
  const int64_t moe =
      3 * hidden * (c.num_experts_per_tok * c.moe_intermediate_size + c.shared_intermediate_size()) +
      hidden * c.n_routed_experts;
  const int64_t head = hidden * c.vocab_size;
  double macs = static_cast<double>(head);
  for (int64_t l = 0; l < c.num_hidden_layers; ++l)
    macs += static_cast<double>(mla + (c.is_moe_layer(l) ? moe : dense)) + attention;
  if (with_mtp && c.num_nextn_predict_layers > 0)
    macs += static_cast<double>(2 * hidden * hidden + mla + (c.n_routed_experts ? moe : dense) + head) +
            attention;
  return 2.0 * macs;
}

}  // namespace frugal::model
