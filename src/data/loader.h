// The order in which training sees its rows. Endless, deterministic and resumable: every epoch packs the
// documents anew (packing.h, Variation) and goes through the rows in a fresh random order, both a function of
// (seed, epoch) alone.
#pragma once

#include <cstdint>
#include <vector>

#include "data/packing.h"
#include "data/tokenize.h"

namespace frugal::data {

struct Batch {
  int64_t rows = 0;
  int64_t length = 0;           // inputs per row
  std::vector<int32_t> tokens;  // [rows, length + 2], -1 = none (packing.h)
};

// All that a checkpoint needs beside the data, the row length and the seed.
struct LoaderState {
  int64_t epoch = 0;
  int64_t position = 0;  // rows of the epoch already handed out

  bool operator==(const LoaderState&) const = default;
};

class Loader {
 public:
  // length: inputs per row; batch: rows per batch. Throws Error: batch < 1, length < 1, documents without a
  // token.
  Loader(TokenizedDocuments documents, int64_t length, int64_t batch, uint64_t seed);

  // The next `batch` rows, valid until the next call. A batch runs on into the next epoch where the rows of
  // one end; only the start of an epoch takes memory.
  const Batch& next();

  LoaderState state() const { return state_; }
  // Goes on exactly as the loader that returned `state`. Throws Error if this loader's data cannot have that
  // state; compare fingerprint() as well, since other data may happen to have as many rows.
  void restore(const LoaderState& state);

  // A hash of the documents (their texts and lengths in tokens), the mixture, the row length and the seed:
  // with one tokenizer, equal values give equal batches.
  uint64_t fingerprint() const;

  // Rows of the current epoch; it can differ a little between epochs.
  int64_t rows() const { return packing_.rows(); }
  const TokenizedDocuments& documents() const { return documents_; }
  const Packing& packing() const { return packing_; }                  // of the current epoch
  int64_t row_at(int64_t position) const { return order_[position]; }  // row of the packing that comes then

 private:
  void start_epoch(int64_t epoch);

  TokenizedDocuments documents_;
  int64_t length_;
  Batch batch_;
  uint64_t seed_;
  LoaderState state_;
  Packing packing_;             // of state_.epoch
  std::vector<int64_t> order_;  // [rows]: the epoch's permutation
};

// Rows [first, first + count) of packed rows, fewer at the end, none behind it: a sequential pass over a
// validation set.
Batch slice_rows(const Rows& rows, int64_t first, int64_t count);

}  // namespace frugal::data
