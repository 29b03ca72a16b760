#include "model/mtp.h"

#include <algorithm>
#include <cstring>

#include "kernels/norm.h"

namespace frugal::model {

int64_t mtp_saved_bytes(const ModelConfig& c, int64_t tokens, kernels::Operand kept) {
  // e, joined, x, out and, in backward, dx, djoined and two halves.
  return saved_bytes(c, c.is_moe_layer(c.num_hidden_layers), tokens, kept) +
         tokens * (10 * c.hidden_size + 3) * 4 + 64 * 16;
}

namespace {
Pass mtp_pass(kernels::Ctx& ctx, const Model& m, const ForwardArgs& a) {
  return Pass{ctx,       m.config,  a.batch, m.rope,  a.arena,
              m.operand, m.version, nullptr, a.probe, m.config.num_hidden_layers,
              "mtp."};
}
// Copies [T, n] into (or out of) the columns [at, at + n) of [T, width].
void copy_columns(kernels::Ctx& ctx, const float* src, int64_t ld_src, float* dst, int64_t ld_dst,
                  int64_t rows, int64_t n) {
  const kernels::ProfileScope timed(ctx.profile, "row operations", {0, 8.0 * static_cast<double>(rows * n)},
                                    "copies");
  ctx.pool.parallel_for(rows, [&](int64_t begin, int64_t end, int) {
    for (int64_t t = begin; t < end; ++t) std::copy_n(src + t * ld_src, n, dst + t * ld_dst);
  });
}
}  // namespace

MtpSaved mtp_forward(kernels::Ctx& ctx, Model& m, const ForwardArgs& a, const float* h) {
  const int64_t T = a.batch.size(), hidden = m.config.hidden_size;
  const MtpWeights& w = m.weights.mtp[0];
  const float eps = static_cast<float>(m.config.rms_norm_eps);
  const Pass p = mtp_pass(ctx, m, a);
  MtpSaved s;
  s.e = a.arena.alloc<float>(T * hidden);
  s.r_e = a.arena.alloc<float>(T);
  s.r_h = a.arena.alloc<float>(T);
  s.joined = a.arena.alloc<float>(T * 2 * hidden);
  s.layer = alloc_saved(m.config, w.block.moe, T, m.operand, &a.arena);
  s.x = a.arena.alloc<float>(T * hidden);
  s.r_out = a.arena.alloc<float>(T);
  s.out = a.arena.alloc<float>(T * hidden);
  // 1 e and h, normalised
  embed(ctx, m, a.batch.tokens.data(), T, s.e);
  kernels::rmsnorm(ctx, s.e, hidden, w.enorm.data, eps, T, hidden, s.x, s.r_e);
  copy_columns(ctx, s.x, hidden, s.joined, 2 * hidden, T, hidden);
  kernels::rmsnorm(ctx, h, hidden, w.hnorm.data, eps, T, hidden, s.x, s.r_h);
  copy_columns(ctx, s.x, hidden, s.joined + hidden, 2 * hidden, T, hidden);
  // 2 eh_proj
  linear(p, w.eh_proj, s.joined, 2 * hidden, T, s.x);
  p.report("eh_proj_out", s.x, T, hidden);
  // 3 decoder layer
  layer_forward(p, w.block, &s.layer, s.x);
  p.report("block_out", s.x, T, hidden);
  // 4 shared_head.norm
  kernels::rmsnorm(ctx, s.x, hidden, w.shared_head_norm.data, eps, T, hidden, s.out, s.r_out);
  p.report("shared_head_norm_out", s.out, T, hidden);
  return s;
}

double mtp_backward(kernels::Ctx& ctx, Model& m, const ForwardArgs& a, const MtpSaved& s, const float* h,
                    const BalanceContext& balance, const float* dout, float* dh, float* grads) {
  const int64_t T = a.batch.size(), hidden = m.config.hidden_size;
  const MtpWeights& w = m.weights.mtp[0];
  const Pass p = mtp_pass(ctx, m, a);
  const int64_t mark = a.arena.used();
  // 4 shared_head.norm
  float* dx = a.arena.alloc<float>(T * hidden);
  std::memset(dx, 0, static_cast<size_t>(T * hidden) * sizeof(float));
  kernels::rmsnorm_backward(ctx, s.x, hidden, w.shared_head_norm.data, s.r_out, dout, T, hidden, dx, hidden,
                            grads + w.shared_head_norm.offset);
  // 3 decoder layer
  const double loss = layer_backward(p, w.block, s.layer, balance, dx, grads);
  // 2 eh_proj
  float* djoined = a.arena.alloc<float>(T * 2 * hidden);
  linear_backward(p, w.eh_proj, dx, s.joined, 2 * hidden, T, djoined, grads);
  // 1 h and e
  float* half = a.arena.alloc<float>(T * hidden);
  copy_columns(ctx, djoined + hidden, 2 * hidden, half, hidden, T, hidden);
  kernels::rmsnorm_backward(ctx, h, hidden, w.hnorm.data, s.r_h, half, T, hidden, dh, hidden,
                            grads + w.hnorm.offset);
  copy_columns(ctx, djoined, 2 * hidden, half, hidden, T, hidden);
  std::memset(dx, 0, static_cast<size_t>(T * hidden) * sizeof(float));
  kernels::rmsnorm_backward(ctx, s.e, hidden, w.enorm.data, s.r_e, half, T, hidden, dx, hidden,
                            grads + w.enorm.offset);
  embed_backward(ctx, m, a.batch.tokens.data(), T, dx, grads);
  a.arena.rewind(mark);
  return loss;
}

}  // namespace frugal::model
