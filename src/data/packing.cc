#include "data/packing.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <set>
#include <utility>

#include "base/error.h"
#include "base/rng.h"
#include "data/draws.h"

namespace frugal::data {

namespace {

std::vector<Piece> cut_documents(const TokenizedDocuments& documents, int64_t length,
                                 const std::optional<Variation>& variation) {
  std::optional<Draws> draws;
  if (variation) draws.emplace(variation->seed, "packing cuts", variation->epoch);
  std::vector<Piece> pieces;
  for (const int64_t d : epoch_documents(documents, variation)) {
    const int64_t end = static_cast<int64_t>(documents.documents[d].size());
    int64_t piece = length;
    if (draws && end > length) piece = 1 + draws->below(length);
    for (int64_t begin = 0; begin < end; begin += piece, piece = length) {
      if (piece > end - begin) piece = end - begin;
      pieces.push_back({d, begin, piece, begin + piece < end});
    }
  }
  return pieces;
}

// Appends the documents of source `s` whose first token lies in [begin, end) of its endless stream of passes.
void append_window(const TokenizedDocuments& documents, size_t s, int64_t tokens, int64_t begin, int64_t end,
                   uint64_t seed, std::vector<int64_t>* chosen) {
  const int64_t first = documents.source_starts[s], count = documents.source_starts[s + 1] - first;
  for (int64_t pass = begin / tokens; pass * tokens < end; ++pass) {
    // Sources and passes draw independently of each other.
    const uint64_t key = rng_key(seed, fmt::format("mixture source {}", s));
    int64_t at = pass * tokens;
    for (const int64_t d : Draws(key, "documents", pass).permutation(count)) {
      const int64_t size = static_cast<int64_t>(documents.documents[first + d].size());
      if (at >= begin && at < end && size > 0) chosen->push_back(first + d);
      at += size;
    }
  }
}

// Rows with free slots. Best fit: the fullest row that still takes the piece; among equals the oldest.
class OpenRows {
 public:
  // Returns the row for the piece, a new one (numbered `next`) if none fits.
  int64_t place(const Piece& piece, int64_t length, int64_t next) {
    const auto in_open = open_.lower_bound({piece.length, 0});
    const auto in_ended = piece.continues ? ended_.end() : ended_.lower_bound({piece.length, 0});
    Slot best{length, next};
    bool ended = false;
    if (in_ended != ended_.end() && (in_open == open_.end() || *in_ended < *in_open)) {
      best = *in_ended;
      ended = true;
      ended_.erase(in_ended);
    } else if (in_open != open_.end()) {
      best = *in_open;
      open_.erase(in_open);
    }
    const Slot rest{best.first - piece.length, best.second};
    if (rest.first > 0) (ended || piece.continues ? ended_ : open_).insert(rest);
    return best.second;
  }

 private:
  using Slot = std::pair<int64_t, int64_t>;  // free slots, row
  std::set<Slot> open_;
  std::set<Slot>
      ended_;  // already hold a piece that its document continues: its place is the last, there is one
};

}  // namespace

std::vector<int64_t> epoch_documents(const TokenizedDocuments& documents,
                                     const std::optional<Variation>& variation) {
  std::vector<int64_t> chosen;
  if (documents.weights.empty() || !variation) {
    chosen.resize(documents.documents.size());
    std::iota(chosen.begin(), chosen.end(), 0);
    return chosen;
  }
  const size_t sources = documents.weights.size();
  std::vector<int64_t> tokens(sources);
  double per_weight = 0;  // tokens of an epoch for each unit of weight: what the scarcest source has
  for (size_t s = 0; s < sources; ++s) {
    for (int64_t d = documents.source_starts[s]; d < documents.source_starts[s + 1]; ++d)
      tokens[s] += static_cast<int64_t>(documents.documents[d].size());
    if (tokens[s] == 0) fail("data", fmt::format("source {} has no training tokens", s + 1), "leave it out");
    const double n = static_cast<double>(tokens[s]) / documents.weights[s];
    if (s == 0 || n < per_weight) per_weight = n;
  }
  for (size_t s = 0; s < sources; ++s) {
    const int64_t share = std::max<int64_t>(1, std::llround(per_weight * documents.weights[s]));
    append_window(documents, s, tokens[s], variation->epoch * share, (variation->epoch + 1) * share,
                  variation->seed, &chosen);
  }
  std::sort(chosen.begin(), chosen.end());
  return chosen;
}

Packing plan_rows(const TokenizedDocuments& documents, int64_t length,
                  const std::optional<Variation>& variation) {
  if (length < 1) fail("row length", fmt::format("{} tokens", length), "a row needs at least one token");
  if (documents.tokens == 0) fail("packing", "the documents have no tokens", "give files with text");

  const std::vector<Piece> pieces = cut_documents(documents, length, variation);
  const int64_t n = static_cast<int64_t>(pieces.size());
  // `order` decides everything that best fit leaves open: equal lengths, order inside a row, order of the
  // rows.
  std::vector<int64_t> order(static_cast<size_t>(n));
  std::iota(order.begin(), order.end(), 0);
  if (variation) order = Draws(variation->seed, "packing order", variation->epoch).permutation(n);

  std::vector<int64_t> decreasing = order;
  std::stable_sort(decreasing.begin(), decreasing.end(),
                   [&](int64_t a, int64_t b) { return pieces[a].length > pieces[b].length; });
  OpenRows open;
  std::vector<int64_t> row_of(static_cast<size_t>(n));
  int64_t rows = 0;
  for (const int64_t p : decreasing) {
    row_of[p] = open.place(pieces[p], length, rows);
    rows = std::max(rows, row_of[p] + 1);
  }

  // Number the rows by their first piece in `order`: without variation they follow the documents.
  std::vector<int64_t> number(static_cast<size_t>(rows), -1);
  Packing packing;
  packing.length = length;
  packing.row_starts.assign(static_cast<size_t>(rows) + 1, 0);
  int64_t numbered = 0;
  for (const int64_t p : order) {
    int64_t& row = number[row_of[p]];
    if (row < 0) row = numbered++;
    row_of[p] = row;
    ++packing.row_starts[row + 1];
  }
  std::partial_sum(packing.row_starts.begin(), packing.row_starts.end(), packing.row_starts.begin());

  packing.pieces.resize(static_cast<size_t>(n));
  std::vector<int64_t> cursor(packing.row_starts.begin(), packing.row_starts.end() - 1);
  for (const bool continues : {false, true})  // a continued piece is the last of its row
    for (const int64_t p : order)
      if (pieces[p].continues == continues) packing.pieces[cursor[row_of[p]]++] = pieces[p];
  return packing;
}

void fill_row(const TokenizedDocuments& documents, const Packing& packing, int64_t row,
              std::span<int32_t> slots) {
  FRUGAL_ASSERT(
      static_cast<int64_t>(slots.size()) == packing.length + kLookAhead && row >= 0 && row < packing.rows(),
      "row {} of {} into {} slots", row, packing.rows(), slots.size());
  std::fill(slots.begin(), slots.end(), kNoToken);
  int64_t at = 0;
  std::span<const int32_t> rest;  // of the last piece's document, behind the piece
  for (int64_t p = packing.row_starts[row]; p < packing.row_starts[row + 1]; ++p) {
    const Piece& piece = packing.pieces[p];
    rest = documents.documents[piece.document].subspan(piece.begin);
    std::copy_n(rest.begin(), piece.length, slots.begin() + at);
    rest = rest.subspan(piece.length);
    at += piece.length;
  }
  if (at < packing.length) return;
  std::copy_n(rest.begin(), std::min<int64_t>(kLookAhead, static_cast<int64_t>(rest.size())),
              slots.begin() + at);
}

Rows pack_rows(const TokenizedDocuments& documents, int64_t length,
               const std::optional<Variation>& variation) {
  const Packing packing = plan_rows(documents, length, variation);
  Rows rows;
  rows.length = length;
  rows.count = packing.rows();
  const int64_t slots = length + kLookAhead;
  rows.tokens.resize(static_cast<size_t>(rows.count * slots));
  for (int64_t r = 0; r < rows.count; ++r)
    fill_row(documents, packing, r, std::span(rows.tokens).subspan(r * slots, slots));
  return rows;
}

}  // namespace frugal::data
