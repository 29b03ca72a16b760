#include "train/spike.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace frugal::train {

namespace {
constexpr int64_t kFirstSteps = 100;  // the loss falls fast and proves nothing
constexpr double kWeight = 0.02;
constexpr double kLeastDeviation = 0.1;  // a run that knows its data by heart hardly varies
}  // namespace

void follow(LossTrend* t, double loss) {
  ++t->steps;
  const double weight = std::max(kWeight, 1.0 / static_cast<double>(t->steps)), distance = loss - t->mean;
  t->mean += weight * distance;
  t->variance = (1 - weight) * (t->variance + weight * distance * distance);
}

double spike_limit(const LossTrend& t, double threshold) {
  if (threshold == 0 || t.steps < kFirstSteps) return std::numeric_limits<double>::infinity();
  return t.mean + threshold * std::max(std::sqrt(t.variance), kLeastDeviation);
}

}  // namespace frugal::train
