// When a loss is a spike: far above what the run has shown lately (docs/training.md).
#pragma once

#include <cstdint>

namespace frugal::train {

// Running mean and variance of the loss of the steps that were done; a weight of 1/50 for the newest.
struct LossTrend {
  int64_t steps = 0;
  double mean = 0, variance = 0;
};
void follow(LossTrend* trend, double loss);

// The loss above which a step is a spike: mean + threshold * max(standard deviation, 0.1 nats). Infinite for
// the first 100 steps, and with a threshold of 0.
double spike_limit(const LossTrend& trend, double threshold);

}  // namespace frugal::train
