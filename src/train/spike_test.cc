#include "train/spike.h"

#include <gtest/gtest.h>

#include <cmath>

#include "base/rng.h"

namespace frugal::train {
namespace {

// Uniform noise in [-1, 1).
double noise(uint64_t i) { return 2 * rng_uniform(rng_key(1, "noise"), i) - 1; }

TEST(Spike, AFallingNoisyLossHasNone) {
  LossTrend trend;
  for (int i = 0; i < 5000; ++i) {
    const double loss = 1 + 8 / std::sqrt(1.0 + i) + 0.4 * noise(static_cast<uint64_t>(i));
    EXPECT_LE(loss, spike_limit(trend, 10)) << i;
    follow(&trend, loss);
  }
}

TEST(Spike, ALossFarAboveTheOthersIsOne) {
  LossTrend trend;
  for (int i = 0; i < 99; ++i) follow(&trend, 2 + 0.3 * noise(static_cast<uint64_t>(i)));
  EXPECT_TRUE(std::isinf(spike_limit(trend, 10)));  // too early to tell
  for (int i = 99; i < 300; ++i) follow(&trend, 2 + 0.3 * noise(static_cast<uint64_t>(i)));
  const double deviation = 0.3 / std::sqrt(3.0);  // of uniform noise
  EXPECT_NEAR(spike_limit(trend, 10), 2 + 10 * deviation, 0.6);
  EXPECT_TRUE(std::isinf(spike_limit(trend, 0)));
  // Where the loss hardly varies, a tenth of a nat counts as a deviation.
  LossTrend flat;
  for (int i = 0; i < 300; ++i) follow(&flat, 0.01);
  EXPECT_NEAR(spike_limit(flat, 10), 1.01, 1e-9);
}

}  // namespace
}  // namespace frugal::train
