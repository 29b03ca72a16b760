// ModelConfig: a DeepSeek-V3-family model as its Hugging Face config.json describes it. Field names are the
// file's.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "kernels/rope.h"
#include "kernels/route.h"

namespace frugal::model {

struct ModelConfig {
  std::string model_type = "deepseek_v3";  // deepseek_v3, deepseek_v2, kimi_k2
  std::string architecture = "DeepseekV3ForCausalLM";
  int64_t vocab_size = 0;
  int64_t hidden_size = 0;
  int64_t num_hidden_layers = 0;
  int64_t num_nextn_predict_layers = 0;  // MTP modules: 0 or 1
  int64_t intermediate_size = 0;         // dense SwiGLU width
  int64_t max_position_embeddings = 0;

  // attention (MLA)
  int64_t num_attention_heads = 0;
  int64_t q_lora_rank = 0;  // 0: null in the file, one q_proj
  int64_t kv_lora_rank = 0;
  int64_t qk_nope_head_dim = 0, qk_rope_head_dim = 0, v_head_dim = 0;
  kernels::RopeConfig rope;  // rope_theta, rope_scaling; dim = qk_rope_head_dim

  // experts; n_routed_experts 0: every layer is dense
  int64_t n_routed_experts = 0, n_shared_experts = 0, num_experts_per_tok = 0, moe_intermediate_size = 0;
  int64_t n_group = 1, topk_group = 1;
  int64_t first_k_dense_replace = 0, moe_layer_freq = 1;
  std::string topk_method = "noaux_tc";  // noaux_tc (V3), greedy, group_limited_greedy (V2)
  std::string scoring_func = "sigmoid";  // sigmoid (V3), softmax (V2)
  bool norm_topk_prob = true;
  double routed_scaling_factor = 1.0;

  double rms_norm_eps = 1e-6;
  bool tie_word_embeddings = false;
  int32_t bos_token_id = -1;             // -1: none
  std::vector<int32_t> eos_token_ids;    // a number or a list in the file
  std::string torch_dtype = "bfloat16";  // of the stored weights
  // quantization_config of published FP8 checkpoints: e4m3, blocks of 128 x 128, dynamic activations.
  bool fp8 = false;
  bool ue8m0_scales = false;  // scale_fmt "ue8m0"
  // Of directories that `frugal quantize` writes: int8 (8) or int4 (4) in groups of 128 (docs/formats.md); 0:
  // none.
  int64_t bits = 0;

  std::vector<std::string> unknown_fields;  // in the file, not known to us, ignored

  // ---- derived ----
  int64_t qk_head_dim() const { return qk_nope_head_dim + qk_rope_head_dim; }
  int64_t shared_intermediate_size() const { return n_shared_experts * moe_intermediate_size; }
  // Layer num_hidden_layers is the MTP module's.
  bool is_moe_layer(int64_t layer) const {
    if (n_routed_experts == 0) return false;
    return layer >= num_hidden_layers || (layer >= first_k_dense_replace && layer % moe_layer_freq == 0);
  }
  bool has_correction_bias() const { return topk_method == "noaux_tc"; }
  float softmax_scale() const {
    return static_cast<float>(kernels::attention_softmax_scale(rope, qk_head_dim()));
  }
  kernels::RouteConfig route() const;
};

// eps of q_a_layernorm and kv_a_layernorm: Hugging Face's default, whatever rms_norm_eps says (Moonlight has
// 1e-5).
inline constexpr float kLoraNormEps = 1e-6f;

// Parses and checks; `name` stands in error messages (the file's path). Throws Error naming the field for
// impossible shapes, contradictions, and fields that would change the result but are not implemented.
ModelConfig parse_config(std::string_view json, const std::string& name);
ModelConfig load_config(const std::string& directory);  // directory/config.json
// Checks shapes and ranges of a config that was filled by hand (a recipe); also called by parse_config.
void check_config(const ModelConfig& config, const std::string& name);
std::string config_to_json(const ModelConfig& config);
// The quantization_config of published FP8 checkpoints with float32 scales (bits 0), or of int8 and int4
// ones.
std::string quantization_config_json(int64_t bits);

}  // namespace frugal::model
