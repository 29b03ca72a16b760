#include "model/moe.h"

#include <algorithm>
#include <cstring>

#include "kernels/norm.h"

namespace frugal::model {

using kernels::Accumulate;

namespace {
// act [rows, I] from gate_up [rows, 2 I].
void swiglu_rows(const Pass& p, const float* gate_up, int64_t rows, int64_t width, float* act) {
  const kernels::ProfileScope timed(p.ctx.profile, "row operations");
  p.ctx.pool.parallel_for(rows, [&](int64_t begin, int64_t end, int) {
    for (int64_t t = begin; t < end; ++t)
      p.ctx.level.swiglu(gate_up + t * 2 * width, gate_up + t * 2 * width + width, width, act + t * width);
  });
}
void swiglu_rows_backward(const Pass& p, const float* gate_up, const float* dact, int64_t rows, int64_t width,
                          float* dgate_up) {
  const kernels::ProfileScope timed(p.ctx.profile, "row operations");
  p.ctx.pool.parallel_for(rows, [&](int64_t begin, int64_t end, int) {
    for (int64_t t = begin; t < end; ++t) {
      const float* in = gate_up + t * 2 * width;
      float* out = dgate_up + t * 2 * width;
      p.ctx.level.swiglu_backward(in, in + width, dact + t * width, width, out, out + width);
    }
  });
}

void mlp_forward(const Pass& p, const MlpWeights& w, const float* x, float* gate_up, float* act, float* out) {
  linear(p, w.gate_up, x, p.config.hidden_size, p.tokens(), gate_up);
  swiglu_rows(p, gate_up, p.tokens(), w.down.in, act);
  linear(p, w.down, act, w.down.in, p.tokens(), out);
}
// dx overwritten.
void mlp_backward(const Pass& p, const MlpWeights& w, const float* x, const float* gate_up, const float* act,
                  const float* dout, float* dx, float* grads) {
  const int64_t width = w.down.in;
  float* dact = p.arena.alloc<float>(p.tokens() * width);
  float* dgate_up = p.arena.alloc<float>(p.tokens() * 2 * width);
  linear_backward(p, w.down, dout, act, width, p.tokens(), dact, grads);
  swiglu_rows_backward(p, gate_up, dact, p.tokens(), width, dgate_up);
  linear_backward(p, w.gate_up, dgate_up, x, p.config.hidden_size, p.tokens(), dx, grads);
}

// One group per expert over its slots. Field picks gate_up or down.
std::vector<kernels::GemmGroup> expert_groups(const Pass& p, const MoeWeights& w, const LayerSaved& s,
                                              Weight MlpWeights::*field, bool forward, const float* a,
                                              int64_t lda, bool by_token, float* c) {
  std::vector<kernels::GemmGroup> groups;
  for (size_t e = 0; e < w.experts.size(); ++e) {
    const Weight& weight = w.experts[e].*field;
    FRUGAL_ASSERT(weight.matrix.version == p.version, "stale panel: version {} of {}", weight.matrix.version,
                  p.version);
    const int64_t first = s.offsets[e], rows = s.offsets[e + 1] - first;
    const kernels::PackedB b = forward ? weight.matrix.forward() : weight.matrix.backward();
    groups.push_back({by_token ? a : a + first * lda, lda, by_token ? s.rows + first : nullptr, rows, b,
                      c + first * b.n, b.n});
  }
  return groups;
}

void experts_forward(const Pass& p, const MoeWeights& w, LayerSaved* s) {
  const ModelConfig& c = p.config;
  const int64_t slots = p.tokens() * c.num_experts_per_tok;
  kernels::grouped_gemm(p.ctx,
                        expert_groups(p, w, *s, &MlpWeights::gate_up, true, s->norm_post, c.hidden_size, true,
                                      s->expert_gate_up),
                        Accumulate::kStore);
  swiglu_rows(p, s->expert_gate_up, slots, c.moe_intermediate_size, s->expert_act);
  kernels::grouped_gemm(p.ctx,
                        expert_groups(p, w, *s, &MlpWeights::down, true, s->expert_act,
                                      c.moe_intermediate_size, false, s->expert_out),
                        Accumulate::kStore);
}

// 5: r = shared; r = fma(weight, y, r) in ascending expert id.
void combine(const Pass& p, const LayerSaved& s, float* out) {
  const ModelConfig& c = p.config;
  const int64_t top_k = c.num_experts_per_tok, hidden = c.hidden_size;
  const kernels::ProfileScope timed(p.ctx.profile, "row operations");
  p.ctx.pool.parallel_for(p.tokens(), [&](int64_t begin, int64_t end, int) {
    for (int64_t t = begin; t < end; ++t) {
      float* r = out + t * hidden;
      if (c.n_shared_experts == 0) std::fill_n(r, hidden, 0.0f);
      for (int64_t k = 0; k < top_k; ++k)
        p.ctx.level.add_scaled(s.weights[t * top_k + k], s.expert_out + s.slots[t * top_k + k] * hidden,
                               hidden, r);
    }
  });
}

void report_routing(const Pass& p, const LayerSaved& s) {
  if (!p.probe) return;
  const ModelConfig& c = p.config;
  p.report("router.logits", s.logits, p.tokens(), c.n_routed_experts);
  p.report("router.scores", s.scores, p.tokens(), c.n_routed_experts);
  p.report("router.weights", s.weights, p.tokens(), c.num_experts_per_tok);
  std::vector<float> indices(s.indices,
                             s.indices + p.tokens() * c.num_experts_per_tok);  // exact: ids are small
  p.report("router.indices", indices.data(), p.tokens(), c.num_experts_per_tok);
}
}  // namespace

void ffn_forward(const Pass& p, const LayerWeights& w, LayerSaved* s, float* x_out) {
  const ModelConfig& c = p.config;
  const int64_t T = p.tokens(), hidden = c.hidden_size;
  const int64_t mark = p.arena.used();
  // 1 norm_post
  kernels::rmsnorm(p.ctx, s->x_mid, hidden, w.post_attention_layernorm.data,
                   static_cast<float>(c.rms_norm_eps), T, hidden, s->norm_post, s->r_post);
  float* out = p.arena.alloc<float>(T * hidden);
  if (!w.moe) {
    // 2 - 4
    mlp_forward(p, w.mlp, s->norm_post, s->gate_up, s->act, out);
  } else {
    // 2 route
    linear(p, w.experts.gate, s->norm_post, hidden, T, s->logits);
    kernels::route(p.ctx, c.route(), s->logits, w.experts.bias.data, T, s->routing());
    report_routing(p, *s);
    // 3 shared
    if (c.n_shared_experts > 0) mlp_forward(p, w.experts.shared, s->norm_post, s->gate_up, s->act, out);
    // 4 experts
    experts_forward(p, w.experts, s);
    // 5 combine
    combine(p, *s, out);
  }
  p.report("mlp_out", out, T, hidden);
  const kernels::ProfileScope timed(p.ctx.profile, "row operations");
  p.ctx.pool.parallel_for(T, [&](int64_t begin, int64_t end, int) {
    p.ctx.level.add(s->x_mid + begin * hidden, out + begin * hidden, (end - begin) * hidden,
                    x_out + begin * hidden);
  });
  p.arena.rewind(mark);
}

namespace {
// 5 backward: dweights [T, K] = dot(dout, expert_out); dexpert_out [T K, hidden] = weight * dout.
void combine_backward(const Pass& p, const LayerSaved& s, const float* dout, float* dweights,
                      float* dexpert_out) {
  const int64_t top_k = p.config.num_experts_per_tok, hidden = p.config.hidden_size;
  const kernels::ProfileScope timed(p.ctx.profile, "row operations");
  p.ctx.pool.parallel_for(p.tokens(), [&](int64_t begin, int64_t end, int) {
    for (int64_t t = begin; t < end; ++t) {
      for (int64_t k = 0; k < top_k; ++k) {
        const int64_t slot = s.slots[t * top_k + k];
        dweights[t * top_k + k] = p.ctx.level.dot(dout + t * hidden, s.expert_out + slot * hidden, hidden);
        p.ctx.level.scale(s.weights[t * top_k + k], dout + t * hidden, hidden, dexpert_out + slot * hidden);
      }
    }
  });
}

std::vector<kernels::WeightGradient> expert_gradients(const MoeWeights& w, const LayerSaved& s,
                                                      Weight MlpWeights::*field, const float* dy,
                                                      const float* x, int64_t ldx, bool by_token,
                                                      float* grads) {
  std::vector<kernels::WeightGradient> gradients;
  for (size_t e = 0; e < w.experts.size(); ++e) {
    const Weight& weight = w.experts[e].*field;
    const int64_t first = s.offsets[e], rows = s.offsets[e + 1] - first;
    gradients.push_back({dy + first * weight.out, weight.out, by_token ? x : x + first * ldx, ldx,
                         by_token ? s.rows + first : nullptr, rows, grads + weight.offset, weight.out,
                         weight.in, weight.matrix.operand});
  }
  return gradients;
}

// 4 backward: from dexpert_out to dx_slots [T K, hidden], the gradient of norm_post per slot.
void experts_backward(const Pass& p, const MoeWeights& w, const LayerSaved& s, const float* dexpert_out,
                      float* dx_slots, float* grads) {
  const ModelConfig& c = p.config;
  const int64_t slots = p.tokens() * c.num_experts_per_tok, width = c.moe_intermediate_size;
  float* dact = p.arena.alloc<float>(slots * width);
  float* dgate_up = p.arena.alloc<float>(slots * 2 * width);
  kernels::grouped_gemm(
      p.ctx, expert_groups(p, w, s, &MlpWeights::down, false, dexpert_out, c.hidden_size, false, dact),
      Accumulate::kStore);
  kernels::grouped_weight_gradient(
      p.ctx, expert_gradients(w, s, &MlpWeights::down, dexpert_out, s.expert_act, width, false, grads),
      Accumulate::kAddFinished);
  swiglu_rows_backward(p, s.expert_gate_up, dact, slots, width, dgate_up);
  kernels::grouped_gemm(
      p.ctx, expert_groups(p, w, s, &MlpWeights::gate_up, false, dgate_up, 2 * width, false, dx_slots),
      Accumulate::kStore);
  kernels::grouped_weight_gradient(
      p.ctx, expert_gradients(w, s, &MlpWeights::gate_up, dgate_up, s.norm_post, c.hidden_size, true, grads),
      Accumulate::kAddFinished);
}

double moe_backward(const Pass& p, const MoeWeights& w, const LayerSaved& s, const BalanceContext& balance,
                    const float* dout, float* dnorm, float* grads) {
  const ModelConfig& c = p.config;
  const int64_t T = p.tokens(), hidden = c.hidden_size, top_k = c.num_experts_per_tok;
  // 5 combine
  float* dweights = p.arena.alloc<float>(T * top_k);
  float* dexpert_out = p.arena.alloc<float>(T * top_k * hidden);
  combine_backward(p, s, dout, dweights, dexpert_out);
  // 4 experts
  float* dx_slots = p.arena.alloc<float>(T * top_k * hidden);
  experts_backward(p, w, s, dexpert_out, dx_slots, grads);
  // 3 shared: dnorm starts as its gradient
  if (c.n_shared_experts > 0) {
    mlp_backward(p, w.shared, s.norm_post, s.gate_up, s.act, dout, dnorm, grads);
  } else {
    std::memset(dnorm, 0, static_cast<size_t>(T * hidden) * sizeof(float));
  }
  {
    const kernels::ProfileScope timed(p.ctx.profile, "row operations");
    p.ctx.pool.parallel_for(T, [&](int64_t begin, int64_t end, int) {
      for (int64_t t = begin; t < end; ++t)
        for (int64_t k = 0; k < top_k; ++k)
          p.ctx.level.add(dnorm + t * hidden, dx_slots + s.slots[t * top_k + k] * hidden, hidden,
                          dnorm + t * hidden);
    });
  }
  // 2 route
  double loss = 0;
  std::vector<float> f;
  if (balance.args.alpha != 0) loss = kernels::balance_loss(c.route(), balance.args, s.routing(), T, &f);
  float* dlogits = p.arena.alloc<float>(T * c.n_routed_experts);
  kernels::route_backward(p.ctx, c.route(), s.routing(), T, dweights, f, balance.args.length, dlogits);
  linear_backward(p, w.gate, dlogits, s.norm_post, hidden, T, dnorm, grads, Accumulate::kAddFinished);
  return loss;
}
}  // namespace

double ffn_backward(const Pass& p, const LayerWeights& w, const LayerSaved& s, const BalanceContext& balance,
                    float* dx, float* grads) {
  const int64_t T = p.tokens(), hidden = p.config.hidden_size;
  const int64_t mark = p.arena.used();
  float* dnorm = p.arena.alloc<float>(T * hidden);
  double loss = 0;
  if (w.moe) {
    loss = moe_backward(p, w.experts, s, balance, dx, dnorm, grads);
  } else {
    // 4 - 2
    mlp_backward(p, w.mlp, s.norm_post, s.gate_up, s.act, dx, dnorm, grads);
  }
  // 1 norm_post
  kernels::rmsnorm_backward(p.ctx, s.x_mid, hidden, w.post_attention_layernorm.data, s.r_post, dnorm, T,
                            hidden, dx, hidden, grads + w.post_attention_layernorm.offset);
  p.arena.rewind(mark);
  return loss;
}

}  // namespace frugal::model
