#include "kernels/loss.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <complex>

#include "kernels/reference.h"
#include "test_values.h"

namespace frugal::kernels {
namespace {

TEST(LogSumExp, AgreesWithDouble) {
  Ctx ctx(1);
  for (int64_t n : {1, 2, 15, 17, 100, 1023, 1024, 1025, 2048, 3000, 129280}) {
    for (double scale : {0.1, 5.0}) {
      const std::vector<float> x = test::normal("x", n, scale);
      const double want = reference::log_sum_exp(test::converted<double>(x));
      EXPECT_NEAR(static_cast<double>(log_sum_exp(ctx.level, x.data(), n)), want,
                  1e-6 + 2e-7 * std::fabs(want))
          << n;
    }
  }
}

TEST(LogSumExp, HugeAndEqualLogits) {
  Ctx ctx(1);
  std::vector<float> x(3000, -1e4f);
  x[2500] = 1e4f;  // the maximum comes in the third block
  EXPECT_EQ(log_sum_exp(ctx.level, x.data(), 3000), 1e4f);
  std::reverse(x.begin(), x.end());  // and in the first
  EXPECT_EQ(log_sum_exp(ctx.level, x.data(), 3000), 1e4f);
  const std::vector<float> same(2048, 3.0f);
  EXPECT_NEAR(static_cast<double>(log_sum_exp(ctx.level, same.data(), 2048)), 3 + std::log(2048.0), 1e-6);
}

// Blocks of 1,024 ids with the online update (docs/numerics.md, section 2).
TEST(LogSumExp, FollowsTheContract) {
  Ctx ctx(1);
  const int64_t n = 2500;
  const std::vector<float> x = test::normal("x", n, 5);
  float m = 0, l = 0;
  for (int64_t at = 0; at < n; at += 1024) {
    const int64_t size = std::min<int64_t>(1024, n - at);
    const float block = *std::max_element(x.begin() + at, x.begin() + at + size),
                top = at == 0 ? block : std::max(m, block);
    float lane[16] = {};
    for (int64_t i = 0; i < size; ++i) {
      const float e = ctx.level.exp1(x[static_cast<size_t>(at + i)] - top);
      lane[i % 16] = i < 16 ? e : lane[i % 16] + e;
    }
    for (int w = 8; w >= 1; w /= 2)
      for (int i = 0; i < w; ++i) lane[i] = lane[i] + lane[i + w];
    l = at == 0 ? lane[0] : std::fma(l, ctx.level.exp1(m - top), lane[0]);
    m = top;
  }
  EXPECT_EQ(log_sum_exp(ctx.level, x.data(), n), m + ctx.level.log1(l));
}

struct Result {
  std::vector<float> logits, nll;
  std::vector<int32_t> best;
};
Result run(Ctx& ctx, std::vector<float> logits, int64_t vocab, const std::vector<int32_t>& targets,
           float scale) {
  Result r{std::move(logits), std::vector<float>(targets.size(), 7.0f),
           std::vector<int32_t>(targets.size(), -7)};
  cross_entropy(ctx, r.logits.data(), vocab, vocab, targets.data(), static_cast<int64_t>(targets.size()),
                scale, r.nll.data(), r.best.data());
  return r;
}

TEST(CrossEntropy, ValuesAndGradientsAgreeWithDouble) {
  Ctx ctx(2);
  for (int64_t vocab : {2, 17, 101, 1030}) {
    const std::vector<int32_t> targets = {0, static_cast<int32_t>(vocab - 1), -1,
                                          static_cast<int32_t>(vocab / 2), 1};
    const int64_t rows = static_cast<int64_t>(targets.size());
    const std::vector<float> logits = test::normal("logits", rows * vocab, 3);
    constexpr float kScale = 0.125f;
    const Result r = run(ctx, logits, vocab, targets, kScale);
    for (int64_t t = 0; t < rows; ++t) {
      const float* row = logits.data() + t * vocab;
      EXPECT_EQ(r.best[static_cast<size_t>(t)], std::max_element(row, row + vocab) - row);
      const int32_t target = targets[static_cast<size_t>(t)];
      if (target < 0) {
        EXPECT_EQ(r.nll[static_cast<size_t>(t)], 0.0f);
        for (int64_t i = 0; i < vocab; ++i) EXPECT_EQ(r.logits[static_cast<size_t>(t * vocab + i)], 0.0f);
        continue;
      }
      std::vector<std::complex<double>> x;
      for (int64_t i = 0; i < vocab; ++i) x.emplace_back(static_cast<double>(row[i]));
      EXPECT_NEAR(static_cast<double>(r.nll[static_cast<size_t>(t)]),
                  reference::cross_entropy(x, target).real(), 2e-6);
      constexpr double kStep = 1e-30;
      for (int64_t i = 0; i < vocab; i += std::max<int64_t>(1, vocab / 40)) {
        x[static_cast<size_t>(i)] += std::complex<double>(0, kStep);
        const double want = static_cast<double>(kScale) * reference::cross_entropy(x, target).imag() / kStep;
        x[static_cast<size_t>(i)] = x[static_cast<size_t>(i)].real();
        EXPECT_NEAR(static_cast<double>(r.logits[static_cast<size_t>(t * vocab + i)]), want,
                    3e-7 * std::fabs(want) + 2e-8);
      }
    }
  }
}

TEST(CrossEntropy, WithoutAScaleLogitsStay) {
  Ctx ctx(2);
  const std::vector<float> logits = test::normal("logits", 3 * 50);
  const Result loss_only = run(ctx, logits, 50, {4, -1, 6}, 0),
               with_gradient = run(ctx, logits, 50, {4, -1, 6}, 1);
  EXPECT_TRUE(test::same_bits(loss_only.logits, logits));
  EXPECT_TRUE(test::same_bits(loss_only.nll, with_gradient.nll));
  EXPECT_EQ(loss_only.best, with_gradient.best);
  std::vector<float> nll(3), copy = logits;
  const std::vector<int32_t> targets = {4, -1, 6};
  cross_entropy(ctx, copy.data(), 50, 50, targets.data(), 3, 0, nll.data(), nullptr);
  EXPECT_TRUE(test::same_bits(nll, loss_only.nll));
}

TEST(Argmax, TiesGoToTheLowerId) {
  const float x[] = {1, 3, 2, 3, -1};
  EXPECT_EQ(argmax(x, 5), 1);
  EXPECT_EQ(argmax(x, 1), 0);
  const float zeros[] = {-0.0f, 0.0f};
  EXPECT_EQ(argmax(zeros, 2), 0);
}

TEST(CrossEntropy, ThreadsLevelsAndNeighboursChangeNoBit) {
  const int64_t rows = 50, vocab = 1100;
  const std::vector<float> logits = test::normal("logits", rows * vocab, 3);
  const std::vector<int32_t> targets = test::integers("targets", rows, vocab);
  Ctx one(1);
  const Result want = run(one, logits, vocab, targets, 0.1f);
  const auto expect_same = [&](Ctx& ctx, const std::string& what) {
    const Result r = run(ctx, logits, vocab, targets, 0.1f);
    EXPECT_TRUE(test::same_bits(r.nll, want.nll)) << what;
    EXPECT_TRUE(test::same_bits(r.logits, want.logits)) << what;
  };
  for (int threads : {2, 3, 7}) {
    Ctx ctx(threads);
    expect_same(ctx, "threads");
  }
  for (const std::string& name : available_levels()) {
    Ctx ctx(2, level_by_name(name));
    expect_same(ctx, name);
  }
  for (int64_t t : {0, 17, 49}) {
    const Result r = run(one, {logits.begin() + t * vocab, logits.begin() + (t + 1) * vocab}, vocab,
                         {targets[static_cast<size_t>(t)]}, 0.1f);
    EXPECT_EQ(r.nll[0], want.nll[static_cast<size_t>(t)]);
  }
}

}  // namespace
}  // namespace frugal::kernels
