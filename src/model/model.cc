#include "model/model.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/rng.h"
#include "kernels/norm.h"
#include "model/mla.h"
#include "model/moe.h"

namespace frugal::model {

namespace {
bool kept_as_f32(const Param& p, bool trainable) { return trainable || p.kind != ParamKind::kMatrix; }
bool kept_as_bf16(const Param& p, kernels::Operand operand, bool trainable) {
  return p.kind == ParamKind::kEmbedding && operand == kernels::Operand::kBF16 && !trainable;
}
bool packed(const Param& p, const ModelConfig& c) {
  return p.kind == ParamKind::kMatrix || p.kind == ParamKind::kGate ||
         (p.kind == ParamKind::kEmbedding && c.tie_word_embeddings);
}
// The router's product is f32 whatever the precision (docs/numerics.md, section 4).
kernels::Operand operand_of(const Param& p, const ModelConfig& c, kernels::Operand operand) {
  if (c.bits > 0 && p.in_integers) return integer_operand(c.bits);
  return p.kind == ParamKind::kGate ? kernels::Operand::kF32 : operand;
}

// A loader gives them: panels in a mapped file, or e4m3 as it finds it.
bool panels_come_later(const Param& p, const ModelConfig& c, kernels::Operand operand, bool trainable) {
  if (c.bits > 0) return p.in_integers;
  return c.fp8 && operand == kernels::Operand::kBF16 && !trainable && p.kind == ParamKind::kMatrix;
}

struct Sizes {
  int64_t floats = 0, halves = 0, panel_bytes = 0, mapped_bytes = 0;
};
// Calls f(param, first float or -1, first panel byte or -1) for the first row of every weight. There is at
// most one weight of halves.
template <class F>
Sizes for_each_weight(const ParamTable& table, const ModelConfig& c, kernels::Operand operand, bool trainable,
                      F f) {
  Sizes s;
  const auto aligned = [](int64_t n, int64_t to) { return (n + to - 1) / to * to; };
  for (const Param& p : table.params) {
    if (p.row != 0) continue;
    const Weight& w = *p.weight;
    const bool mapped = panels_come_later(p, c, operand, trainable);
    const bool half = kept_as_bf16(p, operand, trainable);
    const int64_t at = kept_as_f32(p, trainable) && !half ? s.floats : -1;
    const int64_t panel = packed(p, c) && !mapped ? s.panel_bytes : -1;
    if (at >= 0) s.floats += w.elements();
    if (half) s.halves += w.elements();
    // Published FP8 directories have the head and the MTP module's projection in bf16.
    const bool fp8 = mapped && c.fp8 && p.layer >= 0 && (p.layer < c.num_hidden_layers || p.in_integers);
    if (mapped)
      s.mapped_bytes +=
          kernels::packed_b_bytes(w.out, w.in, fp8 ? kernels::Operand::kFP8 : operand_of(p, c, operand));
    if (panel >= 0) {
      s.panel_bytes += aligned(kernels::packed_b_bytes(w.out, w.in, operand_of(p, c, operand)), 64);
      if (trainable)
        s.panel_bytes += aligned(kernels::packed_b_bytes(w.in, w.out, operand_of(p, c, operand)), 64);
    }
    f(p, at, panel);
  }
  return s;
}
}  // namespace

int64_t Model::memory_bytes(const ModelConfig& config, kernels::Operand operand, bool trainable) {
  Weights weights;
  const ParamTable table = build_param_table(config, &weights);
  const Sizes s = for_each_weight(table, config, operand, trainable, [](const Param&, int64_t, int64_t) {});
  return s.floats * 4 + s.halves * 2 + s.panel_bytes + s.mapped_bytes;
}

Model::Model(const ModelConfig& model_config, kernels::Operand op, bool is_trainable)
    : config(model_config),
      operand(op),
      trainable(is_trainable),
      table(build_param_table(config, &weights)),
      rope(config.rope) {
  const Sizes s = for_each_weight(table, config, operand, trainable, [](const Param&, int64_t, int64_t) {});
  values_ = aligned_array<float>(s.floats);
  if (s.halves > 0) halves_ = aligned_array<uint16_t>(s.halves);
  panels_ = aligned_array<std::byte>(s.panel_bytes);
  for_each_weight(table, config, operand, trainable, [&](const Param& p, int64_t at, int64_t panel) {
    Weight& w = *p.weight;
    if (at >= 0) w.data = values_.get() + at;
    if (kept_as_bf16(p, operand, trainable)) w.half = halves_.get();
    FRUGAL_ASSERT(!trainable || at == w.offset, "{} at {} instead of {}", p.name, at, w.offset);
    if (!packed(p, config)) return;
    w.matrix.operand = operand_of(p, config, operand);
    w.matrix.out = w.out;
    w.matrix.in = w.in;
    w.matrix.name = w.label;
    if (panel < 0) {
      w.matrix.version = version;
      return;
    }
    w.matrix.panels = panels_.get() + panel;
    if (trainable)
      w.matrix.panels_transposed =
          panels_.get() + panel + (kernels::packed_b_bytes(w.out, w.in, w.matrix.operand) + 63) / 64 * 64;
  });
}

bool Model::needs_panels(const Weight& w) const { return w.matrix.panels != nullptr; }

double Model::init_std(const ModelConfig& config) {
  return 0.006 * std::sqrt(7168.0 / static_cast<double>(config.hidden_size));
}

void Model::init(kernels::Ctx& ctx, uint64_t seed) {
  FRUGAL_ASSERT(trainable, "init of a model without masters");
  const double std = init_std(config);
  for (const Param& p : table.params) {
    float* data = p.data();
    if (p.kind == ParamKind::kNorm || p.kind == ParamKind::kBias) {
      std::fill_n(data, p.elements(), p.kind == ParamKind::kNorm ? 1.0f : 0.0f);
      continue;
    }
    const uint64_t key = rng_key(seed, p.name);
    ctx.pool.parallel_for(p.elements(), [&](int64_t begin, int64_t end, int) {
      for (int64_t i = begin; i < end; ++i)
        data[i] = static_cast<float>(std * rng_normal(key, static_cast<uint64_t>(i)));
    });
  }
  pack(ctx, 0);
}

void Model::take_panels(Weight* w, kernels::Operand format) {
  constexpr int64_t kBlock = int64_t{256} << 20;  // many matrices, which then lie on huge pages
  const int64_t bytes = kernels::packed_b_bytes(w->out, w->in, format), rounded = (bytes + 63) / 64 * 64;
  if (later_.empty() || later_.back().capacity() - later_.back().used() < rounded)
    later_.emplace_back(std::max(rounded, kBlock));
  w->matrix.operand = format;
  w->matrix.panels = later_.back().alloc<std::byte>(bytes);
}

void Model::pack_weight(kernels::Ctx& ctx, const float* values, Weight* w) {
  if (needs_panels(*w)) kernels::pack_matrix(ctx, values, &w->matrix, version);
}

void Model::pack(kernels::Ctx& ctx, int64_t new_version) {
  FRUGAL_ASSERT(trainable, "pack of a model without masters");
  version = new_version;
  std::vector<kernels::MatrixValues> matrices;
  for (const Param& p : table.params)
    if (p.row == 0 && needs_panels(*p.weight)) matrices.push_back({&p.weight->matrix, p.weight->data});
  kernels::pack_matrices(ctx, matrices, version);
}

void Model::pack_absorbed_layer(kernels::Ctx& ctx, const float* kv_b, AttentionWeights* w) {
  pack_absorbed(ctx, config, operand, kv_b, version, w, &absorbed_);
}

namespace {
// Temporary rows of a layer whose saved ones are of another type.
WideRows kept_wide_rows(const ModelConfig& c, bool moe, kernels::Operand kept) {
  return kept == kernels::Operand::kBF16 ? wide_rows(c, moe) : WideRows{0, 0};
}
}  // namespace

int64_t forward_scratch_bytes(const ModelConfig& c, int64_t tokens, int64_t sequences,
                              kernels::Operand kept) {
  const int64_t heads = c.num_attention_heads, lora = c.kv_lora_rank + c.qk_rope_head_dim;
  const kernels::PageLayout pages = expanded_layout(c, kernels::Operand::kF32);
  const int64_t attention = heads * c.qk_head_dim() + 2 * c.hidden_size + c.q_lora_rank + c.kv_lora_rank +
                            lora + c.qk_rope_head_dim + heads * (lora + c.kv_lora_rank + c.v_head_dim);
  const int64_t experts = c.n_routed_experts + c.shared_intermediate_size() +
                          c.num_experts_per_tok * (c.moe_intermediate_size + c.hidden_size);
  const WideRows dense = kept_wide_rows(c, false, kept), moe = kept_wide_rows(c, true, kept);
  const int64_t ffn = 2 * c.hidden_size + std::max(c.intermediate_size + dense.ffn, experts + moe.ffn);
  return tokens * std::max(attention + dense.attention, ffn) * 4 +
         (tokens / kernels::kPageTokens + sequences + 1) * (pages.page_bytes() + 64) + 64 * 32;
}

int64_t backward_scratch_bytes(const ModelConfig& c, int64_t tokens, kernels::Operand kept) {
  const int64_t heads = c.num_attention_heads, top_k = c.num_experts_per_tok;
  const int64_t attention = heads * (3 * c.qk_head_dim() + 3 * c.v_head_dim + c.qk_nope_head_dim) +
                            3 * c.kv_lora_rank + c.qk_rope_head_dim + 2 * c.hidden_size + 3 * c.q_lora_rank +
                            kept_wide_rows(c, false, kept).attention;
  const int64_t dense = 2 * c.hidden_size + 3 * c.intermediate_size;
  const int64_t moe = 2 * c.hidden_size + top_k * (1 + c.hidden_size + 3 * c.moe_intermediate_size) +
                      3 * c.shared_intermediate_size() + c.n_routed_experts;
  return tokens * std::max({attention, dense, moe}) * 4 + 64 * 32;
}

void layer_forward(const Pass& p, const LayerWeights& w, LayerSaved* s, float* x) {
  {
    const kernels::ProfileScope timed(p.ctx.profile, "row operations",
                                      {0, 8.0 * static_cast<double>(p.tokens() * p.config.hidden_size)},
                                      "copies");
    p.ctx.pool.parallel_for(p.tokens() * p.config.hidden_size, [&](int64_t begin, int64_t end, int) {
      std::copy(x + begin, x + end, s->x_in + begin);
    });
  }
  mla_forward(p, w.attention, w.input_layernorm, s);
  ffn_forward(p, w, s, x);
}

double layer_backward(const Pass& p, const LayerWeights& w, const LayerSaved& s,
                      const BalanceContext& balance, float* dx, float* grads) {
  const double loss = ffn_backward(p, w, s, balance, dx, grads);
  mla_backward(p, w.attention, w.input_layernorm, s, dx, grads);
  return loss;
}

void embed(kernels::Ctx& ctx, const Model& m, const int32_t* tokens, int64_t n, float* x) {
  const int64_t hidden = m.config.hidden_size;
  for (int64_t t = 0; t < n; ++t)
    FRUGAL_ASSERT(tokens[t] >= 0 && tokens[t] < m.config.vocab_size, "token {} of a vocabulary of {}",
                  tokens[t], m.config.vocab_size);
  const kernels::ProfileScope timed(ctx.profile, "embedding");
  ctx.pool.parallel_for(n, [&](int64_t begin, int64_t end, int) {
    for (int64_t t = begin; t < end; ++t) {
      const Weight& w = m.weights.embed_tokens;
      if (w.half) {
        ctx.level.widen_bf16(w.half + tokens[t] * hidden, hidden, x + t * hidden);
        continue;
      }
      const float* row = w.data + tokens[t] * hidden;
      if (m.operand == kernels::Operand::kBF16)
        ctx.level.round_bf16(row, hidden, x + t * hidden);
      else
        std::memcpy(x + t * hidden, row, static_cast<size_t>(hidden) * sizeof(float));
    }
  });
}

void embed_backward(kernels::Ctx& ctx, const Model& m, const int32_t* tokens, int64_t n, const float* dx,
                    float* grads) {
  const int64_t hidden = m.config.hidden_size;
  float* g = grads + m.weights.embed_tokens.offset;
  // Threads split the columns: two rows may be the same token.
  const kernels::ProfileScope timed(ctx.profile, "embedding");
  ctx.pool.parallel_for(hidden, [&](int64_t begin, int64_t end, int) {
    for (int64_t t = 0; t < n; ++t) {
      float* row = g + tokens[t] * hidden + begin;
      ctx.level.add(row, dx + t * hidden + begin, end - begin, row);
    }
  });
}

namespace {
Pass make_pass(kernels::Ctx& ctx, const Model& m, const ForwardArgs& a) {
  return Pass{ctx, m.config, a.batch, m.rope, a.arena, m.operand, m.version, a.cache, a.probe, 0, ""};
}
}  // namespace

void forward(kernels::Ctx& ctx, Model& m, const ForwardArgs& a, float* x, float* h, float* r) {
  const int64_t T = a.batch.size(), hidden = m.config.hidden_size, layers = m.config.num_hidden_layers;
  const int32_t last = *std::max_element(a.batch.positions.begin(), a.batch.positions.end());
  m.rope.extend(last + 1);
  Pass p = make_pass(ctx, m, a);
  embed(ctx, m, a.batch.tokens.data(), T, x);
  p.report("hidden_states.0", x, T, hidden);
  if (a.saved) a.saved->clear();
  for (p.layer = 0; p.layer < layers; ++p.layer) {
    const LayerWeights& w = m.weights.layers[static_cast<size_t>(p.layer)];
    p.name = fmt::format("layers.{}.", p.layer);
    const int64_t mark = a.arena.used();
    LayerSaved s = alloc_saved(m.config, w.moe, T, a.saved ? m.operand : kernels::Operand::kF32, &a.arena);
    layer_forward(p, w, &s, x);
    if (a.saved)
      a.saved->push_back(s);
    else
      a.arena.rewind(mark);
    p.name.clear();
    if (p.probe) p.report(fmt::format("hidden_states.{}", p.layer + 1).c_str(), x, T, hidden);
  }
  kernels::rmsnorm(ctx, x, hidden, m.weights.norm.data, static_cast<float>(m.config.rms_norm_eps), T, hidden,
                   h, r);
  p.report("final_norm", h, T, hidden);
}

double backward(kernels::Ctx& ctx, Model& m, const ForwardArgs& a, const float* x_last, const float* r,
                const BalanceContext& balance, float* dh, float* grads) {
  const int64_t T = a.batch.size(), hidden = m.config.hidden_size;
  Pass p = make_pass(ctx, m, a);
  const int64_t mark = a.arena.used();
  float* dx = a.arena.alloc<float>(T * hidden);
  std::memset(dx, 0, static_cast<size_t>(T * hidden) * sizeof(float));
  kernels::rmsnorm_backward(ctx, x_last, hidden, m.weights.norm.data, r, dh, T, hidden, dx, hidden,
                            grads + m.weights.norm.offset);
  double loss = 0;
  for (p.layer = m.config.num_hidden_layers - 1; p.layer >= 0; --p.layer)
    loss += layer_backward(p, m.weights.layers[static_cast<size_t>(p.layer)],
                           (*a.saved)[static_cast<size_t>(p.layer)], balance, dx, grads);
  embed_backward(ctx, m, a.batch.tokens.data(), T, dx, grads);
  a.arena.rewind(mark);
  return loss;
}

}  // namespace frugal::model
