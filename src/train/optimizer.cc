#include "train/optimizer.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/math64.h"

namespace frugal::train {

constexpr int64_t kNormBlock = 4096;

double gradient_norm(kernels::Ctx& ctx, const float* grads, int64_t n) {
  const int64_t blocks = (n + kNormBlock - 1) / kNormBlock;
  std::vector<float> sums(static_cast<size_t>(blocks));
  ctx.pool.parallel_for(blocks, [&](int64_t begin, int64_t end, int) {
    for (int64_t b = begin; b < end; ++b)
      sums[static_cast<size_t>(b)] =
          ctx.level.sum_squares(grads + b * kNormBlock, std::min(kNormBlock, n - b * kNormBlock));
  });
  double total = 0;
  for (const float s : sums) total += static_cast<double>(s);
  return std::sqrt(total);
}

Optimizer::Optimizer(const model::Model& model)
    : elements_(model.table.elements),
      exp_avg_(aligned_array<float>(elements_)),
      exp_avg_sq_(aligned_array<float>(elements_)) {
  reset();
}

void Optimizer::reset() {
  std::memset(exp_avg_.get(), 0, static_cast<size_t>(elements_) * sizeof(float));
  std::memset(exp_avg_sq_.get(), 0, static_cast<size_t>(elements_) * sizeof(float));
}

double Optimizer::step(kernels::Ctx& ctx, model::Model& m, const float* grads, const AdamwSettings& s,
                       double learning_rate, int64_t t) {
  const kernels::ProfileScope timed(ctx.profile, "AdamW", {0, 28.0 * static_cast<double>(elements_)});
  const double norm = gradient_norm(ctx, grads, elements_);
  const double clip = s.max_grad_norm > 0 && norm > s.max_grad_norm ? s.max_grad_norm / norm : 1.0;
  kernels::AdamwArgs args{};
  args.grad_scale = static_cast<float>(clip);
  args.beta1 = static_cast<float>(s.beta1);
  args.beta2 = static_cast<float>(s.beta2);
  args.eps = static_cast<float>(s.eps);
  args.learning_rate = static_cast<float>(learning_rate);
  args.bias_correction1 = static_cast<float>(1.0 - pow64(s.beta1, static_cast<double>(t)));
  args.bias_correction2 = static_cast<float>(1.0 - pow64(s.beta2, static_cast<double>(t)));
  // Every thread walks the table and takes its share of the flat range; the update is elementwise.
  ctx.pool.parallel_for(elements_, [&](int64_t begin, int64_t end, int) {
    for (const model::Param& p : m.table.params) {
      const int64_t from = std::max(begin, p.offset()), to = std::min(end, p.offset() + p.elements());
      if (from >= to || !p.has_gradient()) continue;
      kernels::AdamwArgs a = args;
      a.param = m.masters() + from;
      a.exp_avg = exp_avg_.get() + from;
      a.exp_avg_sq = exp_avg_sq_.get() + from;
      a.grad = grads + from;
      a.n = to - from;
      a.weight_decay = p.weight_decay() ? static_cast<float>(s.weight_decay) : 0.0f;
      ctx.level.adamw(a);
    }
  });
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
