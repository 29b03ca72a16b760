#include <algorithm>
#include <functional>
#include <numeric>

#include "base/error.h"
#include "eval/verify_cases.h"
#include "kernels/route.h"

namespace frugal::eval {

namespace {
using kernels::Ctx;

struct Routed {
  std::vector<float> scores, weights;
  std::vector<int32_t> indices;
};
Routed run_route(Ctx& ctx, const kernels::RouteConfig& c, const std::vector<float>& logits, const float* bias,
                 int64_t tokens) {
  Routed r;
  std::vector<int32_t> offsets(static_cast<size_t>(c.n_routed_experts + 1));
  std::vector<int32_t> rows(static_cast<size_t>(tokens * c.num_experts_per_tok)), slots(rows);
  r.scores.resize(logits.size());
  r.weights.resize(rows.size());
  r.indices.resize(rows.size());
  kernels::route(ctx, c, logits.data(), bias, tokens,
                 {.scores = r.scores.data(),
                  .indices = r.indices.data(),
                  .weights = r.weights.data(),
                  .offsets = offsets.data(),
                  .rows = rows.data(),
                  .slots = slots.data()});
  return r;
}

constexpr double kScoreTolerance = 1e-6, kWeightTolerance = 4e-6, kLogitTolerance = 4e-5;

// Biased scores of one token with 0.0 for the experts of groups that were not chosen: the published code's
// filler.
std::vector<float> zero_filled_choice(const kernels::RouteConfig& c, const float* scores,
                                      const std::vector<float>& bias) {
  const int64_t size = c.n_routed_experts / c.n_group;
  std::vector<float> choice, groups;
  for (size_t e = 0; e < bias.size(); ++e) choice.push_back(scores[e] + bias[e]);
  for (int64_t group = 0; group < c.n_group; ++group) {
    std::vector<float> members(choice.begin() + group * size, choice.begin() + (group + 1) * size);
    std::partial_sort(members.begin(), members.begin() + 2, members.end(), std::greater<>());
    groups.push_back(members[0] + members[1]);
  }
  std::vector<float> ranked = groups;
  std::sort(ranked.begin(), ranked.end(), std::greater<>());
  const float last_chosen = ranked[static_cast<size_t>(c.topk_group - 1)];
  for (size_t e = 0; e < choice.size(); ++e)
    if (groups[e / static_cast<size_t>(size)] < last_chosen) choice[e] = 0.0f;
  return choice;
}

// What public code chooses with that filler. Many excluded experts tie at exactly 0.0 and the tie was broken
// arbitrarily, so only the multiset of chosen values can be checked, and the weights of the choice that is
// stored.
void check_zero_filler(GoldenFile& g, const kernels::RouteConfig& c, const std::vector<float>& scores,
                       const std::vector<float>& bias, int64_t tokens, CaseReport* report) {
  const int64_t experts = c.n_routed_experts, top_k = c.num_experts_per_tok;
  const std::vector<int32_t> stored = g.i32("neg.indices_mask_with_zero", {tokens, top_k});
  std::vector<float> got, want;
  std::vector<double> weights;
  for (int64_t t = 0; t < tokens; ++t) {
    const float* s = scores.data() + t * experts;
    std::vector<float> choice = zero_filled_choice(c, s, bias);
    std::vector<float> chosen;
    std::vector<double> raw;
    for (int64_t k = 0; k < top_k; ++k) {
      const int32_t e = stored[static_cast<size_t>(t * top_k + k)];
      if (e < 0 || e >= experts)
        fail(g.path() + ": neg.indices_mask_with_zero", fmt::format("holds {}", e), "");
      chosen.push_back(choice[static_cast<size_t>(e)]);
      raw.push_back(static_cast<double>(s[e]));
    }
    const double sum = std::accumulate(raw.begin(), raw.end(), 1e-20);
    for (double r : raw) weights.push_back(r / sum * static_cast<double>(c.routed_scaling_factor));
    std::sort(chosen.begin(), chosen.end(), std::greater<>());
    std::sort(choice.begin(), choice.end(), std::greater<>());
    got.insert(got.end(), choice.begin(), choice.begin() + top_k);
    want.insert(want.end(), chosen.begin(), chosen.end());
  }
  add_check(report, "neg.indices_mask_with_zero", largest_distance(got, want),
            {kScoreTolerance, "multiset of chosen values; which of the exact ties is not defined"});
  const std::vector<float> want_weights = g.f32("neg.weights_mask_with_zero", {tokens, top_k});
  add_check(report, "neg.weights_mask_with_zero", largest_distance(weights, want_weights),
            {kWeightTolerance, "absolute, weights of the stored indices"});
}

kernels::RouteConfig routing_config(GoldenFile& g) {
  const std::vector<int32_t> params = g.i32("params", {4});
  kernels::RouteConfig c;
  c.n_routed_experts = params[0];
  c.n_group = params[1];
  c.topk_group = params[2];
  c.num_experts_per_tok = params[3];
  c.routed_scaling_factor = g.f32("routed_scaling_factor", {1})[0];
  const bool sane = params[0] > 0 && params[1] > 0 && params[0] % params[1] == 0 &&
                    params[0] / params[1] >= 2 && params[2] > 0 && params[2] <= params[1] && params[3] > 0 &&
                    params[3] <= params[0] / params[1] * params[2];
  if (!sane) fail(g.path() + ": params", "are not experts, groups, chosen groups, top-k", "");
  return c;
}
}  // namespace

void verify_routing(Ctx& ctx, GoldenFile& g, CaseReport* report) {
  const kernels::RouteConfig c = routing_config(g);
  const int64_t experts = c.n_routed_experts, top_k = c.num_experts_per_tok;
  const int64_t tokens = g.shape("x", 2)[0], hidden = g.shape("x", 2)[1];
  const std::vector<float> gate = g.f32("gate.weight", {experts, hidden});
  for (const std::string prefix : {"", "neg."}) {
    const std::vector<float> x = g.f32(prefix + "x", {tokens, hidden});
    const std::vector<float> bias = g.f32(prefix + "bias", {experts});
    std::vector<float> logits;
    matrix_product(ctx, x, gate, tokens, experts, hidden, kernels::Operand::kF32, kernels::Accumulate::kStore,
                   &logits);
    const Routed r = run_route(ctx, c, logits, bias.data(), tokens);
    check_absolute(report, prefix + "logits", logits, g.f32(prefix + "logits", {tokens, experts}),
                   kLogitTolerance);
    check_absolute(report, prefix + "scores", r.scores, g.f32(prefix + "scores", {tokens, experts}),
                   kScoreTolerance);
    check_bits(report, prefix + "indices", r.indices, g.i32(prefix + "indices", {tokens, top_k}));
    check_absolute(report, prefix + "weights", r.weights, g.f32(prefix + "weights", {tokens, top_k}),
                   kWeightTolerance);
    if (prefix == "neg.") check_zero_filler(g, c, r.scores, bias, tokens, report);
  }
  const std::vector<float> logits = g.f32("logits", {tokens, experts});
  for (const std::string method : {"greedy", "group_limited_greedy"}) {
    for (const std::string rule : {"scale", "norm"}) {
      kernels::RouteConfig v2 = c;
      v2.sigmoid = v2.group_top2 = v2.scale_and_norm = false;
      v2.norm_topk_prob = rule == "norm";
      if (method == "greedy") v2.n_group = v2.topk_group = 1;
      const Routed r = run_route(ctx, v2, logits, nullptr, tokens);
      const std::string prefix = "v2." + method + "." + rule + ".";
      check_bits(report, prefix + "indices", r.indices, g.i32(prefix + "indices", {tokens, top_k}));
      check_absolute(report, prefix + "weights", r.weights, g.f32(prefix + "weights", {tokens, top_k}),
                     kWeightTolerance);
    }
  }
}

}  // namespace frugal::eval
