#include "data/loader.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <limits>
#include <map>
#include <string>

#include "base/error.h"
#include "test_documents.h"

namespace frugal::data {
namespace {

using Ids = std::vector<int32_t>;

// Documents of these lengths; the tokens are numbered from 0 through all of them.
TokenizedDocuments documents_of(const std::vector<int64_t>& lengths) {
  return test::numbered_documents(lengths);
}

TokenizedDocuments mixed() { return documents_of({100, 3, 3, 5, 8, 1, 2, 9, 30, 4, 4, 4, 7, 6, 6}); }

std::string error_of(const std::function<void()>& call) {
  try {
    call();
  } catch (const Error& e) {
    return e.what();
  }
  return "no error";
}

TEST(Loader, EveryEpochHandsOutEveryTokenOnce) {
  Loader loader(mixed(), 8, 1, 5);
  const int64_t n = static_cast<int64_t>(loader.documents().tokens);
  for (int64_t epoch = 0; epoch < 20; ++epoch) {
    std::vector<int> inputs(static_cast<size_t>(n), 0);
    int64_t rows = 0;
    do {
      const Batch batch = loader.next();
      ASSERT_EQ(loader.state(), (LoaderState{epoch, ++rows}));
      ASSERT_EQ(batch.rows, 1);
      ASSERT_EQ(batch.length, 8);
      ASSERT_EQ(batch.tokens.size(), 10u);
      for (int i = 0; i < 8; ++i)
        if (batch.tokens[i] >= 0) ++inputs[batch.tokens[i]];
    } while (loader.state().position < loader.rows());
    ASSERT_EQ(std::count(inputs.begin(), inputs.end(), 1), n) << "epoch " << epoch;
  }
}

TEST(Loader, RowsAreThoseOfTheEpochsPacking) {
  Loader loader(mixed(), 8, 1, 5);
  for (int64_t epoch = 0; epoch < 3; ++epoch) {
    const Rows rows = pack_rows(loader.documents(), 8, Variation{5, epoch});
    std::vector<Ids> expected, actual;
    for (int64_t r = 0; r < rows.count; ++r) {
      expected.push_back(slice_rows(rows, r, 1).tokens);
      actual.push_back(loader.next().tokens);
    }
    EXPECT_NE(actual, expected) << "not shuffled";
    std::sort(actual.begin(), actual.end());
    std::sort(expected.begin(), expected.end());
    EXPECT_EQ(actual, expected);
  }
}

TEST(Loader, BatchesRunOnAcrossEpochs) {
  // A batch of many rows is the rows one by one, even if it spans several epochs.
  for (const int64_t batch : {2, 3, 7, 60}) {
    Loader single(mixed(), 8, 1, 9), many(mixed(), 8, batch, 9);
    for (int step = 0; step < 20; ++step) {
      const Batch b = many.next();
      ASSERT_EQ(b.rows, batch);
      Ids expected;
      for (int64_t r = 0; r < batch; ++r) {
        const Ids row = single.next().tokens;
        expected.insert(expected.end(), row.begin(), row.end());
      }
      ASSERT_EQ(b.tokens, expected);
      ASSERT_EQ(many.state(), single.state());
    }
    EXPECT_GE(many.state().epoch, 1);
  }
}

TEST(Loader, RestoreGivesTheSameContinuation) {
  Loader loader(mixed(), 8, 3, 11);
  std::vector<LoaderState> states;
  std::vector<Ids> batches;
  for (int step = 0; step < 60; ++step) {
    states.push_back(loader.state());
    batches.push_back(loader.next().tokens);
  }
  ASSERT_GE(states.back().epoch, 3);
  Loader used(mixed(), 8, 3, 11);  // restored again and again, forwards and backwards
  for (size_t i = 0; i < 60; ++i) {
    const size_t at = i * 37 % 60;
    Loader fresh(mixed(), 8, 3, 11);
    fresh.restore(states[at]);
    used.restore(states[at]);
    ASSERT_EQ(fresh.state(), states[at]);
    for (size_t k = at; k < std::min<size_t>(at + 25, 60); ++k) {
      ASSERT_EQ(fresh.next().tokens, batches[k]) << "from " << at << ", batch " << k;
      ASSERT_EQ(used.next().tokens, batches[k]) << "from " << at << ", batch " << k;
    }
  }
}

TEST(Loader, RestoreRefusesImpossibleStatesAndStaysAsItWas) {
  Loader loader(mixed(), 8, 2, 1), twin(mixed(), 8, 2, 1);
  for (int i = 0; i < 20; ++i) EXPECT_EQ(loader.next().tokens, twin.next().tokens);
  const int64_t huge = std::numeric_limits<int64_t>::max();
  for (const LoaderState state :
       {LoaderState{-1, 0}, {0, -1}, {0, loader.rows() + 9}, {7, huge}, {1, 1000}}) {
    const std::string message = error_of([&] { loader.restore(state); });
    EXPECT_NE(message.find("data position (epoch " + std::to_string(state.epoch) + ", row " +
                           std::to_string(state.position) + ")"),
              std::string::npos)
        << message;
    EXPECT_NE(message.find("resume with the data"), std::string::npos) << message;
  }
  EXPECT_NE(error_of([&] { loader.restore({0, 1000}); }).find("has only"), std::string::npos);
  EXPECT_EQ(loader.state(), twin.state());
  EXPECT_EQ(loader.rows(), twin.rows());
  for (int i = 0; i < 20; ++i) EXPECT_EQ(loader.next().tokens, twin.next().tokens);
}

TEST(Loader, SeedAndEpochDecideTheOrder) {
  const auto epoch_of = [](uint64_t seed, int64_t epoch) {
    Loader loader(documents_of(std::vector<int64_t>(64, 4)), 4, 64, seed);  // one document per row
    loader.restore({epoch, 0});
    return loader.next().tokens;
  };
  EXPECT_EQ(epoch_of(1, 0), epoch_of(1, 0));
  EXPECT_NE(epoch_of(1, 0), epoch_of(2, 0));
  EXPECT_NE(epoch_of(1, 0), epoch_of(1, 1));
}

TEST(Loader, RowsOfThePackingAreShuffledAnewEveryEpoch) {
  Loader loader(documents_of(std::vector<int64_t>(64, 4)), 4, 1, 1);
  std::vector<std::vector<int64_t>> orders;
  for (int64_t epoch = 0; epoch < 2; ++epoch) {
    const Rows rows = pack_rows(loader.documents(), 4, Variation{1, epoch});
    std::vector<int64_t> order;
    for (int64_t i = 0; i < rows.count; ++i) {
      const int32_t first = loader.next().tokens[0];
      int64_t r = 0;
      while (rows.tokens[r * 6] != first) ++r;
      order.push_back(r);
    }
    orders.push_back(order);
  }
  EXPECT_NE(orders[0], orders[1]);
}

TEST(Loader, RowBoundariesOfALongDocumentMove) {
  Loader loader(documents_of({400}), 16, 1, 2);
  std::map<int32_t, int> starts;
  while (loader.state().epoch < 10) ++starts[loader.next().tokens[0]];
  EXPECT_GT(starts.size(), 100u);  // fixed cuts would give 25 row starts
}

TEST(Loader, FingerprintNamesDocumentsLengthAndSeed) {
  const auto print = [](TokenizedDocuments documents, int64_t length, int64_t batch, uint64_t seed) {
    return Loader(std::move(documents), length, batch, seed).fingerprint();
  };
  const uint64_t base = print(documents_of({5, 5}), 4, 2, 1);
  EXPECT_EQ(base, print(documents_of({5, 5}), 4, 3, 1));
  EXPECT_NE(base, print(documents_of({5, 6}), 4, 2, 1));
  EXPECT_NE(base, print(documents_of({4, 6}), 4, 2, 1));
  EXPECT_NE(base, print(documents_of({5, 5}), 5, 2, 1));
  EXPECT_NE(base, print(documents_of({5, 5}), 4, 2, 2));
}

TEST(Loader, Errors) {
  EXPECT_EQ(error_of([] { Loader(mixed(), 8, 0, 1); }), "batch size: 0 rows; a batch needs at least one row");
  EXPECT_NE(error_of([] { Loader(mixed(), 0, 1, 1); }).find("row length: 0"), std::string::npos);
  EXPECT_NE(error_of([] { Loader(TokenizedDocuments{}, 8, 1, 1); }).find("no tokens"), std::string::npos);
}

TEST(Loader, PinnedBatch) {
  // Checkpoints resume by packing and shuffling again: a change here breaks every run that is under way.
  Loader loader(documents_of({3, 7, 2, 2}), 4, 4, 42);
  EXPECT_EQ(loader.next().tokens,
            (Ids{12, 13, 10, 11, -1, -1, 0, 1, 2, -1, -1, -1, 7, 8, 9, -1, -1, -1, 3, 4, 5, 6, 7, 8}));
}

TEST(SliceRows, SequentialPass) {
  const Rows rows = pack_rows(documents_of({22}), 4);  // 6 rows
  Ids all;
  for (int64_t first = 0;; first += 4) {
    const Batch batch = slice_rows(rows, first, 4);
    EXPECT_EQ(batch.length, 4);
    EXPECT_EQ(static_cast<int64_t>(batch.tokens.size()), batch.rows * 6);
    EXPECT_EQ(batch.rows, first == 0 ? 4 : first == 4 ? 2 : 0);
    if (batch.rows == 0) break;
    all.insert(all.end(), batch.tokens.begin(), batch.tokens.end());
  }
  EXPECT_EQ(all, rows.tokens);
  EXPECT_EQ(slice_rows(rows, std::numeric_limits<int64_t>::max(), 1).rows, 0);
  EXPECT_EQ(slice_rows(rows, 2, std::numeric_limits<int64_t>::max()).rows, 4);
}

}  // namespace
}  // namespace frugal::data
