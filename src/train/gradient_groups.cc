#include "train/gradient_groups.h"

#include <fmt/format.h>

#include "train/optimizer.h"

namespace frugal::train {

namespace {
std::string group_name(const model::ModelConfig& config, const model::Param& p) {
  if (p.layer >= config.num_hidden_layers) return "MTP";
  if (p.layer >= 0) return fmt::format("layer {}", p.layer);
  return p.kind == model::ParamKind::kEmbedding ? "embedding" : "output";
}
}  // namespace

std::vector<GradientGroup> gradient_groups(const model::ModelConfig& config, const model::ParamTable& table) {
  std::vector<GradientGroup> groups;
  for (const model::Param& p : table.params) {
    const std::string name = group_name(config, p);
    if (groups.empty() || groups.back().name != name) groups.push_back({name, p.offset(), p.offset()});
    groups.back().end = p.offset() + p.elements();
  }
  return groups;
}

void group_gradient_norms(kernels::Ctx& ctx, const float* grads, const std::vector<GradientGroup>& groups,
                          std::vector<double>* norms) {
  norms->clear();
  for (const GradientGroup& g : groups)
    norms->push_back(gradient_norm(ctx, grads + g.begin, g.end - g.begin));
}

}  // namespace frugal::train
