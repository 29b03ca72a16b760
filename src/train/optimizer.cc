#include "train/optimizer.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/math64.h"

namespace frugal::train {

constexpr int64_t kNormBlock = 4096;

double gradient_norm(kernels::Ctx& ctx, const float* grads, int64_t n) {
  const int64_t blocks = (n + kNormBlock - 1) / kNormBlock;
  auto sums = ctx.list<float>(blocks);
  ctx.pool.parallel_for(blocks, [&](int64_t begin, int64_t end, int) {
    for (int64_t b = begin; b < end; ++b)
      sums[static_cast<size_t>(b)] =
          ctx.level.sum_squares(grads + b * kNormBlock, std::min(kNormBlock, n - b * kNormBlock));
  });
  double total = 0;
  for (const float s : sums) total += static_cast<double>(s);
  return std::sqrt(total);
}

Optimizer::Optimizer(const model::Model& model, Dtype moments)
    : elements_(model.table.elements),
      moments_(moments),
      exp_avg_(aligned_array<std::byte>(elements_ * dtype_size(moments))),
      exp_avg_sq_(aligned_array<std::byte>(elements_ * dtype_size(moments))) {
  FRUGAL_ASSERT(moments == Dtype::kF32 || moments == Dtype::kBF16, "moments in {}", dtype_name(moments));
  list_stripes(model);
  reset();
}

void Optimizer::list_stripes(const model::Model& m) {
  int64_t start = 0;
  for (const model::Param& p : m.table.params) {
    if (p.row != 0 || !p.has_gradient()) continue;  // the first parameter of a weight stands for all of it
    const model::Weight& w = *p.weight;
    for (int64_t row = 0, rows; row < w.out; row += rows) {
      rows = w.in == 1 ? w.out : std::min(kernels::kPanelCols, w.out - row);
      stripes_.push_back({p.weight, row, rows, p.weight_decay()});
      starts_.push_back(start);
      start += rows * w.in;
    }
  }
  starts_.push_back(start);
}

void Optimizer::reset() {
  std::memset(exp_avg_.get(), 0, static_cast<size_t>(elements_ * dtype_size(moments_)));
  std::memset(exp_avg_sq_.get(), 0, static_cast<size_t>(elements_ * dtype_size(moments_)));
}

// args.param and args.grad point at element `offset` of the flat buffers.
void Optimizer::update(const kernels::Level& level, kernels::AdamwArgs args, int64_t offset,
                       int64_t n) const {
  if (moments_ == Dtype::kF32) {
    args.exp_avg = reinterpret_cast<float*>(exp_avg_.get()) + offset;
    args.exp_avg_sq = reinterpret_cast<float*>(exp_avg_sq_.get()) + offset;
    args.n = n;
    level.adamw(args);
    return;
  }
  constexpr int64_t kBlock = 1024;
  float exp_avg[kBlock], exp_avg_sq[kBlock];
  auto* stored = reinterpret_cast<uint16_t*>(exp_avg_.get()) + offset;
  auto* stored_sq = reinterpret_cast<uint16_t*>(exp_avg_sq_.get()) + offset;
  args.exp_avg = exp_avg;
  args.exp_avg_sq = exp_avg_sq;
  for (int64_t i = 0; i < n; i += args.n, args.param += args.n, args.grad += args.n) {
    args.n = std::min(kBlock, n - i);
    level.widen_bf16(stored + i, args.n, exp_avg);
    level.widen_bf16(stored_sq + i, args.n, exp_avg_sq);
    level.adamw(args);
    level.narrow_bf16(exp_avg, args.n, stored + i);
    level.narrow_bf16(exp_avg_sq, args.n, stored_sq + i);
  }
}

double Optimizer::step(kernels::Ctx& ctx, model::Model& m, const float* grads, const AdamwSettings& s,
                       double learning_rate, int64_t t) {
  const double bytes = 12.0 + 4.0 * static_cast<double>(dtype_size(moments_));
  const kernels::ProfileScope timed(ctx.profile, "AdamW", {0, bytes * static_cast<double>(elements_)});
  const double norm = gradient_norm(ctx, grads, elements_);
  if (!std::isfinite(norm)) return norm;
  const double clip = s.max_grad_norm > 0 && norm > s.max_grad_norm ? s.max_grad_norm / norm : 1.0;
  kernels::AdamwArgs args{};
  args.grad_scale = static_cast<float>(clip);
  args.beta1 = static_cast<float>(s.beta1);
  args.beta2 = static_cast<float>(s.beta2);
  args.eps = static_cast<float>(s.eps);
  args.learning_rate = static_cast<float>(learning_rate);
  args.bias_correction1 = static_cast<float>(1.0 - pow64(s.beta1, static_cast<double>(t)));
  args.bias_correction2 = static_cast<float>(1.0 - pow64(s.beta2, static_cast<double>(t)));
  ctx.pool.parallel_for(starts_.back(), [&](int64_t begin, int64_t end, int) {
    // A stripe belongs to the part in which its start lies.
    const auto first = std::lower_bound(starts_.begin(), starts_.end() - 1, begin) - starts_.begin();
    for (size_t i = static_cast<size_t>(first); i < stripes_.size() && starts_[i] < end; ++i) {
      const Stripe& stripe = stripes_[i];
      const model::Weight& w = *stripe.weight;
      const int64_t offset = w.offset + stripe.row * w.in;
      kernels::AdamwArgs a = args;
      a.param = m.masters() + offset;
      a.grad = grads + offset;
      a.weight_decay = stripe.weight_decay ? static_cast<float>(s.weight_decay) : 0.0f;
      update(ctx.level, a, offset, stripe.rows * w.in);
      if (m.needs_panels(w)) kernels::pack_stripe(ctx.level, w.data, w.matrix, stripe.row);
    }
  });
  m.version = t;
  for (const Stripe& stripe : stripes_) stripe.weight->matrix.version = t;
  return norm;
}

void update_router_bias(model::Model& m, const std::vector<std::vector<int64_t>>& counts, double gamma) {
  if (gamma == 0) return;
  size_t i = 0;
  for (const model::Param& p : m.table.params) {
    if (p.kind != model::ParamKind::kBias) continue;
    if (i == counts.size()) return;  // the MTP module did not run
    kernels::update_bias(counts[i].data(), p.elements(), gamma, p.data());
    ++i;
  }
}

}  // namespace frugal::train
