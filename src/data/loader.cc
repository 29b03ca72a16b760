#include "data/loader.h"

#include <xxhash.h>

#include <algorithm>
#include <span>
#include <utility>

#include "base/error.h"
#include "data/draws.h"

namespace frugal::data {

Loader::Loader(TokenizedDocuments documents, int64_t length, int64_t batch, uint64_t seed)
    : documents_(std::move(documents)), length_(length), seed_(seed) {
  if (batch < 1) fail("batch size", fmt::format("{} rows", batch), "a batch needs at least one row");
  start_epoch(0);
  batch_ = {batch, length, std::vector<int32_t>(static_cast<size_t>(batch * (length + kLookAhead)))};
}

void Loader::start_epoch(int64_t epoch) {
  packing_ = plan_rows(documents_, length_, Variation{seed_, epoch});
  order_ = Draws(seed_, "row order", epoch).permutation(packing_.rows());
  state_ = {epoch, 0};
}

const Batch& Loader::next() {
  const int64_t slots = length_ + kLookAhead;
  for (int64_t r = 0; r < batch_.rows; ++r) {
    if (state_.position == packing_.rows()) start_epoch(state_.epoch + 1);
    fill_row(documents_, packing_, order_[state_.position],
             std::span(batch_.tokens).subspan(r * slots, slots));
    ++state_.position;
  }
  return batch_;
}

void Loader::restore(const LoaderState& state) {
  const std::string where = fmt::format("data position (epoch {}, row {})", state.epoch, state.position);
  const char* remedy = "resume with the data, row length and seed that the run was started with";
  if (state.epoch < 0 || state.position < 0) fail(where, "negative", remedy);
  const LoaderState before = state_;
  if (state.epoch != state_.epoch) start_epoch(state.epoch);
  const int64_t rows = packing_.rows();
  if (state.position > rows) {
    if (before.epoch != state_.epoch) start_epoch(before.epoch);
    state_ = before;
    fail(where, fmt::format("the epoch has only {} rows", rows), remedy);
  }
  state_ = state;
}

uint64_t Loader::fingerprint() const {
  const int64_t numbers[] = {static_cast<int64_t>(documents_.identity), documents_.count(), length_};
  uint64_t hash = XXH64(numbers, sizeof numbers, seed_);
  hash = XXH64(documents_.weights.data(), documents_.weights.size() * sizeof(double), hash);
  return XXH64(documents_.source_starts.data(), documents_.source_starts.size() * sizeof(int64_t), hash);
}

Batch slice_rows(const Rows& rows, int64_t first, int64_t count) {
  FRUGAL_ASSERT(first >= 0 && count >= 0, "rows from {}, {} of them", first, count);
  const int64_t slots = rows.length + kLookAhead;
  const int64_t begin = std::min(first, rows.count);
  const int64_t end = begin + std::min(count, rows.count - begin);
  return {end - begin, rows.length,
          std::vector<int32_t>(rows.tokens.begin() + begin * slots, rows.tokens.begin() + end * slots)};
}

}  // namespace frugal::data
