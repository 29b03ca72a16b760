#include "kernels/compensated_rounding.h"

#include <gtest/gtest.h>

#include <cmath>

#include "test_values.h"

namespace frugal::kernels {
namespace {

// Tokens whose inputs have much in common, as those of a layer do: x = a few directions + noise, sizes apart.
std::vector<float> inputs(int64_t tokens, int64_t n) {
  constexpr int64_t kDirections = 12;
  const std::vector<float> mix = test::normal("mix", kDirections * n), at = test::normal("at", tokens * kDirections);
  std::vector<float> x = test::normal("noise", tokens * n);
  for (int64_t t = 0; t < tokens; ++t) {
    for (int64_t i = 0; i < n; ++i) {
      float& v = x[static_cast<size_t>(t * n + i)];
      v *= 0.3f;
      for (int64_t d = 0; d < kDirections; ++d)
        v += at[static_cast<size_t>(t * kDirections + d)] * mix[static_cast<size_t>(d * n + i)];
      v *= i % 9 == 0 ? 5.0f : 1.0f;
    }
  }
  return x;
}
std::vector<float> moments_of(const std::vector<float>& x, int64_t n) {
  std::vector<float> m(static_cast<size_t>(n * n));
  for (size_t t = 0; t < x.size(); t += static_cast<size_t>(n))
    for (int64_t i = 0; i < n; ++i)
      for (int64_t j = 0; j < n; ++j)
        m[static_cast<size_t>(i * n + j)] += x[t + static_cast<size_t>(i)] * x[t + static_cast<size_t>(j)];
  return m;
}
// Sum over tokens of ((w - s q) x)^2.
double loss(const std::vector<float>& x, const float* w, const std::vector<int8_t>& q, float s, int64_t n) {
  double sum = 0;
  for (size_t t = 0; t < x.size(); t += static_cast<size_t>(n)) {
    double e = 0;
    for (int64_t i = 0; i < n; ++i)
      e += (static_cast<double>(w[i]) - static_cast<double>(s) * q[static_cast<size_t>(i)]) *
           static_cast<double>(x[t + static_cast<size_t>(i)]);
    sum += e * e;
  }
  return sum;
}
float round_plainly(const float* w, int64_t n, float limit, std::vector<int8_t>* q) {
  float amax = 0;
  for (int64_t i = 0; i < n; ++i) amax = std::max(amax, std::fabs(w[i]));
  for (int64_t i = 0; i < n; ++i)
    (*q)[static_cast<size_t>(i)] = static_cast<int8_t>(std::nearbyint(w[i] / (amax / limit)));
  return amax / limit;
}

TEST(CompensatedRounding, FactorIsThatOfTheInverse) {
  for (const int64_t n : {1, 2, 37, 128}) {
    const std::vector<float> moments = moments_of(inputs(300, n), n);
    const GroupMoments m = group_moments(moments.data(), n);
    ASSERT_EQ(m.n, n);
    double mean = 0;
    for (int64_t i = 0; i < n; ++i) mean += static_cast<double>(moments[static_cast<size_t>(i * (n + 1))]) / static_cast<double>(n);
    // U (moments + damping) U^T = 1, in the order.
    for (int64_t i = 0; i < n; ++i) {
      EXPECT_TRUE(i == 0 || m.weight[static_cast<size_t>(i)] <= m.weight[static_cast<size_t>(i - 1)]);
      for (int64_t j = 0; j < n; ++j) {
        double sum = 0;
        for (int64_t a = i; a < n; ++a)
          for (int64_t b = j; b < n; ++b) {
            const double h = static_cast<double>(moments[static_cast<size_t>(m.order[static_cast<size_t>(a)] * n + m.order[static_cast<size_t>(b)])]) +
                             (a == b ? 0.01 * mean : 0);
            sum += static_cast<double>(m.factor[static_cast<size_t>(i * n + a)]) * h * static_cast<double>(m.factor[static_cast<size_t>(j * n + b)]);
          }
        EXPECT_NEAR(sum, i == j ? 1 : 0, 2e-3) << i << " " << j;
        EXPECT_TRUE(i <= j || m.factor[static_cast<size_t>(i * n + j)] == 0) << i << " " << j;
      }
      if (i == 5 && n == 128) i = n - 5;  // the middle is as the ends are
    }
  }
}

TEST(CompensatedRounding, LosesLessThanRoundingOneByOne) {
  for (const int64_t n : {128, 70}) {
    for (const float limit : {7.0f, 127.0f}) {
      const std::vector<float> x = inputs(400, n), w = test::normal("w", 20 * n);
      const GroupMoments m = group_moments(moments_of(x, n).data(), n);
      double plain = 0, compensated = 0;
      std::vector<int8_t> q(static_cast<size_t>(n));
      for (int64_t r = 0; r < 20; ++r) {
        const float* row = w.data() + r * n;
        const float s = round_plainly(row, n, limit, &q);
        plain += loss(x, row, q, s, n);
        const float c = round_compensated(m, row, limit, q.data());
        for (const int8_t v : q) EXPECT_LE(std::abs(v), static_cast<int>(limit));
        compensated += loss(x, row, q, c, n);
      }
      EXPECT_LT(compensated, 0.35 * plain) << n << ", " << limit;
    }
  }
}

// Inputs that have nothing in common leave nothing to make good.
TEST(CompensatedRounding, UnrelatedInputsAreRoundedOneByOne) {
  const int64_t n = 64;
  std::vector<float> moments(static_cast<size_t>(n * n));
  for (int64_t i = 0; i < n; ++i) moments[static_cast<size_t>(i * (n + 1))] = 2;
  const GroupMoments m = group_moments(moments.data(), n);
  const std::vector<float> w = test::normal("w", n);
  std::vector<int8_t> q(static_cast<size_t>(n));
  const float s = round_compensated(m, w.data(), 127, q.data());
  for (int64_t i = 0; i < n; ++i)
    EXPECT_EQ(q[static_cast<size_t>(i)], std::clamp(std::nearbyint(w[static_cast<size_t>(i)] / s), -127.0f, 127.0f));
}

TEST(CompensatedRounding, NothingIsKnownOfInputsThatAreZero) {
  const std::vector<float> moments(25, 0.0f);
  EXPECT_EQ(group_moments(moments.data(), 5).n, 0);
  const std::vector<float> one = moments_of(inputs(10, 5), 5);
  const std::vector<float> w(5, 0.0f);
  std::vector<int8_t> q(5, 1);
  EXPECT_EQ(round_compensated(group_moments(one.data(), 5), w.data(), 7, q.data()), 1);
  for (const int8_t v : q) EXPECT_EQ(v, 0);
}

}  // namespace
}  // namespace frugal::kernels
