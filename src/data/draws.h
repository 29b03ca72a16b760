// A stream of whole random numbers for shuffles, cuts and generated text. Counter-based (base/rng.h): the
// n-th draw is a pure function of (seed, name, stream, n), the same with every compiler and standard library.
#pragma once

#include <cstdint>
#include <string_view>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/rng.h"

namespace frugal::data {

class Draws {
 public:
  // name: what the numbers are for, so that two uses of one seed are independent; stream: epoch, document,
  // ...
  Draws(uint64_t seed, std::string_view name, int64_t stream)
      : key_(rng_key(seed, name)), stream_(static_cast<uint64_t>(stream)) {}

  uint64_t next() {
    const auto r = philox(key_, counter_++, stream_);
    return uint64_t{r[1]} << 32 | r[0];
  }

  // Uniform in [0, n), n > 0. The lowest 2^64 mod n values are drawn again, or small results would come up
  // more often.
  int64_t below(int64_t n) {
    FRUGAL_ASSERT(n > 0, "below({})", n);
    const uint64_t bound = static_cast<uint64_t>(n);
    const uint64_t rejected = (0 - bound) % bound;
    uint64_t x = next();
    while (x < rejected) x = next();
    return static_cast<int64_t>(x % bound);
  }

  // Uniform in [low, high], both ends included.
  int64_t between(int64_t low, int64_t high) { return low + below(high - low + 1); }

  // The numbers 0 .. n-1 in random order (Fisher-Yates).
  std::vector<int64_t> permutation(int64_t n) {
    std::vector<int64_t> order(static_cast<size_t>(n));
    for (int64_t i = 0; i < n; ++i) order[i] = i;
    for (int64_t i = n - 1; i > 0; --i) std::swap(order[i], order[below(i + 1)]);
    return order;
  }

 private:
  uint64_t key_;
  uint64_t stream_;
  uint64_t counter_ = 0;
};

}  // namespace frugal::data
