// Values by step, kept small however long a run is: buckets of equally many steps with the mean, the least
// and the greatest value of each channel, so that a spike of one step stays visible.
#pragma once

#include <cstdint>
#include <limits>
#include <span>
#include <vector>

namespace frugal::report {

inline constexpr double kAbsent = std::numeric_limits<double>::quiet_NaN();

class Series {
 public:
  Series(size_t channels, size_t max_buckets);

  // Steps ascend; kAbsent: no value of this channel.
  void add(int64_t step, std::span<const double> values);

  size_t size() const { return buckets_.size(); }
  int64_t width() const { return width_; }                             // steps per bucket
  int64_t step(size_t bucket) const { return buckets_[bucket].step; }  // the last one in it
  double mean(size_t bucket, size_t channel) const;                    // kAbsent: no value
  double min(size_t bucket, size_t channel) const;
  double max(size_t bucket, size_t channel) const;

 private:
  struct Cell {
    double sum = 0, min = kAbsent, max = kAbsent;
    int64_t count = 0;
    void add(double value);
    void add(const Cell& other);
  };
  struct Bucket {
    int64_t index = 0, step = 0;
    std::vector<Cell> cells;
  };
  void halve();

  size_t channels_, max_buckets_;
  int64_t width_ = 1;
  std::vector<Bucket> buckets_;
};

}  // namespace frugal::report
