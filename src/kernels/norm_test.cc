#include "kernels/norm.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <complex>

#include "kernels/reference.h"
#include "test_values.h"

namespace frugal::kernels {
namespace {

constexpr float kEps = 1e-5f;

// x [tokens, n] in rows of ldx, as the latent lies in kv_a.
struct Problem {
  int64_t tokens = 0, n = 0, ldx = 0;
  std::vector<float> x, w, dy;
  Problem(int64_t t, int64_t width, int64_t ld)
      : tokens(t),
        n(width),
        ldx(ld),
        x(test::normal("x", t * ld, 2)),
        w(test::normal("w", width)),
        dy(test::normal("dy", t * width)) {}
  std::vector<double> row(const std::vector<float>& from, int64_t t, int64_t ld) const {
    return {from.begin() + t * ld, from.begin() + t * ld + n};
  }
};

struct Forward {
  std::vector<float> y, r;
};
Forward run(Ctx& ctx, const Problem& p) {
  Forward f{std::vector<float>(static_cast<size_t>(p.tokens * p.n)),
            std::vector<float>(static_cast<size_t>(p.tokens))};
  rmsnorm(ctx, p.x.data(), p.ldx, p.w.data(), kEps, p.tokens, p.n, f.y.data(), f.r.data());
  return f;
}
struct Gradients {
  std::vector<float> dx, dw;
};
constexpr int64_t kDxStride = 5;  // more than the row
Gradients run_backward(Ctx& ctx, const Problem& p) {
  const Forward f = run(ctx, p);
  Gradients g{test::normal("dx", p.tokens * (p.n + kDxStride)), test::normal("dw", p.n)};
  rmsnorm_backward(ctx, p.x.data(), p.ldx, p.w.data(), f.r.data(), p.dy.data(), p.tokens, p.n, g.dx.data(),
                   p.n + kDxStride, g.dw.data());
  return g;
}

TEST(Rmsnorm, AgreesWithDouble) {
  Ctx ctx(2);
  for (int64_t n : {1, 2, 15, 16, 17, 33, 100, 257}) {
    const Problem p(5, n, n + 3);
    const Forward f = run(ctx, p);
    const std::vector<double> w(p.w.begin(), p.w.end());
    for (int64_t t = 0; t < p.tokens; ++t) {
      const std::vector<double> x = p.row(p.x, t, p.ldx),
                                want = reference::rmsnorm(x, w, static_cast<double>(kEps));
      for (int64_t i = 0; i < n; ++i)
        EXPECT_NEAR(static_cast<double>(f.y[static_cast<size_t>(t * n + i)]), want[static_cast<size_t>(i)],
                    4e-7 * std::fabs(want[static_cast<size_t>(i)]) + 1e-30);
      const double mean = reference::dot(x.data(), x.data(), n) / static_cast<double>(n);
      EXPECT_NEAR(
          static_cast<double>(f.r[static_cast<size_t>(t)]) * std::sqrt(mean + static_cast<double>(kEps)), 1,
          3e-7);
    }
  }
}

TEST(Rmsnorm, NeedsNoPlaceForR) {
  Ctx ctx(1);
  const Problem p(3, 20, 20);
  std::vector<float> y(60);
  rmsnorm(ctx, p.x.data(), 20, p.w.data(), kEps, 3, 20, y.data(), nullptr);
  EXPECT_TRUE(test::same_bits(y, run(ctx, p).y));
}

TEST(Rmsnorm, IsComputedAgainBitForBit) {
  Ctx ctx(2);
  for (int64_t n : {1, 15, 16, 100, 257}) {
    const Problem p(5, n, n + 3);
    const Forward f = run(ctx, p);
    std::vector<float> again(f.y.size());
    rmsnorm_again(ctx, p.x.data(), p.ldx, p.w.data(), f.r.data(), p.tokens, n, again.data());
    EXPECT_TRUE(test::same_bits(again, f.y)) << n;
  }
}

TEST(RmsnormBackward, IsTheDerivative) {
  using Complex = std::complex<double>;
  constexpr double kStep = 1e-30;
  Ctx ctx(2);
  for (int64_t n : {1, 2, 17, 40}) {
    const Problem p(3, n, n + 2);
    const Gradients g = run_backward(ctx, p);
    const std::vector<float> dx0 = test::normal("dx", p.tokens * (n + kDxStride)),
                             dw0 = test::normal("dw", n);
    std::vector<double> dw(static_cast<size_t>(n), 0.0);
    for (int64_t t = 0; t < p.tokens; ++t) {
      std::vector<Complex> x, w(p.w.begin(), p.w.end());
      for (double v : p.row(p.x, t, p.ldx)) x.emplace_back(v);
      const std::vector<double> dy = p.row(p.dy, t, n);
      const auto derivative = [&](std::vector<Complex>* of, int64_t i) {
        Complex& v = (*of)[static_cast<size_t>(i)];
        const Complex saved = v;
        v += Complex(0, kStep);
        const std::vector<Complex> y = reference::rmsnorm(x, w, static_cast<double>(kEps));
        v = saved;
        Complex f{};
        for (size_t j = 0; j < y.size(); ++j) f += dy[j] * y[j];
        return f.imag() / kStep;
      };
      for (int64_t i = 0; i < n; ++i) {
        const size_t at = static_cast<size_t>(t * (n + kDxStride) + i);
        EXPECT_NEAR(static_cast<double>(g.dx[at]) - static_cast<double>(dx0[at]), derivative(&x, i), 3e-6)
            << n;
        dw[static_cast<size_t>(i)] += derivative(&w, i);
      }
      for (int64_t i = n; i < n + kDxStride; ++i) {
        const size_t at = static_cast<size_t>(t * (n + kDxStride) + i);
        EXPECT_EQ(g.dx[at], dx0[at]);
      }
    }
    for (size_t i = 0; i < dw.size(); ++i)
      EXPECT_NEAR(static_cast<double>(g.dw[i]) - static_cast<double>(dw0[i]), dw[i], 3e-6) << n;
  }
}

// The sum over tokens goes in blocks of 128, ascending, and is added to the gradient once (docs/numerics.md,
// section 5).
TEST(RmsnormBackward, SumsTokensInBlocks) {
  Ctx ctx(3);
  const Problem p(300, 33, 33);
  const Forward f = run(ctx, p);
  const std::vector<float> start = test::normal("dw", p.n);
  std::vector<float> total;
  for (int64_t block = 0; block < p.tokens; block += 128) {
    std::vector<float> sum(static_cast<size_t>(p.n), 0.0f), dx(static_cast<size_t>(p.n));
    for (int64_t t = block; t < std::min(p.tokens, block + 128); ++t)
      ctx.level.rmsnorm_backward(p.x.data() + t * p.ldx, p.w.data(), f.r[static_cast<size_t>(t)],
                                 p.dy.data() + t * p.n, p.n, dx.data(), sum.data());
    if (total.empty())
      total = sum;
    else
      for (size_t i = 0; i < sum.size(); ++i) total[i] = total[i] + sum[i];
  }
  for (size_t i = 0; i < total.size(); ++i) total[i] = start[i] + total[i];
  EXPECT_TRUE(test::same_bits(run_backward(ctx, p).dw, total));
}

TEST(Rmsnorm, ThreadsAndLevelsChangeNoBit) {
  const Problem p(300, 65, 70);
  Ctx one(1);
  const Forward f = run(one, p);
  const Gradients g = run_backward(one, p);
  const auto expect_same = [&](Ctx& ctx, const std::string& what) {
    EXPECT_TRUE(test::same_bits(run(ctx, p).y, f.y)) << what;
    EXPECT_TRUE(test::same_bits(run(ctx, p).r, f.r)) << what;
    EXPECT_TRUE(test::same_bits(run_backward(ctx, p).dx, g.dx)) << what;
    EXPECT_TRUE(test::same_bits(run_backward(ctx, p).dw, g.dw)) << what;
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

}  // namespace
}  // namespace frugal::kernels
