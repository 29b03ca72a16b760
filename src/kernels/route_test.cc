#include "kernels/route.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <complex>
#include <numeric>
#include <set>

#include "kernels/reference.h"
#include "test_values.h"

namespace frugal::kernels {
namespace {

struct Routed {
  std::vector<float> scores, weights;
  std::vector<int32_t> indices, offsets, rows, slots;
  Routing view() {
    return {scores.data(), indices.data(), weights.data(), offsets.data(), rows.data(), slots.data()};
  }
};
Routed run(Ctx& ctx, const RouteConfig& c, const std::vector<float>& logits, const std::vector<float>& bias) {
  const size_t tokens = logits.size() / static_cast<size_t>(c.n_routed_experts);
  const size_t chosen = tokens * static_cast<size_t>(c.num_experts_per_tok);
  Routed r{
      std::vector<float>(logits.size()), std::vector<float>(chosen),
      std::vector<int32_t>(chosen),      std::vector<int32_t>(static_cast<size_t>(c.n_routed_experts + 1)),
      std::vector<int32_t>(chosen, -1),  std::vector<int32_t>(chosen, -1)};
  route(ctx, c, logits.data(), bias.empty() ? nullptr : bias.data(), static_cast<int64_t>(tokens), r.view());
  return r;
}
template <class T>
std::vector<T> token(const std::vector<T>& x, int64_t t, int64_t n) {
  return {x.begin() + t * n, x.begin() + (t + 1) * n};
}

RouteConfig config(int64_t experts, int64_t top_k, int64_t groups, int64_t kept) {
  RouteConfig c;
  c.n_routed_experts = experts;
  c.num_experts_per_tok = top_k;
  c.n_group = groups;
  c.topk_group = kept;
  c.routed_scaling_factor = 2.5f;
  return c;
}
RouteConfig v2(int64_t experts, int64_t top_k, int64_t groups, int64_t kept) {
  RouteConfig c = config(experts, top_k, groups, kept);
  c.sigmoid = c.group_top2 = c.norm_topk_prob = c.scale_and_norm = false;
  return c;
}
const RouteConfig kConfigs[] = {config(16, 4, 4, 2), config(256, 8, 8, 4), config(12, 3, 1, 1),
                                config(6, 2, 6, 3),  config(5, 1, 1, 1),   v2(16, 6, 1, 1),
                                v2(12, 4, 4, 2)};

TEST(Route, AgreesWithTheReference) {
  Ctx ctx(2);
  for (const RouteConfig& c : kConfigs) {
    const int64_t tokens = 150, experts = c.n_routed_experts, top_k = c.num_experts_per_tok;
    const std::vector<float> logits = test::normal("logits", tokens * experts, 2);
    const std::vector<float> bias = c.sigmoid ? test::normal("bias", experts, 0.3) : std::vector<float>{};
    const Routed r = run(ctx, c, logits, bias);
    for (int64_t t = 0; t < tokens; ++t) {
      const std::vector<float> l = token(logits, t, experts);
      const std::vector<double> scores = reference::route_scores(c, test::converted<double>(l));
      for (int64_t e = 0; e < experts; ++e)
        EXPECT_NEAR(static_cast<double>(r.scores[static_cast<size_t>(t * experts + e)]),
                    scores[static_cast<size_t>(e)], 2e-7);
      const std::vector<int32_t> want = reference::route_choice(c, scores, test::converted<double>(bias));
      EXPECT_EQ(token(r.indices, t, top_k), want);
      const std::vector<double> weights = reference::route_weights(c, scores, want);
      for (int64_t k = 0; k < top_k; ++k)
        EXPECT_NEAR(static_cast<double>(r.weights[static_cast<size_t>(t * top_k + k)]),
                    weights[static_cast<size_t>(k)], 1e-6);
    }
  }
}

// Equal logits make equal scores, and biases in steps of 1/8 make exact sums: ties everywhere, in experts and
// groups, and biased scores below zero.
TEST(Route, TiesGoToTheLowerId) {
  Ctx ctx(2);
  for (const RouteConfig& c : kConfigs) {
    const int64_t experts = c.n_routed_experts, top_k = c.num_experts_per_tok;
    for (uint64_t trial = 0; trial < 200; ++trial) {
      const std::string name = std::to_string(trial);
      std::vector<float> logits(static_cast<size_t>(experts), 0.0f), bias;
      if (c.sigmoid) {
        for (int32_t i : test::integers(name, experts, 12)) bias.push_back(static_cast<float>(i - 9) / 8);
      } else {
        logits = test::converted<float>(test::integers(name, experts, 4));
      }
      const Routed r = run(ctx, c, logits, bias);
      // The reference chooses by the same scores, so that only the order decides.
      const std::vector<int32_t> want =
          reference::route_choice(c, test::converted<double>(r.scores), test::converted<double>(bias));
      ASSERT_EQ(token(r.indices, 0, top_k), want) << trial;
    }
  }
  // By hand: everything ties.
  const Routed r = run(ctx, config(16, 4, 4, 2), std::vector<float>(16, 0.0f), std::vector<float>(16, -3.0f));
  EXPECT_EQ(r.indices, (std::vector<int32_t>{0, 1, 2, 3}));
}

TEST(Route, NeverPicksFromAnUnchosenGroup) {
  Ctx ctx(2);
  for (const RouteConfig& c : kConfigs) {
    const int64_t tokens = 200, experts = c.n_routed_experts, top_k = c.num_experts_per_tok,
                  size = experts / c.n_group;
    // Strongly negative biases: a filler of zero would let excluded experts win.
    std::vector<float> bias;
    if (c.sigmoid)
      for (float b : test::normal("bias", experts, 0.5)) bias.push_back(b - 3);
    const std::vector<float> logits = test::normal("logits", tokens * experts, 3);
    const Routed r = run(ctx, c, logits, bias);
    for (int64_t t = 0; t < tokens; ++t) {
      const std::vector<int32_t> chosen = token(r.indices, t, top_k);
      std::set<int64_t> groups;
      for (int32_t e : chosen) groups.insert(e / size);
      EXPECT_LE(static_cast<int64_t>(groups.size()), c.topk_group);
      EXPECT_TRUE(std::is_sorted(chosen.begin(), chosen.end()));
      EXPECT_EQ(std::set<int32_t>(chosen.begin(), chosen.end()).size(), chosen.size());
      // Nobody outside the choice but inside its groups has a better biased score.
      const auto biased = [&](int64_t e) {
        const float s = r.scores[static_cast<size_t>(t * experts + e)];
        return bias.empty() ? s : s + bias[static_cast<size_t>(e)];
      };
      float worst = biased(chosen[0]);
      for (int32_t e : chosen) worst = std::min(worst, biased(e));
      for (int64_t e = 0; e < experts; ++e)
        if (groups.contains(e / size) &&
            !std::binary_search(chosen.begin(), chosen.end(), static_cast<int32_t>(e))) {
          EXPECT_LE(biased(e), worst);
        }
    }
  }
}

TEST(Route, SlotsAreAPermutationByExpert) {
  Ctx ctx(3);
  for (const RouteConfig& c : kConfigs) {
    const int64_t tokens = 77, top_k = c.num_experts_per_tok;
    const Routed r = run(ctx, c, test::normal("logits", tokens * c.n_routed_experts), {});
    EXPECT_EQ(r.offsets.front(), 0);
    EXPECT_EQ(r.offsets.back(), tokens * top_k);
    std::vector<int> used(r.rows.size(), 0);
    for (int64_t i = 0; i < tokens * top_k; ++i) {
      const int32_t slot = r.slots[static_cast<size_t>(i)], expert = r.indices[static_cast<size_t>(i)];
      ASSERT_GE(slot, r.offsets[static_cast<size_t>(expert)]);
      ASSERT_LT(slot, r.offsets[static_cast<size_t>(expert) + 1]);
      EXPECT_EQ(r.rows[static_cast<size_t>(slot)], i / top_k);
      ++used[static_cast<size_t>(slot)];
    }
    EXPECT_EQ(used, std::vector<int>(used.size(), 1));
    for (int64_t e = 0; e < c.n_routed_experts; ++e)
      EXPECT_TRUE(std::is_sorted(r.rows.begin() + r.offsets[static_cast<size_t>(e)],
                                 r.rows.begin() + r.offsets[static_cast<size_t>(e) + 1]));
  }
}

TEST(Route, RawTopKIgnoresBiasAndGroups) {
  const std::vector<float> s = {0.1f, 0.9f, 0.5f, 0.9f, 0.5f, 0.2f};
  int32_t top[4];
  raw_top_k(s.data(), 6, 3, top);
  EXPECT_EQ((std::vector<int32_t>(top, top + 3)), (std::vector<int32_t>{1, 2, 3}));  // 2 before 4: a tie
  raw_top_k(s.data(), 6, 4, top);
  EXPECT_EQ((std::vector<int32_t>(top, top + 4)), (std::vector<int32_t>{1, 2, 3, 4}));
}

// ---- balance loss ----

// Choices of a token that the loss counts: V3 the largest raw scores, V2 the actual choice.
std::vector<std::vector<int64_t>> counted(const RouteConfig& c, const Routed& r, int64_t length) {
  const int64_t experts = c.n_routed_experts, tokens = static_cast<int64_t>(r.scores.size()) / experts;
  std::vector<std::vector<int64_t>> counts(static_cast<size_t>(tokens / length),
                                           std::vector<int64_t>(static_cast<size_t>(experts), 0));
  for (int64_t t = 0; t < tokens; ++t) {
    const std::vector<int32_t> top =
        c.sigmoid
            ? reference::largest(test::converted<double>(token(r.scores, t, experts)), c.num_experts_per_tok)
            : token(r.indices, t, c.num_experts_per_tok);
    for (int32_t e : top) ++counts[static_cast<size_t>(t / length)][static_cast<size_t>(e)];
  }
  return counts;
}

TEST(BalanceLoss, AgreesWithTheReference) {
  Ctx ctx(2);
  for (const RouteConfig& c : kConfigs) {
    const int64_t tokens = 60, length = 20, experts = c.n_routed_experts;
    Routed r = run(ctx, c, test::normal("logits", tokens * experts),
                   c.sigmoid ? test::normal("bias", experts, 0.5) : std::vector<float>{});
    std::vector<float> f(static_cast<size_t>(tokens / length * experts));
    const double loss = balance_loss(ctx, c, {0.7, length, 6}, r.view(), tokens, f);
    const auto counts = counted(c, r, length);
    double want = 0;
    for (int64_t s = 0; s < 3; ++s) {
      std::vector<reference::Row<double>> scores;
      for (int64_t t = s * length; t < (s + 1) * length; ++t)
        scores.push_back(test::converted<double>(token(r.scores, t, experts)));
      want += reference::balance_loss(c, 0.7, scores, counts[static_cast<size_t>(s)]) / 6;
      const int64_t total = std::accumulate(counts[static_cast<size_t>(s)].begin(),
                                            counts[static_cast<size_t>(s)].end(), int64_t{0});
      EXPECT_EQ(total, length * c.num_experts_per_tok);
    }
    EXPECT_NEAR(loss, want, 1e-6 * want);
    EXPECT_EQ(f.size(), static_cast<size_t>(3 * experts));
  }
}

// ---- backward ----

TEST(RouteBackward, IsTheDerivative) {
  using Complex = std::complex<double>;
  constexpr double kStep = 1e-30;
  Ctx ctx(2);
  std::vector<RouteConfig> configs(std::begin(kConfigs), std::end(kConfigs));
  configs.push_back(v2(12, 4, 4, 2));
  configs.back().norm_topk_prob = true;  // V2: normalise and do not scale
  for (const RouteConfig& c : configs) {
    if (c.n_routed_experts > 100) continue;
    for (bool balanced : {false, true}) {
      const int64_t tokens = 12, length = 6, experts = c.n_routed_experts, top_k = c.num_experts_per_tok;
      const std::vector<float> logits = test::normal("logits", tokens * experts),
                               dweights = test::normal("dw", tokens * top_k);
      Routed r = run(ctx, c, logits, c.sigmoid ? test::normal("bias", experts, 0.5) : std::vector<float>{});
      std::vector<float> f(static_cast<size_t>(balanced ? tokens / length * experts : 0));
      std::vector<float> dlogits(logits.size(), 7.0f);
      if (balanced) (void)balance_loss(ctx, c, {0.7, length, 2}, r.view(), tokens, f);
      route_backward(ctx, c, r.view(), tokens, dweights.data(), f, length, dlogits.data());
      const auto counts = counted(c, r, length);
      double largest = 0, worst = 0;
      for (int64_t t = 0; t < tokens; ++t) {
        for (int64_t e = 0; e < experts; ++e) {
          std::vector<Complex> l;
          for (float x : token(logits, t, experts)) l.emplace_back(static_cast<double>(x));
          l[static_cast<size_t>(e)] += Complex(0, kStep);
          const std::vector<Complex> s = reference::route_scores(c, l);
          const std::vector<Complex> w = reference::route_weights(c, s, token(r.indices, t, top_k));
          Complex value{};
          for (int64_t k = 0; k < top_k; ++k)
            value +=
                static_cast<double>(dweights[static_cast<size_t>(t * top_k + k)]) * w[static_cast<size_t>(k)];
          // One token of the sequence's mean; counts are those of the whole sequence.
          if (balanced) {
            const Complex sum = std::accumulate(s.begin(), s.end(), Complex{});
            for (int64_t i = 0; i < experts; ++i) {
              const double fi =
                  static_cast<double>(counts[static_cast<size_t>(t / length)][static_cast<size_t>(i)]) *
                  static_cast<double>(experts) / static_cast<double>(top_k * length);
              value += 0.7 * fi / static_cast<double>(length * 2) * (s[static_cast<size_t>(i)] / sum);
            }
          }
          const double want = value.imag() / kStep,
                       got = static_cast<double>(dlogits[static_cast<size_t>(t * experts + e)]);
          largest = std::max(largest, std::fabs(want));
          worst = std::max(worst, std::fabs(got - want));
        }
      }
      EXPECT_GT(largest, 1e-3);
      EXPECT_LT(worst, 2e-6 * largest) << experts << (balanced ? " balanced" : "");
    }
  }
}

TEST(Route, ThreadsAndLevelsChangeNoBit) {
  const RouteConfig c = config(16, 4, 4, 2);
  const std::vector<float> logits = test::normal("logits", 300 * 16), bias = test::normal("bias", 16, 0.5);
  Ctx one(1);
  Routed want = run(one, c, logits, bias);
  const auto expect_same = [&](Ctx& ctx, const std::string& what) {
    const Routed r = run(ctx, c, logits, bias);
    EXPECT_TRUE(test::same_bits(r.scores, want.scores)) << what;
    EXPECT_TRUE(test::same_bits(r.weights, want.weights)) << what;
    EXPECT_EQ(r.indices, want.indices) << what;
    EXPECT_EQ(r.rows, want.rows) << what;
    EXPECT_EQ(r.slots, want.slots) << what;
  };
  for (int threads : {2, 3, 7}) {
    Ctx ctx(threads);
    expect_same(ctx, "threads");
  }
  for (const std::string& name : available_levels()) {
    Ctx ctx(2, level_by_name(name));
    expect_same(ctx, name);
  }
}

TEST(UpdateBias, MovesTowardsTheMean) {
  std::vector<float> bias = {0.5f, 0.5f, 0.5f, -0.25f};
  const int64_t counts[] = {3, 10, 5, 2};  // mean 5
  update_bias(counts, 4, 0.001, bias.data());
  EXPECT_EQ(bias, (std::vector<float>{static_cast<float>(0.5 + 0.001), static_cast<float>(0.5 - 0.001), 0.5f,
                                      static_cast<float>(-0.25 + 0.001)}));
}

// The mean need not be an integer: no rounding may decide the sign.
TEST(UpdateBias, ComparesExactly) {
  std::vector<float> bias(3, 0.0f);
  const int64_t counts[] = {3, 3, 4};  // mean 10 / 3
  update_bias(counts, 3, 1, bias.data());
  EXPECT_EQ(bias, (std::vector<float>{1, 1, -1}));
  std::vector<float> still(2, 0.25f);
  const int64_t equal[] = {4, 4};
  update_bias(equal, 2, 1, still.data());
  EXPECT_EQ(still, (std::vector<float>{0.25f, 0.25f}));
}

}  // namespace
}  // namespace frugal::kernels
