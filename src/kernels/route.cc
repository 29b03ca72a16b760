#include "kernels/route.h"

#include <algorithm>
#include <limits>
#include <numeric>

#include "base/error.h"

namespace frugal::kernels {

namespace {
constexpr float kNegativeInfinity = -std::numeric_limits<float>::infinity();

// Marks the `count` largest values; the lower index wins a tie.
void pick_largest(const float* x, int64_t n, int64_t count, char* picked) {
  std::fill_n(picked, n, char{0});
  for (int64_t c = 0; c < count; ++c) {
    int64_t best = -1;
    for (int64_t i = 0; i < n; ++i)
      if (!picked[i] && (best < 0 || x[i] > x[best])) best = i;
    if (best < 0) return;
    picked[best] = 1;
  }
}

float group_score(const float* choice, int64_t size, bool top2) {
  float first = kNegativeInfinity, second = kNegativeInfinity;
  for (int64_t i = 0; i < size; ++i) {
    if (choice[i] > first) {
      second = first;
      first = choice[i];
    } else if (choice[i] > second) {
      second = choice[i];
    }
  }
  return top2 && size > 1 ? first + second : first;
}

// A thread's memory for choosing: [experts] each; there are at most as many groups.
struct Picker {
  float *choice, *groups;
  char* picked;
};
enum : int { kSlotChoice = 10, kSlotGroups, kSlotPicked, kSlotCounts };  // Ctx::scratch
Picker picker_of(Ctx& ctx, int thread, int64_t experts) {
  return {ctx.scratch<float>(thread, kSlotChoice, experts), ctx.scratch<float>(thread, kSlotGroups, experts),
          ctx.scratch<char>(thread, kSlotPicked, experts)};
}

// Experts outside the chosen groups are excluded with minus infinity: biased scores may be negative.
void choose_experts(const RouteConfig& c, const float* scores, const float* bias, const Picker& p,
                    int32_t* indices) {
  const int64_t experts = c.n_routed_experts, size = experts / c.n_group;
  for (int64_t e = 0; e < experts; ++e) p.choice[e] = bias ? scores[e] + bias[e] : scores[e];
  if (c.n_group > 1) {
    for (int64_t g = 0; g < c.n_group; ++g)
      p.groups[g] = group_score(p.choice + g * size, size, c.group_top2);
    pick_largest(p.groups, c.n_group, c.topk_group, p.picked);
    for (int64_t e = 0; e < experts; ++e)
      if (!p.picked[e / size]) p.choice[e] = kNegativeInfinity;
  }
  pick_largest(p.choice, experts, c.num_experts_per_tok, p.picked);
  for (int64_t e = 0, k = 0; e < experts; ++e)
    if (p.picked[e]) indices[k++] = static_cast<int32_t>(e);
}

bool normalises(const RouteConfig& c) { return c.norm_topk_prob && c.num_experts_per_tok > 1; }
float factor_of(const RouteConfig& c) {
  return normalises(c) && !c.scale_and_norm ? 1.0f : c.routed_scaling_factor;
}
float chosen_sum(const float* scores, const int32_t* indices, int64_t k) {
  float sum = scores[indices[0]];
  for (int64_t i = 1; i < k; ++i) sum = sum + scores[indices[i]];
  return sum + 1e-20f;
}

void sort_by_expert(Ctx& ctx, const RouteConfig& c, int64_t tokens, const Routing& out) {
  const int64_t experts = c.n_routed_experts, top_k = c.num_experts_per_tok;
  std::fill_n(out.offsets, experts + 1, 0);
  for (int64_t i = 0; i < tokens * top_k; ++i) ++out.offsets[out.indices[i] + 1];
  for (int64_t e = 0; e < experts; ++e) out.offsets[e + 1] += out.offsets[e];
  List<int32_t> next(out.offsets, out.offsets + experts, &ctx.lists);
  for (int64_t t = 0; t < tokens; ++t) {
    for (int64_t k = 0; k < top_k; ++k) {
      const int32_t slot = next[static_cast<size_t>(out.indices[t * top_k + k])]++;
      out.rows[slot] = static_cast<int32_t>(t);
      out.slots[t * top_k + k] = slot;
    }
  }
}
}  // namespace

void route(Ctx& ctx, const RouteConfig& c, const float* logits, const float* bias, int64_t tokens,
           const Routing& out) {
  const ProfileScope timed(ctx.profile, "router");
  const int64_t experts = c.n_routed_experts, top_k = c.num_experts_per_tok;
  ctx.pool.parallel_for(tokens, [&](int64_t begin, int64_t end, int thread) {
    const Picker picker = picker_of(ctx, thread, experts);
    for (int64_t t = begin; t < end; ++t) {
      float* s = out.scores + t * experts;
      if (c.sigmoid)
        ctx.level.sigmoid(logits + t * experts, experts, s);
      else
        ctx.level.softmax(logits + t * experts, experts, s);
      int32_t* indices = out.indices + t * top_k;
      choose_experts(c, s, bias, picker, indices);
      const float sum = normalises(c) ? chosen_sum(s, indices, top_k) : 1.0f;
      for (int64_t k = 0; k < top_k; ++k) out.weights[t * top_k + k] = s[indices[k]] / sum * factor_of(c);
    }
  });
  sort_by_expert(ctx, c, tokens, out);
}

namespace {
void raw_top_k(const float* scores, int64_t experts, int64_t top_k, char* picked, int32_t* indices) {
  pick_largest(scores, experts, top_k, picked);
  for (int64_t e = 0, k = 0; e < experts; ++e)
    if (picked[e]) indices[k++] = static_cast<int32_t>(e);
}
}  // namespace

void raw_top_k(const float* scores, int64_t experts, int64_t top_k, int32_t* indices) {
  std::vector<char> picked(static_cast<size_t>(experts));
  raw_top_k(scores, experts, top_k, picked.data(), indices);
}

namespace {
// One sequence's part; f [experts] receives its gradient factors.
double sequence_balance(Ctx& ctx, int thread, const RouteConfig& c, const BalanceArgs& args,
                        const Routing& routing, int64_t first, float* f) {
  const int64_t experts = c.n_routed_experts, top_k = c.num_experts_per_tok, length = args.length;
  const Picker picker = picker_of(ctx, thread, experts);
  int64_t* counts = ctx.scratch<int64_t>(thread, kSlotCounts, 2 * experts + top_k);
  double* mean = reinterpret_cast<double*>(counts + experts);
  int32_t* top = reinterpret_cast<int32_t*>(mean + experts);
  std::fill_n(counts, experts, int64_t{0});
  std::fill_n(mean, experts, 0.0);
  for (int64_t t = first; t < first + length; ++t) {
    const float* s = routing.scores + t * experts;
    // V3 counts the largest raw scores; V2's code counts the actual choice (both without gradient).
    if (c.sigmoid)
      raw_top_k(s, experts, top_k, picker.picked, top);
    else
      std::copy_n(routing.indices + t * top_k, top_k, top);
    for (int64_t k = 0; k < top_k; ++k) ++counts[top[k]];
    const float sum = std::accumulate(s, s + experts, 0.0f);
    for (int64_t e = 0; e < experts; ++e) mean[e] += static_cast<double>(s[e] / sum);
  }
  double total = 0;
  for (int64_t e = 0; e < experts; ++e) {
    const double fe = static_cast<double>(experts * counts[e]) / static_cast<double>(top_k * length);
    const double weight = args.alpha * fe / static_cast<double>(length * args.sequences_in_batch);
    f[e] = static_cast<float>(weight);
    total += weight * mean[e];
  }
  return total;
}
}  // namespace

double balance_loss(Ctx& ctx, const RouteConfig& c, const BalanceArgs& args, const Routing& routing,
                    int64_t tokens, std::span<float> f) {
  const ProfileScope timed(ctx.profile, "router");
  FRUGAL_ASSERT(args.length > 0 && tokens % args.length == 0, "{} tokens are not whole sequences of {}",
                tokens, args.length);
  const int64_t sequences = tokens / args.length;
  FRUGAL_ASSERT(static_cast<int64_t>(f.size()) == sequences * c.n_routed_experts, "{} factors", f.size());
  List<double> parts = ctx.list<double>(sequences);
  ctx.pool.run(sequences, [&](int64_t q, int thread) {
    parts[static_cast<size_t>(q)] =
        sequence_balance(ctx, thread, c, args, routing, q * args.length, f.data() + q * c.n_routed_experts);
  });
  return std::accumulate(parts.begin(), parts.end(), 0.0);
}

namespace {
// Gradient of the chosen weights with respect to the raw scores; ds is zero elsewhere.
void weights_backward(const RouteConfig& c, const float* s, const int32_t* indices, const float* dw,
                      float* ds) {
  const int64_t top_k = c.num_experts_per_tok;
  std::fill_n(ds, c.n_routed_experts, 0.0f);
  if (!normalises(c)) {
    for (int64_t k = 0; k < top_k; ++k) ds[indices[k]] = dw[k] * factor_of(c);
    return;
  }
  const float sum = chosen_sum(s, indices, top_k);
  float mean = 0;
  for (int64_t k = 0; k < top_k; ++k) mean = mean + dw[k] * (s[indices[k]] / sum);
  for (int64_t k = 0; k < top_k; ++k) ds[indices[k]] = (dw[k] - mean) / sum * factor_of(c);
}
}  // namespace

void route_backward(Ctx& ctx, const RouteConfig& c, const Routing& routing, int64_t tokens,
                    const float* dweights, std::span<const float> f, int64_t length, float* dlogits) {
  const ProfileScope timed(ctx.profile, "router");
  const int64_t experts = c.n_routed_experts, top_k = c.num_experts_per_tok;
  ctx.pool.parallel_for(tokens, [&](int64_t begin, int64_t end, int) {
    for (int64_t t = begin; t < end; ++t) {
      const float* s = routing.scores + t * experts;
      float* d = dlogits + t * experts;
      weights_backward(c, s, routing.indices + t * top_k, dweights + t * top_k, d);
      if (!f.empty()) {  // through P: s' = s / sum s
        const float* g = f.data() + t / length * experts;
        const float sum = std::accumulate(s, s + experts, 0.0f);
        float mean = 0;
        for (int64_t e = 0; e < experts; ++e) mean = mean + g[e] * (s[e] / sum);
        for (int64_t e = 0; e < experts; ++e) d[e] = d[e] + (g[e] - mean) / sum;
      }
      if (c.sigmoid) {
        for (int64_t e = 0; e < experts; ++e) d[e] = d[e] * s[e] * (1.0f - s[e]);
      } else {
        float mean = 0;
        for (int64_t e = 0; e < experts; ++e) mean = mean + d[e] * s[e];
        for (int64_t e = 0; e < experts; ++e) d[e] = s[e] * (d[e] - mean);
      }
    }
  });
}

void update_bias(const int64_t* counts, int64_t experts, double gamma, float* bias) {
  const int64_t total = std::accumulate(counts, counts + experts, int64_t{0});
  for (int64_t e = 0; e < experts; ++e) {
    // Compared as integers: E * count against the total, so that no rounding decides the sign.
    const int64_t load = counts[e] * experts;
    if (load < total) bias[e] = static_cast<float>(static_cast<double>(bias[e]) + gamma);
    if (load > total) bias[e] = static_cast<float>(static_cast<double>(bias[e]) - gamma);
  }
}

}  // namespace frugal::kernels
