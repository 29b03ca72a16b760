// AdamW over the flat parameter buffer, with clipping and packing in the same pass, and the router bias
// update.
#pragma once

#include <vector>

#include "base/dtype.h"
#include "model/model.h"
#include "train/recipe.h"

namespace frugal::train {

struct AdamwSettings {
  double beta1 = 0.9, beta2 = 0.95, eps = 1e-8, weight_decay = 0.1, max_grad_norm = 1.0;
};

class Optimizer {
 public:
  // moments: kF32, or kBF16 as DeepSeek-V3 keeps them (report, section 3.3.3): arithmetic stays f32, what is
  // stored is rounded.
  Optimizer(const model::Model& model, Dtype moments);

  // One step on gradients `grads` (flat, table order); `t` counts from 1. A stripe of rows is updated and,
  // while it lies in the cache, packed for the products of the next step, whose version is t. Returns the
  // gradient norm before clipping; if that is not finite, nothing was changed.
  double step(kernels::Ctx& ctx, model::Model& model, const float* grads, const AdamwSettings& settings,
              double learning_rate, int64_t t);
  void reset();

  Dtype moments() const { return moments_; }
  // Flat, in table order.
  std::byte* exp_avg() const { return exp_avg_.get(); }
  std::byte* exp_avg_sq() const { return exp_avg_sq_.get(); }
  Tensor exp_avg(const model::Param& p) const { return view(exp_avg_, p); }
  Tensor exp_avg_sq(const model::Param& p) const { return view(exp_avg_sq_, p); }

  // Bytes that the constructor allocates.
  static int64_t memory_bytes(int64_t elements, Dtype moments) { return 2 * elements * dtype_size(moments); }

 private:
  // Rows of a weight that one thread updates and packs together.
  struct Stripe {
    model::Weight* weight;
    int64_t row, rows;
    bool weight_decay;
  };
  void list_stripes(const model::Model& model);
  void update(const kernels::Level& level, kernels::AdamwArgs args, int64_t offset, int64_t n) const;
  Tensor view(const AlignedPtr<std::byte>& memory, const model::Param& p) const {
    return {memory.get() + p.offset() * dtype_size(moments_), moments_, p.shape};
  }

  int64_t elements_;
  Dtype moments_;
  AlignedPtr<std::byte> exp_avg_, exp_avg_sq_;
  std::vector<Stripe> stripes_;
  std::vector<int64_t> starts_;  // elements in the stripes before each
};

// sqrt of the sum of squares: f32 row sums of 4,096 elements, added in double, ascending.
double gradient_norm(kernels::Ctx& ctx, const float* grads, int64_t n);

// counts: per MoE layer in order, the MTP module's last (model::ObjectiveResult::expert_counts, summed over
// the step).
void update_router_bias(model::Model& model, const std::vector<std::vector<int64_t>>& counts, double gamma);

}  // namespace frugal::train
