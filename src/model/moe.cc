#include "model/moe.h"

#include <algorithm>
#include <cstring>

#include "kernels/norm.h"

namespace frugal::model {

using kernels::Accumulate;

namespace {
// SwiGLU's input, [rows, 2 I]: f32 rows, or bf16 ones (saved.h). Forward has both.
struct GateUp {
  float* rows;
  uint16_t* kept;
  int64_t width;  // I
};
constexpr int kSlotGateUp = 14;  // Ctx::scratch
// Row t for backward; valid until the thread asks for another.
const float* gate_up_row(kernels::Ctx& ctx, int thread, const GateUp& g, int64_t t) {
  if (!g.kept) return g.rows + t * 2 * g.width;
  float* row = ctx.scratch<float>(thread, kSlotGateUp, 2 * g.width);
  ctx.level.widen_bf16(g.kept + t * 2 * g.width, 2 * g.width, row);
  return row;
}

// act [rows, I] from gate_up; what is kept of it is written in the same pass.
void swiglu_rows(const Pass& p, const GateUp& g, int64_t rows, float* act) {
  const kernels::ProfileScope timed(p.ctx.profile, "row operations",
                                    {0, (g.kept ? 16.0 : 12.0) * static_cast<double>(rows * g.width)},
                                    "swiglu");
  p.ctx.pool.parallel_for(rows, [&](int64_t begin, int64_t end, int) {
    for (int64_t t = begin; t < end; ++t) {
      const float* in = g.rows + t * 2 * g.width;
      p.ctx.level.swiglu(in, in + g.width, g.width, act + t * g.width);
      if (g.kept) p.ctx.level.narrow_bf16(in, 2 * g.width, g.kept + t * 2 * g.width);
    }
  });
}
// dact [rows, I] becomes act, computed again.
void swiglu_rows_backward(const Pass& p, const GateUp& g, float* dact, int64_t rows, float* dgate_up) {
  const int64_t width = g.width;
  const kernels::ProfileScope timed(p.ctx.profile, "row operations",
                                    {0, (g.kept ? 20.0 : 24.0) * static_cast<double>(rows * width)},
                                    "swiglu");
  p.ctx.pool.parallel_for(rows, [&](int64_t begin, int64_t end, int thread) {
    for (int64_t t = begin; t < end; ++t) {
      const float* in = gate_up_row(p.ctx, thread, g, t);
      float *out = dgate_up + t * 2 * width, *d = dact + t * width;
      p.ctx.level.swiglu_backward(in, in + width, d, 1.0f, width, out, out + width, d);
    }
  });
}

void mlp_forward(const Pass& p, const MlpWeights& w, const float* x, float* gate_up, uint16_t* kept,
                 float* out) {
  const int64_t width = w.down.in;
  begin_rows(p, kept, p.tokens() * 2 * width, &gate_up);
  float* act = p.arena.alloc<float>(p.tokens() * width);
  linear(p, w.gate_up, x, p.config.hidden_size, p.tokens(), gate_up);
  swiglu_rows(p, {gate_up, kept, width}, p.tokens(), act);
  linear(p, w.down, act, width, p.tokens(), out);
}
// dx overwritten.
void mlp_backward(const Pass& p, const MlpWeights& w, const float* x, const LayerSaved& s, const float* dout,
                  float* dx, float* grads) {
  const int64_t width = w.down.in;
  float* dact = p.arena.alloc<float>(p.tokens() * width);
  float* dgate_up = p.arena.alloc<float>(p.tokens() * 2 * width);
  input_gradient(p, w.down, dout, p.tokens(), dact);
  swiglu_rows_backward(p, {s.gate_up, s.gate_up_bf16, width}, dact, p.tokens(), dgate_up);
  add_weight_gradient(p, w.down, dout, dact, width, p.tokens(), grads);
  linear_backward(p, w.gate_up, dgate_up, x, p.config.hidden_size, p.tokens(), dx, grads);
}

// One group per expert over its slots. Field picks gate_up or down.
kernels::List<kernels::GemmGroup> expert_groups(const Pass& p, const MoeWeights& w, const LayerSaved& s,
                                                Weight MlpWeights::*field, bool forward, const float* a,
                                                int64_t lda, bool by_token, float* c) {
  auto groups = p.ctx.list<kernels::GemmGroup>();
  groups.reserve(w.experts.size());
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

// 4, 5: r = shared; r = fma(weight, y, r) in ascending expert id.
void experts_forward(const Pass& p, const MoeWeights& w, const float* norm_post, LayerSaved* s, float* out) {
  const ModelConfig& c = p.config;
  const int64_t top_k = c.num_experts_per_tok, slots = p.tokens() * top_k, hidden = c.hidden_size;
  float* gate_up = s->expert_gate_up;
  begin_rows(p, s->expert_gate_up_bf16, slots * 2 * c.moe_intermediate_size, &gate_up);
  float* act = p.arena.alloc<float>(slots * c.moe_intermediate_size);
  float* y = p.arena.alloc<float>(slots * hidden);
  kernels::grouped_gemm(p.ctx,
                        expert_groups(p, w, *s, &MlpWeights::gate_up, true, norm_post, hidden, true, gate_up),
                        Accumulate::kStore);
  swiglu_rows(p, {gate_up, s->expert_gate_up_bf16, c.moe_intermediate_size}, slots, act);
  kernels::grouped_gemm(
      p.ctx, expert_groups(p, w, *s, &MlpWeights::down, true, act, c.moe_intermediate_size, false, y),
      Accumulate::kStore);
  const kernels::ProfileScope timed(p.ctx.profile, "row operations",
                                    {0, 4.0 * static_cast<double>((slots + 2 * p.tokens()) * hidden)},
                                    "combine");
  p.ctx.pool.parallel_for(p.tokens(), [&](int64_t begin, int64_t end, int) {
    for (int64_t t = begin; t < end; ++t) {
      float* r = out + t * hidden;
      if (c.n_shared_experts == 0) std::fill_n(r, hidden, 0.0f);
      for (int64_t k = 0; k < top_k; ++k)
        p.ctx.level.add_scaled(s->weights[t * top_k + k], y + s->slots[t * top_k + k] * hidden, hidden, r);
    }
  });
}

void report_routing(const Pass& p, const float* logits, const LayerSaved& s) {
  if (!p.probe) return;
  const ModelConfig& c = p.config;
  p.report("router.logits", logits, p.tokens(), c.n_routed_experts);
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
  float* norm_post = p.arena.alloc<float>(T * hidden);
  kernels::rmsnorm(p.ctx, s->x_mid, hidden, w.post_attention_layernorm.data,
                   static_cast<float>(c.rms_norm_eps), T, hidden, norm_post, s->r_post);
  float* out = p.arena.alloc<float>(T * hidden);
  if (!w.moe) {
    // 2 - 4
    mlp_forward(p, w.mlp, norm_post, s->gate_up, s->gate_up_bf16, out);
  } else {
    // 2 route
    float* logits = p.arena.alloc<float>(T * c.n_routed_experts);
    linear(p, w.experts.gate, norm_post, hidden, T, logits);
    kernels::route(p.ctx, c.route(), logits, w.experts.bias.data, T, s->routing());
    report_routing(p, logits, *s);
    // 3 shared
    if (c.n_shared_experts > 0) mlp_forward(p, w.experts.shared, norm_post, s->gate_up, s->gate_up_bf16, out);
    // 4, 5 experts
    experts_forward(p, w.experts, norm_post, s, out);
  }
  p.report("mlp_out", out, T, hidden);
  const kernels::ProfileScope timed(p.ctx.profile, "row operations",
                                    {0, 12.0 * static_cast<double>(T * hidden)}, "residual");
  p.ctx.pool.parallel_for(T, [&](int64_t begin, int64_t end, int) {
    p.ctx.level.add(s->x_mid + begin * hidden, out + begin * hidden, (end - begin) * hidden,
                    x_out + begin * hidden);
  });
  p.arena.rewind(mark);
}

namespace {
kernels::List<kernels::WeightGradient> expert_gradients(const Pass& p, const MoeWeights& w,
                                                        const LayerSaved& s, Weight MlpWeights::*field,
                                                        const float* dy, bool dy_by_token, const float* x,
                                                        int64_t ldx, bool x_by_token, float* grads) {
  auto gradients = p.ctx.list<kernels::WeightGradient>();
  gradients.reserve(w.experts.size());
  for (size_t e = 0; e < w.experts.size(); ++e) {
    const Weight& weight = w.experts[e].*field;
    const int64_t first = s.offsets[e], rows = s.offsets[e + 1] - first;
    gradients.push_back({.dy = dy_by_token ? dy : dy + first * weight.out,
                         .ld_dy = weight.out,
                         .x = x_by_token ? x : x + first * ldx,
                         .ldx = ldx,
                         .index = x_by_token ? s.rows + first : nullptr,
                         .rows = rows,
                         .dw = grads + weight.offset,
                         .out = weight.out,
                         .in = weight.in,
                         .operand = weight.matrix.operand,
                         .name = weight.label,
                         .dy_index = dy_by_token ? s.rows + first : nullptr});
  }
  return gradients;
}

// 5 and 4 backward: from dout [T, hidden] to dweights [T, K] and dx_slots [T K, hidden], the gradient of
// norm_post per slot. With d = W_down^T dout, an expert's weight has the gradient dot(act, d), and weight d
// flows on.
void experts_backward(const Pass& p, const MoeWeights& w, const LayerSaved& s, const float* norm_post,
                      const float* dout, float* dweights, float* dx_slots, float* grads) {
  const ModelConfig& c = p.config;
  const int64_t top_k = c.num_experts_per_tok, width = c.moe_intermediate_size, hidden = c.hidden_size;
  float* d = p.arena.alloc<float>(p.tokens() * top_k * width);
  float* dgate_up = p.arena.alloc<float>(p.tokens() * top_k * 2 * width);
  kernels::grouped_gemm(p.ctx, expert_groups(p, w, s, &MlpWeights::down, false, dout, hidden, true, d),
                        Accumulate::kStore);
  {
    const kernels::ProfileScope timed(p.ctx.profile, "row operations",
                                      {0, 24.0 * static_cast<double>(p.tokens() * top_k * width)}, "swiglu");
    const GateUp gate_up{s.expert_gate_up, s.expert_gate_up_bf16, width};
    p.ctx.pool.parallel_for(p.tokens() * top_k, [&](int64_t begin, int64_t end, int thread) {
      for (int64_t i = begin; i < end; ++i) {
        const int64_t slot = s.slots[i];
        const float* in = gate_up_row(p.ctx, thread, gate_up, slot);
        float *out = dgate_up + slot * 2 * width, *act = d + slot * width;
        dweights[i] =
            p.ctx.level.swiglu_backward(in, in + width, act, s.weights[i], width, out, out + width, act);
      }
    });
  }
  kernels::grouped_weight_gradient(
      p.ctx, expert_gradients(p, w, s, &MlpWeights::down, dout, true, d, width, false, grads),
      Accumulate::kAddFinished);
  kernels::grouped_gemm(
      p.ctx, expert_groups(p, w, s, &MlpWeights::gate_up, false, dgate_up, 2 * width, false, dx_slots),
      Accumulate::kStore);
  kernels::grouped_weight_gradient(
      p.ctx, expert_gradients(p, w, s, &MlpWeights::gate_up, dgate_up, false, norm_post, hidden, true, grads),
      Accumulate::kAddFinished);
}

double moe_backward(const Pass& p, const MoeWeights& w, const LayerSaved& s, const float* norm_post,
                    const BalanceContext& balance, const float* dout, float* dnorm, float* grads) {
  const ModelConfig& c = p.config;
  const int64_t T = p.tokens(), hidden = c.hidden_size, top_k = c.num_experts_per_tok;
  // 5, 4 experts
  float* dweights = p.arena.alloc<float>(T * top_k);
  float* dx_slots = p.arena.alloc<float>(T * top_k * hidden);
  experts_backward(p, w, s, norm_post, dout, dweights, dx_slots, grads);
  // 3 shared: dnorm starts as its gradient
  if (c.n_shared_experts > 0) mlp_backward(p, w.shared, norm_post, s, dout, dnorm, grads);
  {
    const kernels::ProfileScope timed(p.ctx.profile, "row operations",
                                      {0, 4.0 * static_cast<double>(T * (top_k + 2) * hidden)}, "combine");
    p.ctx.pool.parallel_for(T, [&](int64_t begin, int64_t end, int) {
      for (int64_t t = begin; t < end; ++t) {
        float* row = dnorm + t * hidden;
        if (c.n_shared_experts == 0) std::fill_n(row, hidden, 0.0f);
        for (int64_t k = 0; k < top_k; ++k)
          p.ctx.level.add(row, dx_slots + s.slots[t * top_k + k] * hidden, hidden, row);
      }
    });
  }
  // 2 route
  double loss = 0;
  auto f = p.ctx.list<float>(balance.args.alpha == 0 ? 0 : T / balance.args.length * c.n_routed_experts);
  if (balance.args.alpha != 0)
    loss = kernels::balance_loss(p.ctx, c.route(), balance.args, s.routing(), T, f);
  float* dlogits = p.arena.alloc<float>(T * c.n_routed_experts);
  kernels::route_backward(p.ctx, c.route(), s.routing(), T, dweights, f, balance.args.length, dlogits);
  linear_backward(p, w.gate, dlogits, norm_post, hidden, T, dnorm, grads, Accumulate::kAddFinished);
  return loss;
}
}  // namespace

double ffn_backward(const Pass& p, const LayerWeights& w, const LayerSaved& s, const BalanceContext& balance,
                    float* dx, float* grads) {
  const int64_t T = p.tokens(), hidden = p.config.hidden_size;
  const int64_t mark = p.arena.used();
  float* dnorm = p.arena.alloc<float>(T * hidden);
  float* norm_post = p.arena.alloc<float>(T * hidden);
  kernels::rmsnorm_again(p.ctx, s.x_mid, hidden, w.post_attention_layernorm.data, s.r_post, T, hidden,
                         norm_post);
  double loss = 0;
  if (w.moe) {
    loss = moe_backward(p, w.experts, s, norm_post, balance, dx, dnorm, grads);
  } else {
    // 4 - 2
    mlp_backward(p, w.mlp, norm_post, s, dx, dnorm, grads);
  }
  // 1 norm_post
  kernels::rmsnorm_backward(p.ctx, s.x_mid, hidden, w.post_attention_layernorm.data, s.r_post, dnorm, T,
                            hidden, dx, hidden, grads + w.post_attention_layernorm.offset);
  p.arena.rewind(mark);
  return loss;
}

}  // namespace frugal::model
