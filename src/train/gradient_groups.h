// Gradient norms by part of the model: what a run logs beside the global norm.
#pragma once

#include <string>
#include <vector>

#include "kernels/ctx.h"
#include "model/params.h"

namespace frugal::train {

struct GradientGroup {
  std::string name;            // "embedding", "layer 3", "output" (final norm and head), "MTP"
  int64_t begin = 0, end = 0;  // of the flat buffers
};
// In the table's order; together they cover it.
std::vector<GradientGroup> gradient_groups(const model::ModelConfig& config, const model::ParamTable& table);

// One norm per group, summed as gradient_norm does it (train/optimizer.h), blocks counted from the group's
// start.
void group_gradient_norms(kernels::Ctx& ctx, const float* grads, const std::vector<GradientGroup>& groups,
                          std::vector<double>* norms);

}  // namespace frugal::train
