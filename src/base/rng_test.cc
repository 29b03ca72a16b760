#include "base/rng.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <set>
#include <vector>

namespace frugal {
namespace {

using Words = std::array<uint32_t, 4>;

// Known answers of the Random123 distribution for philox4x32-10.
TEST(Rng, PhiloxGivesTheKnownAnswers) {
  EXPECT_EQ(philox(0, 0, 0), (Words{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  EXPECT_EQ(philox(~uint64_t{0}, ~uint64_t{0}, ~uint64_t{0}),
            (Words{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
  EXPECT_EQ(philox(0x299f31d0a4093822, 0x85a308d3243f6a88, 0x0370734413198a2e),
            (Words{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

// Initial values, shuffles and samples of every run depend on these.
TEST(Rng, ValuesAreFrozen) {
  EXPECT_EQ(rng_key(0, ""), 0xc3817c016ba4ff30u);
  EXPECT_EQ(rng_key(42, "model.embed_tokens.weight"), 0x959b0a202cebdb1eu);
  EXPECT_EQ(rng_uniform(1, 0), 0x1.c7d00ce1ca141p-1);
  EXPECT_EQ(rng_uniform(0x123456789abcdef, 1000000007), 0x1.91519c1ea9604p-2);
  EXPECT_EQ(rng_normal(1, 0), 0x1.48cc0553106efp-5);
  EXPECT_EQ(rng_normal(0x123456789abcdef, 1000000007), -0x1.804ce4d4a20dep-2);
}

TEST(Rng, UniformHasTheRightMoments) {
  constexpr uint64_t kCount = 200000;
  double sum = 0, squares = 0, lowest = 1, highest = 0;
  for (uint64_t i = 0; i < kCount; ++i) {
    const double u = rng_uniform(11, i);
    sum += u;
    squares += u * u;
    lowest = std::min(lowest, u);
    highest = std::max(highest, u);
  }
  EXPECT_NEAR(sum / kCount, 0.5, 3e-3);  // four standard deviations: 4 * 0.289 / sqrt(n)
  EXPECT_NEAR(squares / kCount, 1.0 / 3, 3e-3);
  EXPECT_GE(lowest, 0);
  EXPECT_LT(highest, 1);
  EXPECT_LT(lowest, 1e-4);
  EXPECT_GT(highest, 1 - 1e-4);
}

TEST(Rng, NormalHasTheRightMoments) {
  constexpr uint64_t kCount = 200000;
  double moments[5] = {};
  for (uint64_t i = 0; i < kCount; ++i)
    for (int k = 1; k <= 4; ++k) moments[k] += std::pow(rng_normal(12, i), k) / static_cast<double>(kCount);
  EXPECT_NEAR(moments[1], 0, 0.01);
  EXPECT_NEAR(moments[2], 1, 0.02);
  EXPECT_NEAR(moments[3], 0, 0.05);
  EXPECT_NEAR(moments[4], 3, 0.12);
}

TEST(Rng, KeysDependOnSeedAndName) {
  std::set<uint64_t> keys;
  for (uint64_t seed : {uint64_t{0}, uint64_t{1}, ~uint64_t{0}})
    for (const char* name : {"", "a", "b", "ab", "ba", "shuffle"}) keys.insert(rng_key(seed, name));
  EXPECT_EQ(keys.size(), 18u);
}

TEST(Rng, NeighboursAreUncorrelated) {
  constexpr uint64_t kCount = 100000;
  double across_index = 0, across_key = 0;
  for (uint64_t i = 0; i < kCount; ++i) {
    across_index += rng_normal(5, i) * rng_normal(5, i + 1);
    across_key += rng_normal(5, i) * rng_normal(6, i);
  }
  EXPECT_NEAR(across_index / kCount, 0, 0.015);
  EXPECT_NEAR(across_key / kCount, 0, 0.015);
}

}  // namespace
}  // namespace frugal
