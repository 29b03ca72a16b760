#include "model/calibration.h"

#include <algorithm>

#include "base/error.h"
#include "kernels/gemm.h"
#include "model/objective.h"

namespace frugal::model {

namespace {
constexpr int64_t kGroup = kernels::kQuantGroup;

int64_t moments_size(int64_t width) {
  const int64_t rest = width % kGroup;
  return width / kGroup * kGroup * kGroup + rest * rest;
}
// The observer goes with it, also when an error ends the calibration.
struct Observing {
  explicit Observing(kernels::Ctx& c) : ctx(c) {}
  ~Observing() { ctx.observer = nullptr; }
  kernels::Ctx& ctx;
};
}  // namespace

int64_t Calibration::memory_bytes(const ModelConfig& config, kernels::Operand operand, int64_t length) {
  Weights weights;
  int64_t numbers = 0;
  for (const Param& p : build_param_table(config, &weights).params)
    if (p.in_integers && p.row == 0) numbers += moments_size(p.weight->in);
  return numbers * 4 + Objective::memory_bytes(config, operand, 1, length, false);
}

Calibration::Calibration(kernels::Ctx& ctx, Model& model, const std::vector<int32_t>& ids, int64_t length,
                         const std::function<void(int64_t)>& progress) {
  if (ids.size() < 2) fail("calibration text", "has fewer than two tokens", "give more text");
  for (const int32_t id : ids)
    if (id < 0 || id >= model.config.vocab_size)
      fail("calibration text", fmt::format("holds token {}, the vocabulary has {}", id, model.config.vocab_size),
           "use the model's own tokenizer");
  for (const Param& p : model.table.params) {
    if (!p.in_integers) continue;
    auto& input = by_panels_[p.weight->matrix.panels];
    if (!input) input = std::make_shared<Input>(Input{p.weight->in, {}});
    by_name_[p.name] = input;
  }
  length = std::min(length, static_cast<int64_t>(ids.size()) - 1);
  Objective objective(model.config, model.operand, 1, length, false);
  const Observing observing(ctx);
  ctx.observer = [&](std::span<const kernels::GemmGroup> groups) {
    for (const kernels::GemmGroup& g : groups) observe(ctx, g);
  };
  for (size_t first = 0; first + 1 < ids.size(); first += static_cast<size_t>(length)) {
    std::vector<int32_t> row(static_cast<size_t>(length + 2), -1);
    const size_t n = std::min(static_cast<size_t>(length), ids.size() - 1 - first);
    if (n < static_cast<size_t>(length)) break;  // it would bring inputs of missing tokens
    std::copy_n(ids.begin() + static_cast<std::ptrdiff_t>(first), n + 1, row.begin());
    ObjectiveArgs args;
    args.input = {row.data(), 1, length};
    args.mtp_lambda = model.config.num_nextn_predict_layers > 0 ? 1 : 0;
    count_targets(args.input, &args.main_targets, &args.mtp_targets);
    objective.run(ctx, model, args);
    if (progress) progress(static_cast<int64_t>(first + n));
  }
}

void Calibration::observe(kernels::Ctx& ctx, const kernels::GemmGroup& g) {
  const auto found = by_panels_.find(g.b.data);
  if (found == by_panels_.end() || g.rows == 0) return;
  Input& input = *found->second;
  FRUGAL_ASSERT(input.width == g.b.k, "{} inputs of {}", g.b.k, input.width);
  input.moments.resize(static_cast<size_t>(moments_size(input.width)));
  auto groups = ctx.list<kernels::WeightGradient>();
  for (int64_t at = 0; at < input.width; at += kGroup) {
    const int64_t n = std::min(kGroup, input.width - at);
    groups.push_back({g.a + at, g.lda, g.a + at, g.lda, g.index, g.rows,
                      input.moments.data() + at / kGroup * kGroup * kGroup, n, n, kernels::Operand::kF32,
                      "calibration", g.index});
  }
  kernels::grouped_weight_gradient(ctx, groups, kernels::Accumulate::kAddFinished);
}

const std::vector<float>* Calibration::moments(const std::string& name) const {
  const auto found = by_name_.find(name);
  return found == by_name_.end() || found->second->moments.empty() ? nullptr : &found->second->moments;
}

}  // namespace frugal::model
