#include "model/params.h"

namespace frugal::model {

namespace {
// Adds rows to the table while it walks the weights in the order of the forward pass.
class Builder {
 public:
  Builder(const ModelConfig& config, ParamTable* table) : c_(config), t_(*table) {}

  void walk(Weights* w) {
    matrix("model.embed_tokens.weight", "embed_tokens", ParamKind::kEmbedding, &w->embed_tokens,
           c_.vocab_size, c_.hidden_size);
    w->layers.resize(static_cast<size_t>(c_.num_hidden_layers));
    for (layer_ = 0; layer_ < c_.num_hidden_layers; ++layer_) {
      prefix_ = fmt::format("model.layers.{}.", layer_);
      layer(&w->layers[static_cast<size_t>(layer_)]);
    }
    layer_ = -1;
    prefix_.clear();
    vector("model.norm.weight", ParamKind::kNorm, &w->norm, c_.hidden_size);
    if (!c_.tie_word_embeddings)
      matrix("lm_head.weight", "lm_head", ParamKind::kMatrix, &w->lm_head, c_.vocab_size, c_.hidden_size);
    w->mtp.resize(static_cast<size_t>(c_.num_nextn_predict_layers));
    for (size_t m = 0; m < w->mtp.size(); ++m) {
      layer_ = c_.num_hidden_layers + static_cast<int64_t>(m);
      prefix_ = fmt::format("model.layers.{}.", layer_);
      mtp(&w->mtp[m]);
      copies_.emplace_back(prefix_ + "embed_tokens.weight", "model.embed_tokens.weight");
      copies_.emplace_back(prefix_ + "shared_head.head.weight",
                           c_.tie_word_embeddings ? "model.embed_tokens.weight" : "lm_head.weight");
    }
    for (const auto& [copy, original] : copies_) t_.copies.emplace_back(copy, t_.find(original));
  }

 private:
  void add(const std::string& name, ParamKind kind, Weight* w, int64_t row, Shape shape) {
    t_.params.push_back({prefix_ + name, shape, kind, w, row, layer_, kind == ParamKind::kMatrix});
    t_.elements += shape.elements();
  }
  void matrix(const std::string& name, const char* label, ParamKind kind, Weight* w, int64_t out,
              int64_t in) {
    w->label = label;
    w->out = out;
    w->in = in;
    w->offset = t_.elements;
    add(name, kind, w, 0, {out, in});
  }
  void vector(const std::string& name, ParamKind kind, Weight* w, int64_t n) {
    w->out = n;
    w->in = 1;
    w->offset = t_.elements;
    add(name, kind, w, 0, {n});
  }
  void mlp(const std::string& at, const char* gate_up, const char* down, MlpWeights* m, int64_t width) {
    m->gate_up.label = gate_up;
    m->gate_up.out = 2 * width;
    m->gate_up.in = c_.hidden_size;
    m->gate_up.offset = t_.elements;
    add(at + "gate_proj.weight", ParamKind::kMatrix, &m->gate_up, 0, {width, c_.hidden_size});
    add(at + "up_proj.weight", ParamKind::kMatrix, &m->gate_up, width, {width, c_.hidden_size});
    matrix(at + "down_proj.weight", down, ParamKind::kMatrix, &m->down, c_.hidden_size, width);
  }
  void attention(AttentionWeights* a) {
    const auto linear = [&](const char* name, Weight* w, int64_t out, int64_t in) {
      matrix(fmt::format("self_attn.{}.weight", name), name, ParamKind::kMatrix, w, out, in);
    };
    const int64_t heads = c_.num_attention_heads;
    if (c_.q_lora_rank == 0) {
      linear("q_proj", &a->q_proj, heads * c_.qk_head_dim(), c_.hidden_size);
    } else {
      linear("q_a_proj", &a->q_a_proj, c_.q_lora_rank, c_.hidden_size);
      vector("self_attn.q_a_layernorm.weight", ParamKind::kNorm, &a->q_a_layernorm, c_.q_lora_rank);
      linear("q_b_proj", &a->q_b_proj, heads * c_.qk_head_dim(), c_.q_lora_rank);
    }
    linear("kv_a_proj_with_mqa", &a->kv_a_proj, c_.kv_lora_rank + c_.qk_rope_head_dim, c_.hidden_size);
    vector("self_attn.kv_a_layernorm.weight", ParamKind::kNorm, &a->kv_a_layernorm, c_.kv_lora_rank);
    linear("kv_b_proj", &a->kv_b_proj, heads * (c_.qk_nope_head_dim + c_.v_head_dim), c_.kv_lora_rank);
    t_.params.back().in_integers = false;  // small, and the absorbed form takes it apart by heads
    linear("o_proj", &a->o_proj, c_.hidden_size, heads * c_.v_head_dim);
  }
  void layer(LayerWeights* l) {
    l->moe = c_.is_moe_layer(layer_);
    vector("input_layernorm.weight", ParamKind::kNorm, &l->input_layernorm, c_.hidden_size);
    attention(&l->attention);
    vector("post_attention_layernorm.weight", ParamKind::kNorm, &l->post_attention_layernorm, c_.hidden_size);
    if (!l->moe) {
      mlp("mlp.", "dense gate_up", "dense down", &l->mlp, c_.intermediate_size);
      return;
    }
    matrix("mlp.gate.weight", "router", ParamKind::kGate, &l->experts.gate, c_.n_routed_experts,
           c_.hidden_size);
    if (c_.has_correction_bias())
      vector("mlp.gate.e_score_correction_bias", ParamKind::kBias, &l->experts.bias, c_.n_routed_experts);
    if (c_.n_shared_experts > 0)
      mlp("mlp.shared_experts.", "shared gate_up", "shared down", &l->experts.shared,
          c_.shared_intermediate_size());
    l->experts.experts.resize(static_cast<size_t>(c_.n_routed_experts));
    for (size_t e = 0; e < l->experts.experts.size(); ++e)
      mlp(fmt::format("mlp.experts.{}.", e), "experts gate_up", "experts down", &l->experts.experts[e],
          c_.moe_intermediate_size);
  }
  void mtp(MtpWeights* m) {
    vector("enorm.weight", ParamKind::kNorm, &m->enorm, c_.hidden_size);
    vector("hnorm.weight", ParamKind::kNorm, &m->hnorm, c_.hidden_size);
    matrix("eh_proj.weight", "eh_proj", ParamKind::kMatrix, &m->eh_proj, c_.hidden_size, 2 * c_.hidden_size);
    t_.params.back().in_integers = false;  // as in published FP8 checkpoints
    layer(&m->block);
    vector("shared_head.norm.weight", ParamKind::kNorm, &m->shared_head_norm, c_.hidden_size);
  }

  const ModelConfig& c_;
  ParamTable& t_;
  std::string prefix_;
  int64_t layer_ = -1;
  std::vector<std::pair<std::string, std::string>> copies_;
};
}  // namespace

const Param* ParamTable::find(const std::string& name) const {
  for (const Param& p : params)
    if (p.name == name) return &p;
  return nullptr;
}

ParamTable build_param_table(const ModelConfig& config, Weights* weights) {
  ParamTable table;
  Builder(config, &table).walk(weights);
  return table;
}

int64_t active_parameters(const ModelConfig& c) {
  Weights weights;
  const ParamTable table = build_param_table(c, &weights);
  int64_t n = 0, routed = 0;
  for (const Param& p : table.params) {
    if (p.layer >= c.num_hidden_layers) continue;  // the MTP module is not used to continue text
    n += p.elements();
  }
  for (const LayerWeights& l : weights.layers)
    for (const MlpWeights& e : l.experts.experts) routed += e.gate_up.elements() + e.down.elements();
  return n - (c.n_routed_experts ? routed / c.n_routed_experts * (c.n_routed_experts - c.num_experts_per_tok)
                                 : 0);
}

}  // namespace frugal::model
