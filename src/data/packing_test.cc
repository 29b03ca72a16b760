#include "data/packing.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <map>
#include <set>
#include <string>

#include "base/error.h"
#include "data/draws.h"
#include "test_documents.h"

namespace frugal::data {
namespace {

using Ids = std::vector<int32_t>;

// Documents of these lengths; the tokens are numbered from 0 through all of them, so that a row shows where
// its tokens come from.
TokenizedDocuments documents_of(const std::vector<int64_t>& lengths) {
  return test::numbered_documents(lengths);
}

Ids slots_of(const Rows& rows, int64_t r) {
  const auto begin = rows.tokens.begin() + r * (rows.length + kLookAhead);
  return Ids(begin, begin + rows.length + kLookAhead);
}

std::string error_of(const std::function<void()>& call) {
  try {
    call();
  } catch (const Error& e) {
    return e.what();
  }
  return "no error";
}

// Checks everything that packing.h promises about rows, from the rows alone.
void check_rows(const TokenizedDocuments& documents, const Rows& rows, bool varied) {
  const int64_t n = documents.tokens;
  std::vector<int64_t> starts = {0};
  for (const auto& d : documents.documents) starts.push_back(starts.back() + static_cast<int64_t>(d.size()));
  ASSERT_EQ(static_cast<int64_t>(rows.tokens.size()), rows.count * (rows.length + 2));
  std::vector<int64_t> document(static_cast<size_t>(n));
  for (int64_t d = 0; d < documents.count(); ++d)
    std::fill(document.begin() + starts[d], document.begin() + starts[d + 1], d);
  const auto starts_document = [&](int64_t t) { return t == starts[document[t]]; };
  const auto ends_document = [&](int64_t t) { return t + 1 == starts[document[t] + 1]; };

  std::vector<int> inputs(static_cast<size_t>(n), 0);
  std::map<int64_t, std::set<int64_t>>
      cuts;  // document: positions at which pieces other than its first begin
  const auto begins_piece = [&](int64_t t) {
    if (!starts_document(t)) cuts[document[t]].insert(t - starts[document[t]]);
  };
  for (int64_t r = 0; r < rows.count; ++r) {
    const Ids row = slots_of(rows, r);
    ASSERT_GE(row[0], 0);
    begins_piece(row[0]);
    for (int64_t i = 0; i < rows.length && row[i] >= 0; ++i) ++inputs[row[i]];
    for (int64_t i = 0; i + 1 < rows.length + 2; ++i) {
      const int32_t t = row[i], next = row[i + 1];
      if (t < 0) {
        ASSERT_EQ(next, -1) << "a token after padding";
      } else if (next < 0) {
        // Padding, or nothing to look ahead to. A full row that ends inside a document must show how it goes
        // on.
        if (i >= rows.length - 1) {
          ASSERT_TRUE(ends_document(t)) << "look-ahead lost at row " << r;
        }
      } else if (next != t + 1 || ends_document(t)) {
        ASSERT_LT(i + 1, rows.length) << "look-ahead into another document";
        ASSERT_TRUE(ends_document(t)) << "another text follows a cut piece";
        begins_piece(next);
      }
    }
  }
  for (int64_t t = 0; t < n; ++t) ASSERT_EQ(inputs[t], 1) << "token " << t;
  for (const auto& [d, positions] : cuts) {
    const int64_t first = *positions.begin();
    ASSERT_GT(starts[d + 1] - starts[d], rows.length) << "a document that fits was cut";
    ASSERT_LE(first, rows.length);
    if (!varied) {
      ASSERT_EQ(first, rows.length);
    }
    int64_t expected = first;  // and all of them: no piece is longer than a row or shorter than it could be
    for (const int64_t p : positions) {
      ASSERT_EQ(p, expected);
      expected += rows.length;
    }
    ASSERT_GE(expected, starts[d + 1] - starts[d]);
  }
}

TEST(Packing, PropertiesHoldForRandomDocuments) {
  for (int64_t trial = 0; trial < 300; ++trial) {
    Draws draws(trial, "test", 0);
    const int64_t length = draws.between(1, trial % 3 == 0 ? 4 : 33);
    std::vector<int64_t> lengths;
    for (int64_t d = draws.between(1, 40); d > 0; --d) {
      const std::vector<int64_t> special = {0, 1, length - 1, length, length + 1, 2 * length, 5 * length + 3};
      lengths.push_back(draws.below(2) == 0 ? special[draws.below(7)] : draws.below(2 * length));
    }
    lengths.push_back(1);  // at least one token
    const TokenizedDocuments documents = documents_of(lengths);
    SCOPED_TRACE("trial " + std::to_string(trial));
    check_rows(documents, pack_rows(documents, length), false);
    check_rows(documents, pack_rows(documents, length, Variation{static_cast<uint64_t>(trial), trial}), true);
    if (HasFatalFailure()) return;
  }
}

TEST(Packing, BestFitDecreasing) {
  // In decreasing order: 20 and 16 open a row each, 11 fits only beside 16 and leaves 3 there, 3 fits both:
  // the fuller row takes it (first fit would take the other).
  const Rows rows = pack_rows(documents_of({3, 11, 16, 20}), 30);
  ASSERT_EQ(rows.count, 2);
  Ids first;
  for (int32_t i = 0; i < 30; ++i) first.push_back(i);
  first.insert(first.end(), {-1, -1});
  EXPECT_EQ(slots_of(rows, 0), first);
  EXPECT_EQ(slots_of(rows, 1)[0], 30);
  EXPECT_EQ(slots_of(rows, 1)[19], 49);
  EXPECT_EQ(slots_of(rows, 1)[20], -1);
}

TEST(Packing, FillsRowsThatCanBeFilled) {
  EXPECT_EQ(pack_rows(documents_of({3, 7, 2, 5, 3}), 10).count, 2);
  EXPECT_EQ(pack_rows(documents_of({6, 6, 6, 4, 4, 4}), 10).count, 3);
  EXPECT_EQ(pack_rows(documents_of({6, 6, 6}), 10).count, 3);
}

TEST(Packing, LookAheadContinuesACutDocument) {
  const Rows rows = pack_rows(documents_of({9}), 4);
  ASSERT_EQ(rows.count, 3);
  EXPECT_EQ(slots_of(rows, 0), (Ids{0, 1, 2, 3, 4, 5}));
  EXPECT_EQ(slots_of(rows, 1), (Ids{4, 5, 6, 7, 8, -1}));
  EXPECT_EQ(slots_of(rows, 2), (Ids{8, -1, -1, -1, -1, -1}));
}

TEST(Packing, NextDocumentFollowsInsideARowButNotBehindIt) {
  const Rows rows = pack_rows(documents_of({2, 2, 4}), 4);
  ASSERT_EQ(rows.count, 2);
  EXPECT_EQ(slots_of(rows, 0), (Ids{0, 1, 2, 3, -1, -1}));
  EXPECT_EQ(slots_of(rows, 1), (Ids{4, 5, 6, 7, -1, -1}));
}

TEST(Packing, CutPieceIsLastInItsRow) {
  // One long and many short documents: find an epoch whose short first piece shares a full row with others.
  const TokenizedDocuments documents = documents_of({20, 1, 1, 1, 2, 2, 3, 3});
  int seen = 0;
  for (int64_t epoch = 0; epoch < 50; ++epoch) {
    const Rows rows = pack_rows(documents, 8, Variation{1, epoch});
    check_rows(documents, rows, true);
    for (int64_t r = 0; r < rows.count; ++r) {
      const Ids row = slots_of(rows, r);
      if (row[0] != 0 && row[7] >= 0 && row[7] < 8 && row[8] == row[7] + 1 && row[9] == row[7] + 2) ++seen;
    }
  }
  EXPECT_GT(seen, 5);
}

TEST(Packing, BestFitAmongRowsWithAndWithoutACutPiece) {
  // The row of the last document (one token) in an epoch that cuts `first` tokens off document 0; rows of 10.
  const auto row_of_last = [](const TokenizedDocuments& documents, int64_t first) {
    for (int64_t epoch = 0; epoch < 1000; ++epoch) {
      const Packing packing = plan_rows(documents, 10, Variation{1, epoch});
      const auto head = std::find_if(packing.pieces.begin(), packing.pieces.end(),
                                     [](auto& p) { return p.document == 0 && p.begin == 0; });
      if (head->length != first) continue;
      const Rows rows = pack_rows(documents, 10, Variation{1, epoch});
      for (int64_t r = 0; r < rows.count; ++r) {
        Ids row = slots_of(rows, r);
        if (std::count(row.begin(), row.end(), static_cast<int32_t>(documents.tokens) - 1) > 0) {
          std::sort(row.begin(), row.end());
          return row;
        }
      }
    }
    return Ids{};
  };
  // Cut piece of 7: fuller than the row of 6.
  EXPECT_EQ(row_of_last(documents_of({17, 6, 1}), 7), (Ids{-1, -1, -1, -1, 0, 1, 2, 3, 4, 5, 6, 23}));
  // Cut piece of 5: emptier than the row of 6.
  EXPECT_EQ(row_of_last(documents_of({15, 6, 1}), 5), (Ids{-1, -1, -1, -1, -1, 15, 16, 17, 18, 19, 20, 21}));
}

TEST(Packing, VariationMovesTheCutsOfALongDocument) {
  const TokenizedDocuments documents = documents_of({1000});
  std::set<int64_t> first_lengths;
  for (int64_t epoch = 0; epoch < 200; ++epoch) {
    const Packing packing = plan_rows(documents, 16, Variation{3, epoch});
    for (const Piece& p : packing.pieces)
      if (p.begin == 0) first_lengths.insert(p.length);
  }
  EXPECT_EQ(first_lengths.size(), 16u);  // every length from 1 to 16
  EXPECT_EQ(*first_lengths.begin(), 1);
  EXPECT_EQ(*first_lengths.rbegin(), 16);
}

TEST(Packing, VariationChangesTheNeighboursOfShortDocuments) {
  const TokenizedDocuments documents = documents_of(std::vector<int64_t>(40, 5));
  const Rows a = pack_rows(documents, 10, Variation{1, 0});
  EXPECT_EQ(a.tokens, pack_rows(documents, 10, Variation{1, 0}).tokens);
  EXPECT_NE(a.tokens, pack_rows(documents, 10, Variation{1, 1}).tokens);
  EXPECT_NE(a.tokens, pack_rows(documents, 10, Variation{2, 0}).tokens);
  EXPECT_NE(a.tokens, pack_rows(documents, 10).tokens);
}

TEST(Packing, WithoutVariationRowsFollowTheDocuments) {
  const Packing packing = plan_rows(documents_of({30, 2, 5, 30}), 10);
  std::pair<int64_t, int64_t> last{-1, 0};
  for (int64_t r = 0; r < packing.rows(); ++r) {
    const Piece& first = packing.pieces[packing.row_starts[r]];
    const std::pair<int64_t, int64_t> begin{first.document, first.begin};
    EXPECT_GT(begin, last);
    last = begin;
  }
}

// Two sources of 30 and 300 documents of 10 tokens.
TokenizedDocuments mixture(double first, double second) {
  TokenizedDocuments documents = documents_of(std::vector<int64_t>(330, 10));
  documents.weights = {first, second};
  documents.source_starts = {0, 30, 330};
  return documents;
}

TEST(Mixture, WeightsAreSharesOfTheTokens) {
  const TokenizedDocuments documents = mixture(0.75, 0.25);
  for (int64_t epoch = 0; epoch < 40; ++epoch) {
    const std::vector<int64_t> chosen = epoch_documents(documents, Variation{1, epoch});
    ASSERT_EQ(chosen, epoch_documents(documents, Variation{1, epoch}));
    // The first source runs out first: all of it, and a third as much of the other.
    const auto second = std::lower_bound(chosen.begin(), chosen.end(), 30);
    ASSERT_EQ(second - chosen.begin(), 30);
    ASSERT_EQ(std::set<int64_t>(chosen.begin(), second).size(), 30u);
    ASSERT_EQ(chosen.end() - second, 10);
  }
  EXPECT_NE(epoch_documents(documents, Variation{1, 0}), epoch_documents(documents, Variation{2, 0}));
  EXPECT_EQ(epoch_documents(documents, std::nullopt).size(), 330u);
}

TEST(Mixture, ALargeSourceIsSeenWholeBeforeItRepeats) {
  const TokenizedDocuments documents = mixture(1, 1);
  std::map<int64_t, int> seen;
  for (int64_t epoch = 0; epoch < 30; ++epoch) {
    for (const int64_t d : epoch_documents(documents, Variation{5, epoch})) ++seen[d];
    if (epoch % 10 != 9) continue;  // 10 epochs of 30 documents are one pass of 300
    for (int64_t d = 0; d < 330; ++d) ASSERT_EQ(seen[d], d < 30 ? epoch + 1 : (epoch + 1) / 10) << d;
  }
}

TEST(Mixture, OfUnevenDocumentsKeepsItsShares) {
  Draws draws(1, "test", 0);
  std::vector<int64_t> lengths;
  for (int i = 0; i < 500; ++i) lengths.push_back(draws.between(1, 100));
  TokenizedDocuments documents = documents_of(lengths);
  documents.weights = {2, 1};
  documents.source_starts = {0, 400, 500};
  double tokens[2] = {0, 0};
  for (int64_t epoch = 0; epoch < 20; ++epoch)
    for (const int64_t d : epoch_documents(documents, Variation{1, epoch}))
      tokens[d >= 400] += static_cast<double>(lengths[d]);
  EXPECT_NEAR(tokens[0] / tokens[1], 2.0, 0.02);
}

TEST(Packing, Errors) {
  const std::string length = error_of([] { pack_rows(documents_of({3}), 0); });
  EXPECT_EQ(length, "row length: 0 tokens; a row needs at least one token");
  EXPECT_NE(error_of([] { plan_rows(documents_of({3}), -4); }).find("-4 tokens"), std::string::npos);
  const std::string empty = error_of([] { pack_rows(documents_of({0, 0}), 4); });
  EXPECT_EQ(empty, "packing: the documents have no tokens; give files with text");
  EXPECT_EQ(error_of([] { pack_rows(TokenizedDocuments{}, 4); }), empty);
}

TEST(PackingDeathTest, ProgrammingErrors) {
  const TokenizedDocuments documents = documents_of({3});
  const Packing packing = plan_rows(documents, 4);
  std::vector<int32_t> slots(6);
  EXPECT_DEATH(fill_row(documents, packing, 1, slots), "row 1 of 1");
  EXPECT_DEATH(fill_row(documents, packing, 0, std::span(slots).first(5)), "into 5 slots");
}

}  // namespace
}  // namespace frugal::data
