// Leaving out documents that were seen before: equal ones, or nearly equal ones as well.
//
// Near: MinHash (Broder 1997) with banding, parameters of FineWeb (Penedo et al. 2024, section 3.4): shingles
// of 5 words, 112 hash functions in 14 bands of 8. Two documents are alike when one band of theirs is equal:
// of two whose shingles have Jaccard similarity s, with probability 1 - (1 - s^8)^14 (s = 0.6: 21 %, 0.72: 65
// %, 0.8: 92 %, 0.9: 99.97 %). A word is a run of ASCII letters and digits, without case, or one other
// character that is not ASCII; so Chinese counts by characters. The first of alike documents stays.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

namespace frugal::data {

enum class Dedupe { kNone, kExact, kNear };
// "none", "exact", "near". Throws Error otherwise.
Dedupe parse_dedupe(const std::string& name);
std::string dedupe_name(Dedupe mode);

inline constexpr int kShingleWords = 5, kBands = 14, kBandRows = 8;

// [kBands] hashes, a pure function of the words. Empty for a text without words.
std::vector<uint64_t> near_bands(std::string_view text);

// Remembers 8 bytes per document, with kNear 120 (tables not counted).
class SeenDocuments {
 public:
  explicit SeenDocuments(Dedupe mode) : mode_(mode) {}
  enum class Verdict { kNew, kEqual, kAlike };
  // bands: near_bands() of the text with kNear, else empty.
  Verdict see(uint64_t hash, std::span<const uint64_t> bands);

 private:
  Dedupe mode_;
  std::unordered_set<uint64_t> hashes_, bands_;
};

}  // namespace frugal::data
