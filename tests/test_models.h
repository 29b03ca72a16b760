// Tiny models of every variant of the family, with values that make each part of them matter.
#pragma once

#include <algorithm>
#include <cmath>
#include <memory>
#include <string>
#include <vector>

#include "model/kv_cache.h"
#include "model/model.h"
#include "model/objective.h"
#include "test_values.h"

namespace frugal::test {

// V3: query latent, sigmoid scores, groups, correction bias, shared expert, MTP, YaRN. Sizes are odd on
// purpose.
inline model::ModelConfig v3_config() {
  model::ModelConfig c;
  c.vocab_size = 61;
  c.hidden_size = 36;
  c.num_hidden_layers = 2;
  c.first_k_dense_replace = 1;
  c.intermediate_size = 44;
  c.num_attention_heads = 3;
  c.q_lora_rank = 20;
  c.kv_lora_rank = 18;
  c.qk_nope_head_dim = 10;
  c.qk_rope_head_dim = 6;
  c.v_head_dim = 11;
  c.n_routed_experts = 8;
  c.num_experts_per_tok = 3;
  c.moe_intermediate_size = 14;
  c.n_shared_experts = 1;
  c.n_group = 4;
  c.topk_group = 2;
  c.routed_scaling_factor = 2.5;
  c.num_nextn_predict_layers = 1;
  c.max_position_embeddings = 256;
  c.rope.dim = c.qk_rope_head_dim;
  c.rope.yarn = true;
  c.rope.factor = 4;
  c.rope.original_max_position_embeddings = 64;
  c.rope.mscale = c.rope.mscale_all_dim = 1;
  return c;
}

struct NamedConfig {
  std::string name;
  model::ModelConfig config;
};
inline std::vector<NamedConfig> family() {
  std::vector<NamedConfig> all;
  all.push_back({"v3", v3_config()});
  model::ModelConfig c = v3_config();  // Moonlight: no query latent, no groups
  c.q_lora_rank = 0;
  c.n_group = c.topk_group = 1;
  c.num_nextn_predict_layers = 0;
  c.rope.yarn = false;
  c.rope.factor = 1;
  all.push_back({"no_q_lora", c});
  c = v3_config();  // V2-Lite: softmax, greedy
  c.model_type = "deepseek_v2";
  c.architecture = "DeepseekV2ForCausalLM";
  c.q_lora_rank = 0;
  c.n_group = c.topk_group = 1;
  c.scoring_func = "softmax";
  c.topk_method = "greedy";
  c.norm_topk_prob = false;
  c.routed_scaling_factor = 1;
  c.n_shared_experts = 2;
  c.num_nextn_predict_layers = 0;
  all.push_back({"softmax_greedy", c});
  c.q_lora_rank = 20;  // V2: a group's score is its largest, some layers are dense
  c.n_group = 4;
  c.topk_group = 2;
  c.topk_method = "group_limited_greedy";
  c.routed_scaling_factor = 1.6;
  c.num_hidden_layers = 3;
  c.moe_layer_freq = 2;
  all.push_back({"softmax_groups", c});
  c = v3_config();
  c.tie_word_embeddings = true;
  all.push_back({"tied", c});
  c = v3_config();
  c.n_shared_experts = 0;
  c.first_k_dense_replace = 0;
  all.push_back({"no_shared", c});
  c = v3_config();
  c.n_routed_experts = c.num_experts_per_tok = c.moe_intermediate_size = c.n_shared_experts = 0;
  c.n_group = c.topk_group = 1;
  all.push_back({"dense", c});
  for (const NamedConfig& n : all) model::check_config(n.config, n.name);
  return all;
}

// Larger values than training starts from: attention that is not flat, norms and biases that are not neutral.
inline void fill(kernels::Ctx& ctx, model::Model* m) {
  for (const model::Param& p : m->table.params) {
    const double scale = p.kind == model::ParamKind::kNorm   ? 0.2
                         : p.kind == model::ParamKind::kBias ? 0.05
                         : p.kind == model::ParamKind::kEmbedding
                             ? 1.0
                             : 1.0 / std::sqrt(static_cast<double>(p.weight->in));
    const std::vector<float> x = normal(p.name, p.elements(), scale);
    std::copy(x.begin(), x.end(), p.data());
    if (p.kind == model::ParamKind::kNorm)
      for (int64_t i = 0; i < p.elements(); ++i) p.data()[i] += 1.0f;
  }
  m->pack(ctx, m->version);
}
inline std::unique_ptr<model::Model> make_model(kernels::Ctx& ctx, const model::ModelConfig& config,
                                                kernels::Operand operand) {
  auto m = std::make_unique<model::Model>(config, operand, true);
  fill(ctx, m.get());
  for (auto& layer : m->weights.layers)
    m->pack_absorbed_layer(ctx, layer.attention.kv_b_proj.data, &layer.attention);
  return m;
}

// Logits [T, vocab] of a batch.
inline std::vector<float> logits_of(kernels::Ctx& ctx, model::Model* m, const model::TokenBatch& batch,
                                    model::KvCache* cache = nullptr, bool save = false) {
  const model::ModelConfig& c = m->config;
  const int64_t T = batch.size(), sequences = static_cast<int64_t>(batch.sequences.size());
  int64_t bytes =
      model::forward_scratch_bytes(c, T, sequences, m->operand) + T * (2 * c.hidden_size + 1) * 4 + 64 * 8;
  for (int64_t l = 0; l < c.num_hidden_layers; ++l)
    bytes += model::saved_bytes(c, c.is_moe_layer(l), T, kernels::Operand::kF32);
  Arena arena(bytes);
  float* x = arena.alloc<float>(T * c.hidden_size);
  float* h = arena.alloc<float>(T * c.hidden_size);
  float* r = arena.alloc<float>(T);
  std::vector<model::LayerSaved> saved;
  model::forward(ctx, *m, {batch, arena, cache, save ? &saved : nullptr, nullptr}, x, h, r);
  std::vector<float> logits(static_cast<size_t>(T * c.vocab_size));
  model::head_logits(ctx, *m, h, T, logits.data());
  return logits;
}

struct Gradients {
  model::ObjectiveResult result;
  std::vector<float> grads;
  double loss = 0;
  // Every choice the loss depends on: routed experts, and the largest raw scores that the balance loss
  // counts. Where they differ between two points the loss has a step.
  std::vector<int32_t> choices;
};
// tokens [rows, length + 2]: one whole optimizer step.
inline Gradients gradients_of(kernels::Ctx& ctx, model::Model* m, const std::vector<int32_t>& tokens,
                              int64_t rows, int64_t length, double mtp_lambda = 0.3,
                              double balance_alpha = 0.05) {
  Gradients g;
  g.grads.assign(static_cast<size_t>(m->table.elements), 0.0f);
  model::Objective objective(m->config, m->operand, rows, length, true);
  model::ObjectiveArgs a;
  a.input = {tokens.data(), rows, length};
  a.sequences = rows;
  a.mtp_lambda = mtp_lambda;
  a.balance_alpha = balance_alpha;
  a.grads = g.grads.data();
  model::count_targets(a.input, &a.main_targets, &a.mtp_targets);
  const model::Probe probe = [&](const std::string& name, const float* data, int64_t n, int64_t columns) {
    if (name.ends_with("router.indices")) g.choices.insert(g.choices.end(), data, data + n * columns);
    if (!name.ends_with("router.scores")) return;
    std::vector<int32_t> top(static_cast<size_t>(m->config.num_experts_per_tok));
    for (int64_t t = 0; t < n; ++t) {
      kernels::raw_top_k(data + t * columns, columns, m->config.num_experts_per_tok, top.data());
      g.choices.insert(g.choices.end(), top.begin(), top.end());
    }
  };
  a.probe = &probe;
  g.result = objective.run(ctx, *m, a);
  if (a.main_targets > 0) g.loss += g.result.nll / static_cast<double>(a.main_targets);
  if (a.mtp_targets > 0) g.loss += mtp_lambda * g.result.mtp_nll / static_cast<double>(a.mtp_targets);
  g.loss += g.result.balance;
  return g;
}

}  // namespace frugal::test
