// TokenBatch: a flat list of tokens of many sequences. Training rows, prefill chunks, decode steps and
// verification of drafts are all this one thing (docs/architecture.md).
#pragma once

#include <cstdint>
#include <vector>

namespace frugal::model {

struct BatchSequence {
  int64_t first_row = 0, tokens = 0;  // rows of the batch
  int64_t first_position = 0;         // position of the first one in its sequence
  const int32_t* pages = nullptr;     // page ids in the cache, one per 64 positions; null without a cache
  bool absorbed = false;              // which attention form these tokens use (docs/numerics.md, section 3)
};

struct TokenBatch {
  std::vector<int32_t> tokens;     // [T]
  std::vector<int32_t> positions;  // [T]
  std::vector<BatchSequence> sequences;

  int64_t size() const { return static_cast<int64_t>(tokens.size()); }
  void clear() {
    tokens.clear();
    positions.clear();
    sequences.clear();
  }
  void add(const int32_t* ids, int64_t n, int64_t first_position, const int32_t* pages = nullptr,
           bool absorbed = false) {
    sequences.push_back({size(), n, first_position, pages, absorbed});
    tokens.insert(tokens.end(), ids, ids + n);
    for (int64_t i = 0; i < n; ++i) positions.push_back(static_cast<int32_t>(first_position + i));
  }
};

}  // namespace frugal::model
