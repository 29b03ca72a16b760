#include "kernels/rope.h"

#include <gtest/gtest.h>

#include <cmath>
#include <utility>

#include "kernels/reference.h"
#include "test_values.h"

namespace frugal::kernels {
namespace {

// DeepSeek-V3: dim 64, theta 10000, factor 40 over 4096 positions, mscale = mscale_all_dim = 1.
RopeConfig v3() {
  RopeConfig c;
  c.dim = 64;
  c.yarn = true;
  c.factor = 40;
  c.original_max_position_embeddings = 4096;
  c.mscale = c.mscale_all_dim = 1;
  return c;
}
RopeConfig plain(int64_t dim) {
  RopeConfig c;
  c.dim = dim;
  return c;
}

TEST(Rope, PlainFrequencies) {
  const std::vector<double> f = rope_inv_freq(plain(16));
  ASSERT_EQ(f.size(), 8u);
  for (size_t i = 0; i < f.size(); ++i)
    EXPECT_NEAR(f[i] * std::pow(10000.0, static_cast<double>(i) / 8), 1, 1e-14);
  EXPECT_EQ(rope_cos_sin_factor(plain(16)), 1);
  EXPECT_NEAR(attention_softmax_scale(plain(16), 192), 0.0721687836, 1e-10);
}

// The published table: pairs 0 .. 10 keep their frequency, 23 .. 31 have a fortieth, a ramp lies between.
TEST(Rope, YarnFrequenciesOfDeepSeekV3) {
  const std::vector<double> f = rope_inv_freq(v3()), base = rope_inv_freq(plain(64));
  ASSERT_EQ(f.size(), 32u);
  for (size_t i = 0; i <= 10; ++i) EXPECT_EQ(f[i], base[i]) << i;
  for (size_t i = 23; i < 32; ++i) EXPECT_NEAR(f[i] * 40 / base[i], 1, 1e-15) << i;
  const std::pair<size_t, double> expected[] = {{10, 0.0562341},   {11, 0.0390069},  {12, 0.0268794},
                                                {15, 0.00833451},  {16, 0.0055},     {20, 0.000790569},
                                                {22, 0.000177828}, {23, 3.3338e-05}, {31, 3.3338e-06}};
  for (const auto& [i, value] : expected) EXPECT_NEAR(f[i] / value, 1, 5e-6) << i;
}

TEST(Rope, YarnFactors) {
  EXPECT_NEAR(attention_softmax_scale(v3(), 192), 0.1352337789, 1e-10);
  EXPECT_EQ(rope_cos_sin_factor(v3()), 1);
  RopeConfig c = v3();
  c.mscale = 0.707;
  c.mscale_all_dim = 0;  // no correction of the softmax scale; cos and sin carry the whole factor
  EXPECT_NEAR(rope_cos_sin_factor(c), 0.0707 * std::log(40.0) + 1, 1e-15);
  EXPECT_NEAR(attention_softmax_scale(c, 192), 1 / std::sqrt(192.0), 1e-16);
}

TEST(Rope, YarnRampOfOnePairAndOfNone) {
  RopeConfig c = v3();
  c.beta_fast = c.beta_slow = 1;  // Kimi-K2: floor and ceil of the same number
  const std::vector<double> f = rope_inv_freq(c), base = rope_inv_freq(plain(64));
  EXPECT_EQ(f[22], base[22]);
  EXPECT_NEAR(f[23] * 40 / base[23], 1, 1e-15);
  // Both ends are 0 after rounding and clamping: the denominator is 0.001, not 0.
  c.beta_fast = 800;
  c.beta_slow = 700;  // 4096 / (2 pi 700) = 0.93: less than one turn
  const std::vector<double> none = rope_inv_freq(c);
  EXPECT_EQ(none[0], base[0]);
  for (size_t i = 1; i < 32; ++i) EXPECT_NEAR(none[i] * 40 / base[i], 1, 1e-15);
}

TEST(RopeTable, HoldsRoundedAnglesOfDouble) {
  RopeConfig c = v3();
  c.mscale = 2;  // a factor other than 1
  RopeTable table(c);
  table.extend(163840);
  const std::vector<double> f = rope_inv_freq(c);
  const double factor = rope_cos_sin_factor(c);
  for (int64_t p : {0, 1, 63, 4096, 163839}) {
    for (int64_t i = 0; i < 32; ++i) {
      const double angle = static_cast<double>(p) * f[static_cast<size_t>(i)];
      EXPECT_NEAR(static_cast<double>(table.cos(p)[i]), std::cos(angle) * factor, 1.3e-7);
      EXPECT_NEAR(static_cast<double>(table.sin(p)[i]), std::sin(angle) * factor, 1.3e-7);
    }
  }
}

TEST(RopeTable, ExtendingKeepsEarlierValues) {
  RopeTable grown(v3()), whole(v3());
  for (int64_t n : {1, 5, 3, 64, 200}) grown.extend(n);
  whole.extend(200);
  EXPECT_EQ(grown.positions(), 200);
  EXPECT_TRUE(test::same_bits(grown.cos(0), whole.cos(0), 200 * 32));
  EXPECT_TRUE(test::same_bits(grown.sin(0), whole.sin(0), 200 * 32));
}

// Heads of 2 * pairs numbers inside rows that hold other things as well.
struct Rotation {
  int64_t tokens = 9, heads = 3, pairs = 11, head_stride = 30, token_stride = 100;
  std::vector<int32_t> positions = {0, 1, 2, 70, 5, 5, 199, 3, 64};
  std::vector<float> x = test::normal("x", tokens* token_stride);
};

TEST(Rope, AgreesWithDoubleAndTouchesOnlyItsPairs) {
  Ctx ctx(2);
  const Rotation p;
  RopeTable table(plain(2 * p.pairs));
  table.extend(200);
  std::vector<float> y = p.x;
  rope(ctx, table, p.positions.data(), p.tokens, p.heads, y.data(), p.token_stride, p.head_stride, 1.0f);
  std::vector<double> want(p.x.begin(), p.x.end());
  for (int64_t t = 0; t < p.tokens; ++t)
    for (int64_t h = 0; h < p.heads; ++h)
      reference::rope(rope_inv_freq(plain(2 * p.pairs)), 1.0, p.positions[static_cast<size_t>(t)], 1.0,
                      want.data() + t * p.token_stride + h * p.head_stride);
  for (size_t i = 0; i < y.size(); ++i) {
    const int64_t in_row = static_cast<int64_t>(i) % p.token_stride;
    const bool rotated = in_row < p.heads * p.head_stride && in_row % p.head_stride < 2 * p.pairs;
    if (rotated)
      EXPECT_NEAR(static_cast<double>(y[i]), want[i], 5e-7) << i;
    else
      EXPECT_EQ(y[i], p.x[i]) << i;
  }
}

// Backward is the transpose: <R x, y> = <x, R' y>; without a factor it is the inverse too.
TEST(Rope, BackwardIsTheTranspose) {
  Ctx ctx(2);
  for (double mscale : {1.0, 3.0}) {
    RopeConfig c = v3();
    c.mscale = mscale;
    RopeTable table(c);
    table.extend(200);
    const std::vector<int32_t> positions = {0, 7, 150};
    const std::vector<float> x = test::normal("x", 3 * 64), y = test::normal("y", 3 * 64);
    std::vector<float> rx = x, ry = y;
    rope(ctx, table, positions.data(), 3, 1, rx.data(), 64, 64, 1.0f);
    rope(ctx, table, positions.data(), 3, 1, ry.data(), 64, 64, -1.0f);
    double left = 0, right = 0;
    for (size_t i = 0; i < x.size(); ++i) {
      left += static_cast<double>(rx[i]) * static_cast<double>(y[i]);
      right += static_cast<double>(x[i]) * static_cast<double>(ry[i]);
    }
    EXPECT_NEAR(left, right, 1e-5);
    EXPECT_GT(std::fabs(left), 1e-2);
    if (mscale != 1) continue;
    rope(ctx, table, positions.data(), 3, 1, rx.data(), 64, 64, -1.0f);
    for (size_t i = 0; i < x.size(); ++i) EXPECT_NEAR(rx[i], x[i], 1e-6f);
  }
}

TEST(Rope, ThreadsAndLevelsChangeNoBit) {
  const Rotation p;
  RopeTable table(plain(2 * p.pairs));
  table.extend(200);
  const auto run = [&](Ctx& ctx) {
    std::vector<float> y = p.x;
    rope(ctx, table, p.positions.data(), p.tokens, p.heads, y.data(), p.token_stride, p.head_stride, 1.0f);
    return y;
  };
  Ctx one(1);
  const std::vector<float> want = run(one);
  for (int threads : {2, 3, 7}) {
    Ctx ctx(threads);
    EXPECT_TRUE(test::same_bits(run(ctx), want)) << threads;
  }
  for (const std::string& name : available_levels()) {
    Ctx ctx(2, level_by_name(name));
    EXPECT_TRUE(test::same_bits(run(ctx), want)) << name;
  }
}

}  // namespace
}  // namespace frugal::kernels
