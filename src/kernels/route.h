// Expert choice of DeepSeekMoE (DeepSeek-V3 report section 2.1.2; config: scoring_func, topk_method, n_group,
// ...):
//   s = sigmoid(x gate^T) or softmax;  choose by s + bias (V3) or s (V2);  weights from the raw s.
// Ties go to the lower id everywhere (docs/numerics.md, section 4). Legend: T tokens, E experts, K = top_k.
#pragma once

#include <span>

#include "kernels/ctx.h"

namespace frugal::kernels {

struct RouteConfig {
  int64_t n_routed_experts = 0, num_experts_per_tok = 0, n_group = 1, topk_group = 1;
  bool sigmoid = true;     // scoring_func: sigmoid (V3) or softmax (V2)
  bool group_top2 = true;  // a group's score: sum of its two best (V3, noaux_tc) or its best (V2)
  bool norm_topk_prob = true;
  bool scale_and_norm = true;  // V3 normalises and scales; V2 normalises or scales
  float routed_scaling_factor = 1;
};

struct Routing {
  float* scores = nullptr;     // [T, E]
  int32_t* indices = nullptr;  // [T, K] ascending expert id
  float* weights = nullptr;    // [T, K]
  int32_t* offsets = nullptr;  // [E + 1] slots of expert e: offsets[e] .. offsets[e + 1]
  int32_t* rows = nullptr;     // [T K] slot -> token; an expert's tokens ascend
  int32_t* slots = nullptr;    // [T, K] -> slot
};

// logits [T, E] -> everything in `out`. bias [E] or null.
void route(Ctx& ctx, const RouteConfig& config, const float* logits, const float* bias, int64_t tokens,
           const Routing& out);

// The top_k largest raw scores of one token, ascending id (no bias, no groups): the balance loss counts
// these.
void raw_top_k(const float* scores, int64_t experts, int64_t top_k, int32_t* indices);

// Sequence-wise balance loss (report section 2.1.2): alpha * sum_e f_e P_e per sequence of `length` tokens,
// mean over `sequences_in_batch`. f [sequences, E] receives alpha * f_e / (length * sequences_in_batch): its
// gradient factor.
struct BalanceArgs {
  double alpha = 0;
  int64_t length = 0;              // tokens of one sequence; T is a multiple
  int64_t sequences_in_batch = 0;  // of the whole optimizer step
};
double balance_loss(Ctx& ctx, const RouteConfig& config, const BalanceArgs& args, const Routing& routing,
                    int64_t tokens, std::span<float> f);

// dweights [T, K] and the balance loss's f (empty: none) -> dlogits [T, E], overwritten. Selection is
// constant.
void route_backward(Ctx& ctx, const RouteConfig& config, const Routing& routing, int64_t tokens,
                    const float* dweights, std::span<const float> f, int64_t length, float* dlogits);

// Auxiliary-loss-free balancing: bias += gamma * sign(mean count - count), sign(0) = 0.
void update_bias(const int64_t* counts, int64_t experts, double gamma, float* bias);

}  // namespace frugal::kernels
