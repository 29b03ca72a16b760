#include "train/bad_values.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>

#include "train/optimizer.h"

namespace frugal::train {

namespace {
// Whole blocks at a time, so that it runs at the memory's speed: a checkpoint asks for all weights.
bool all_finite(const float* x, int64_t n) {
  constexpr int64_t kBlock = 64;
  constexpr uint32_t kExponent = 0x7f800000;  // all ones: infinite or not a number
  int64_t i = 0;
  for (; i + kBlock <= n; i += kBlock) {
    uint32_t bad = 0;
    for (int64_t j = 0; j < kBlock; ++j)
      bad |= static_cast<uint32_t>((std::bit_cast<uint32_t>(x[i + j]) & kExponent) == kExponent);
    if (bad != 0) return false;
  }
  return std::all_of(x + i, x + n, [](float v) { return std::isfinite(v); });
}

std::string bad_activation(kernels::Ctx& ctx, model::Model& model, model::Objective& objective,
                           const data::Batch& batch, int64_t rows, double mtp_lambda) {
  std::string first;
  const model::Probe probe = [&](const std::string& name, const float* data, int64_t n, int64_t columns) {
    if (first.empty() && !all_finite(data, n * columns)) first = name;
  };
  model::ObjectiveArgs args;
  args.mtp_lambda = mtp_lambda;
  args.probe = &probe;
  for (int64_t row = 0; row < batch.rows && first.empty(); row += rows) {
    args.input = {batch.tokens.data() + row * (batch.length + 2), rows, batch.length};
    objective.run(ctx, model, args);
  }
  return first;
}
}  // namespace

std::string bad_weight(const model::ParamTable& table, const float* masters) {
  for (const model::Param& p : table.params)
    if (!all_finite(masters + p.offset(), p.elements())) return p.name;
  return "";
}

std::string first_bad_value(kernels::Ctx& ctx, model::Model& model, model::Objective& objective,
                            const data::Batch& batch, int64_t rows, double mtp_lambda, const float* grads) {
  const std::string weight = bad_weight(model.table, model.masters());
  if (!weight.empty()) return "the weight " + weight;
  const std::string activation = bad_activation(ctx, model, objective, batch, rows, mtp_lambda);
  if (!activation.empty()) return activation + " of the forward pass";
  for (auto p = model.table.params.rbegin(); p != model.table.params.rend(); ++p)
    if (!all_finite(grads + p->offset(), p->elements())) return "the gradient of " + p->name;
  return "";
}

std::string largest_gradient(kernels::Ctx& ctx, const model::ParamTable& table, const float* grads) {
  const model::Param* largest = nullptr;
  double most = -1;
  for (const model::Param& p : table.params) {
    if (!p.has_gradient()) continue;
    const double norm = gradient_norm(ctx, grads + p.offset(), p.elements());
    if (norm > most) most = norm, largest = &p;
  }
  return fmt::format("{} ({:.3g})", largest->name, most);
}

}  // namespace frugal::train
