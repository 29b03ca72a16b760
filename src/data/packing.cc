#include "data/packing.h"

#include <algorithm>
#include <numeric>
#include <set>
#include <utility>

#include "base/error.h"
#include "data/draws.h"

namespace frugal::data {

namespace {

std::vector<Piece> cut_documents(const TokenizedDocuments& documents, int64_t length,
                                 const std::optional<Variation>& variation) {
  std::optional<Draws> draws;
  if (variation) draws.emplace(variation->seed, "packing cuts", variation->epoch);
  std::vector<Piece> pieces;
  for (int64_t d = 0; d < documents.count(); ++d) {
    const int64_t end = documents.starts[d + 1];
    int64_t begin = documents.starts[d];
    int64_t piece = length;
    if (draws && end - begin > length) piece = 1 + draws->below(length);
    for (; begin < end; begin += piece, piece = length) {
      if (piece > end - begin) piece = end - begin;
      pieces.push_back({begin, piece, end});
    }
  }
  return pieces;
}

// Rows with free slots. Best fit: the fullest row that still takes the piece; among equals the oldest.
class OpenRows {
 public:
  // Returns the row for the piece, a new one (numbered `next`) if none fits.
  int64_t place(const Piece& piece, int64_t length, int64_t next) {
    const auto in_open = open_.lower_bound({piece.length, 0});
    const auto in_ended = piece.continues() ? ended_.end() : ended_.lower_bound({piece.length, 0});
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
    if (rest.first > 0) (ended || piece.continues() ? ended_ : open_).insert(rest);
    return best.second;
  }

 private:
  using Slot = std::pair<int64_t, int64_t>;  // free slots, row
  std::set<Slot> open_;
  std::set<Slot>
      ended_;  // already hold a piece that its document continues: its place is the last, there is one
};

}  // namespace

Packing plan_rows(const TokenizedDocuments& documents, int64_t length,
                  const std::optional<Variation>& variation) {
  if (length < 1) fail("row length", fmt::format("{} tokens", length), "a row needs at least one token");
  FRUGAL_ASSERT(!documents.starts.empty() && documents.starts.front() == 0 &&
                    documents.starts.back() == static_cast<int64_t>(documents.tokens.size()),
                "document starts do not cover the {} tokens", documents.tokens.size());
  if (documents.tokens.empty()) fail("packing", "the documents have no tokens", "give files with text");

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
      if (pieces[p].continues() == continues) packing.pieces[cursor[row_of[p]]++] = pieces[p];
  return packing;
}

void fill_row(const TokenizedDocuments& documents, const Packing& packing, int64_t row,
              std::span<int32_t> slots) {
  FRUGAL_ASSERT(
      static_cast<int64_t>(slots.size()) == packing.length + kLookAhead && row >= 0 && row < packing.rows(),
      "row {} of {} into {} slots", row, packing.rows(), slots.size());
  std::fill(slots.begin(), slots.end(), kNoToken);
  int64_t at = 0;
  int64_t source = 0, document_end = 0;
  for (int64_t p = packing.row_starts[row]; p < packing.row_starts[row + 1]; ++p) {
    const Piece& piece = packing.pieces[p];
    source = piece.begin;
    document_end = piece.document_end;
    for (int64_t i = 0; i < piece.length; ++i) slots[at++] = documents.tokens[source++];
  }
  if (at < packing.length) return;
  for (int64_t i = 0; i < kLookAhead && source < document_end; ++i) slots[at++] = documents.tokens[source++];
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
