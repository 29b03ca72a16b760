#include "report/series.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"

namespace frugal::report {

void Series::Cell::add(double value) {
  if (!std::isfinite(value)) return;
  min = count == 0 ? value : std::min(min, value);
  max = count == 0 ? value : std::max(max, value);
  sum += value;
  ++count;
}

void Series::Cell::add(const Cell& other) {
  if (other.count == 0) return;
  min = count == 0 ? other.min : std::min(min, other.min);
  max = count == 0 ? other.max : std::max(max, other.max);
  sum += other.sum;
  count += other.count;
}

Series::Series(size_t channels, size_t max_buckets) : channels_(channels), max_buckets_(max_buckets) {
  FRUGAL_ASSERT(max_buckets > 0, "a series needs room");
}

void Series::add(int64_t step, std::span<const double> values) {
  FRUGAL_ASSERT(values.size() == channels_ && (buckets_.empty() || step >= buckets_.back().step),
                "{} values of {} channels at step {}", values.size(), channels_, step);
  const int64_t index = (step - 1) / width_;
  if (buckets_.empty() || buckets_.back().index != index)
    buckets_.push_back({index, step, std::vector<Cell>(channels_)});
  Bucket& bucket = buckets_.back();
  bucket.step = step;
  for (size_t c = 0; c < channels_; ++c) bucket.cells[c].add(values[c]);
  while (buckets_.size() > max_buckets_) halve();
}

void Series::halve() {
  width_ *= 2;
  std::vector<Bucket> merged;
  for (Bucket& b : buckets_) {
    b.index /= 2;
    if (merged.empty() || merged.back().index != b.index) {
      merged.push_back(std::move(b));
      continue;
    }
    merged.back().step = b.step;
    for (size_t c = 0; c < channels_; ++c) merged.back().cells[c].add(b.cells[c]);
  }
  buckets_ = std::move(merged);
}

double Series::mean(size_t bucket, size_t channel) const {
  const Cell& cell = buckets_[bucket].cells[channel];
  return cell.count == 0 ? kAbsent : cell.sum / static_cast<double>(cell.count);
}
double Series::min(size_t bucket, size_t channel) const { return buckets_[bucket].cells[channel].min; }
double Series::max(size_t bucket, size_t channel) const { return buckets_[bucket].cells[channel].max; }

}  // namespace frugal::report
