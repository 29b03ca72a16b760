#include "data/dedupe.h"

#include <gtest/gtest.h>

#include "data/document.h"
#include "data/draws.h"

namespace frugal::data {
namespace {

using Verdict = SeenDocuments::Verdict;

// 400 words; `changed` of them differ from those of the same text number.
std::string text_of(int number, int changed, uint64_t change_seed = 1) {
  Draws words(static_cast<uint64_t>(number), "words", 0), places(change_seed, "places", number);
  std::vector<std::string> list;
  for (int i = 0; i < 400; ++i) list.push_back("w" + std::to_string(words.below(5000)));
  for (int i = 0; i < changed; ++i) list[places.below(400)] = "other" + std::to_string(places.below(5000));
  std::string text;
  for (const std::string& w : list) text += w + " ";
  return text;
}

TEST(Dedupe, ExactKeepsTheFirst) {
  SeenDocuments seen(Dedupe::kExact);
  EXPECT_EQ(seen.see(text_hash("a"), {}), Verdict::kNew);
  EXPECT_EQ(seen.see(text_hash("b"), {}), Verdict::kNew);
  EXPECT_EQ(seen.see(text_hash("a"), {}), Verdict::kEqual);
  SeenDocuments off(Dedupe::kNone);
  EXPECT_EQ(off.see(1, {}), Verdict::kNew);
  EXPECT_EQ(off.see(1, {}), Verdict::kNew);
}

TEST(Dedupe, NearFindsWhatItsParametersSay) {
  // `changed` words touch about 5 times as many of 396 shingles: Jaccard (396 - 5 c) / (396 + 5 c).
  int alike[3] = {0, 0, 0};
  const int changes[3] = {2, 12, 120};  // similarity about 0.95, 0.74, 0.12
  for (int n = 0; n < 200; ++n) {
    for (int k = 0; k < 3; ++k) {
      SeenDocuments seen(Dedupe::kNear);
      const std::string a = text_of(n, 0), b = text_of(n, changes[k]);
      EXPECT_EQ(seen.see(text_hash(a), near_bands(a)), Verdict::kNew);
      alike[k] += seen.see(text_hash(b), near_bands(b)) == Verdict::kAlike;
    }
  }
  EXPECT_EQ(alike[0], 200);
  EXPECT_GT(alike[1], 110);
  EXPECT_LT(alike[1], 190);
  EXPECT_EQ(alike[2], 0);
}

TEST(Dedupe, DifferentTextsStay) {
  SeenDocuments seen(Dedupe::kNear);
  for (int n = 0; n < 500; ++n) {
    const std::string t = text_of(n, 0);
    ASSERT_EQ(seen.see(text_hash(t), near_bands(t)), Verdict::kNew) << n;
  }
}

TEST(Dedupe, WordsAreWhatTheHeaderSays) {
  EXPECT_EQ(near_bands("One, two; THREE four five six"), near_bands("one two three\nfour FIVE  six!"));
  EXPECT_NE(near_bands("one two three four five six"), near_bands("one two three four six five"));
  EXPECT_EQ(near_bands("你好，世界").size(), static_cast<size_t>(kBands));
  EXPECT_EQ(near_bands("你好世界"), near_bands("你 好世 界"));  // by characters
  EXPECT_TRUE(near_bands("... !?").empty());
  EXPECT_EQ(near_bands("short").size(), static_cast<size_t>(kBands));
}

}  // namespace
}  // namespace frugal::data
