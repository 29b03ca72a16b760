// AdamW over the flat parameter buffer, global-norm clipping, and the router bias update.
#pragma once

#include "model/model.h"
#include "train/recipe.h"

namespace frugal::train {

struct AdamwSettings {
  double beta1 = 0.9, beta2 = 0.95, eps = 1e-8, weight_decay = 0.1, max_grad_norm = 1.0;
};

class Optimizer {
 public:
  explicit Optimizer(const model::Model& model);

  // One step on gradients `grads` (flat, table order); `t` counts from 1. Returns the gradient norm before
  // clipping.
  double step(kernels::Ctx& ctx, model::Model& model, const float* grads, const AdamwSettings& settings,
              double learning_rate, int64_t t);
  void reset();

  float* exp_avg() { return exp_avg_.get(); }
  float* exp_avg_sq() { return exp_avg_sq_.get(); }

 private:
  int64_t elements_;
  AlignedPtr<float> exp_avg_, exp_avg_sq_;
};

// sqrt of the sum of squares: f32 row sums of 4,096 elements, added in double, ascending.
double gradient_norm(kernels::Ctx& ctx, const float* grads, int64_t n);

// counts: per MoE layer in order, the MTP module's last (model::ObjectiveResult::expert_counts, summed over
// the step).
void update_router_bias(model::Model& model, const std::vector<std::vector<int64_t>>& counts, double gamma);

}  // namespace frugal::train
