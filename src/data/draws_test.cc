#include "data/draws.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <set>

namespace frugal::data {
namespace {

TEST(Draws, PureFunctionOfSeedNameStreamAndCount) {
  Draws a(7, "x", 3), b(7, "x", 3);
  std::set<uint64_t> seen;
  for (int i = 0; i < 100; ++i) {
    const uint64_t v = a.next();
    EXPECT_EQ(v, b.next());
    seen.insert(v);
  }
  EXPECT_EQ(seen.size(), 100u);
  const uint64_t first = Draws(7, "x", 3).next();
  EXPECT_NE(first, Draws(8, "x", 3).next());
  EXPECT_NE(first, Draws(7, "y", 3).next());
  EXPECT_NE(first, Draws(7, "x", 4).next());
}

TEST(Draws, BelowIsUniform) {
  Draws draws(1, "uniform", 0);
  std::array<int, 7> counts{};
  for (int i = 0; i < 70000; ++i) {
    const int64_t v = draws.below(7);
    ASSERT_TRUE(v >= 0 && v < 7) << v;
    ++counts[v];
  }
  // Standard deviation of a count is 93: five of them.
  for (const int c : counts) EXPECT_NEAR(c, 10000, 465);
}

TEST(Draws, BelowIsUnbiasedForLargeBounds) {
  // With a plain modulo of 64 bits, a bound of 3 * 2^61 would give the lowest third twice as often as the
  // others.
  const int64_t bound = int64_t{3} << 61;
  Draws draws(1, "large", 0);
  int low = 0;
  for (int i = 0; i < 9000; ++i) low += draws.below(bound) < bound / 3;
  EXPECT_NEAR(low, 3000, 224);
}

TEST(Draws, BetweenIncludesBothEnds) {
  Draws draws(1, "between", 0);
  std::set<int64_t> seen;
  for (int i = 0; i < 200; ++i) seen.insert(draws.between(-1, 2));
  EXPECT_EQ(seen, (std::set<int64_t>{-1, 0, 1, 2}));
}

TEST(Draws, PermutationHoldsEveryNumberOnceAndAllOrdersOccur) {
  EXPECT_TRUE(Draws(1, "p", 0).permutation(0).empty());
  std::set<std::vector<int64_t>> orders;
  for (int64_t stream = 0; stream < 300; ++stream) {
    std::vector<int64_t> p = Draws(1, "p", stream).permutation(4);
    orders.insert(p);
    std::sort(p.begin(), p.end());
    ASSERT_EQ(p, (std::vector<int64_t>{0, 1, 2, 3}));
  }
  EXPECT_EQ(orders.size(), 24u);
}

TEST(Draws, PinnedValues) {
  // Checkpoints resume by re-drawing: a change of these numbers breaks every run that is under way.
  EXPECT_EQ(Draws(42, "row order", 0).permutation(8), (std::vector<int64_t>{0, 3, 1, 7, 5, 6, 2, 4}));
  EXPECT_EQ(Draws(42, "row order", 1).permutation(8), (std::vector<int64_t>{0, 5, 2, 7, 4, 3, 6, 1}));
}

}  // namespace
}  // namespace frugal::data
