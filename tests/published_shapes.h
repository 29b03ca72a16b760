// Shapes of the published checkpoints.
#pragma once

#include "model/config.h"

namespace frugal::test::published {

// Published shapes of the family, as their config.json files give them.
inline model::ModelConfig v3() {
  model::ModelConfig c;
  c.vocab_size = 129280;
  c.hidden_size = 7168;
  c.num_hidden_layers = 61;
  c.num_nextn_predict_layers = 1;
  c.intermediate_size = 18432;
  c.max_position_embeddings = 163840;
  c.num_attention_heads = 128;
  c.q_lora_rank = 1536;
  c.kv_lora_rank = 512;
  c.qk_nope_head_dim = 128;
  c.qk_rope_head_dim = c.rope.dim = 64;
  c.v_head_dim = 128;
  c.n_routed_experts = 256;
  c.n_shared_experts = 1;
  c.num_experts_per_tok = 8;
  c.moe_intermediate_size = 2048;
  c.n_group = 8;
  c.topk_group = 4;
  c.first_k_dense_replace = 3;
  c.routed_scaling_factor = 2.5;
  model::check_config(c, "v3");
  return c;
}
inline model::ModelConfig kimi_k2() {
  model::ModelConfig c = v3();
  c.model_type = "kimi_k2";
  c.vocab_size = 163840;
  c.num_nextn_predict_layers = 0;
  c.num_attention_heads = 64;
  c.n_routed_experts = 384;
  c.n_group = c.topk_group = 1;
  c.first_k_dense_replace = 1;
  model::check_config(c, "kimi_k2");
  return c;
}
inline model::ModelConfig moonlight() {
  model::ModelConfig c = v3();
  c.vocab_size = 163840;
  c.hidden_size = 2048;
  c.num_hidden_layers = 27;
  c.num_nextn_predict_layers = 0;
  c.intermediate_size = 11264;
  c.num_attention_heads = 16;
  c.q_lora_rank = 0;
  c.n_routed_experts = 64;
  c.n_shared_experts = 2;
  c.num_experts_per_tok = 6;
  c.moe_intermediate_size = 1408;
  c.n_group = c.topk_group = 1;
  c.first_k_dense_replace = 1;
  model::check_config(c, "moonlight");
  return c;
}
inline model::ModelConfig v2_lite() {
  model::ModelConfig c = moonlight();
  c.model_type = "deepseek_v2";
  c.architecture = "DeepseekV2ForCausalLM";
  c.vocab_size = 102400;
  c.intermediate_size = 10944;
  c.scoring_func = "softmax";
  c.topk_method = "greedy";
  c.norm_topk_prob = false;
  c.routed_scaling_factor = 1;
  model::check_config(c, "v2_lite");
  return c;
}

inline model::ModelConfig v2() {
  model::ModelConfig c = v2_lite();
  c.hidden_size = 5120;
  c.num_hidden_layers = 60;
  c.intermediate_size = 12288;
  c.num_attention_heads = 128;
  c.q_lora_rank = 1536;
  c.n_routed_experts = 160;
  c.moe_intermediate_size = 1536;
  c.topk_method = "group_limited_greedy";
  c.n_group = 8;
  c.topk_group = 3;
  c.routed_scaling_factor = 16;
  model::check_config(c, "v2");
  return c;
}

}  // namespace frugal::test::published
