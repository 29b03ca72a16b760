#include "data/dedupe.h"

#include <xxhash.h>

#include <algorithm>
#include <array>
#include <limits>

#include "base/error.h"
#include "base/rng.h"

namespace frugal::data {

Dedupe parse_dedupe(const std::string& name) {
  if (name == "none") return Dedupe::kNone;
  if (name == "exact") return Dedupe::kExact;
  if (name == "near") return Dedupe::kNear;
  fail("dedupe", "'" + name + "' is unknown", "use none, exact or near");
}

std::string dedupe_name(Dedupe mode) {
  return mode == Dedupe::kNone ? "none" : mode == Dedupe::kExact ? "exact" : "near";
}

namespace {
constexpr int kHashes = kBands * kBandRows;

bool is_letter_or_digit(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

// Hashes of the words, in order.
std::vector<uint64_t> word_hashes(std::string_view text) {
  std::vector<uint64_t> words;
  std::string word;
  for (size_t i = 0; i < text.size();) {
    size_t end = i + 1;
    if (is_letter_or_digit(text[i])) {
      while (end < text.size() && is_letter_or_digit(text[end])) ++end;
    } else if (static_cast<uint8_t>(text[i]) >= 0x80) {
      while (end < text.size() && (static_cast<uint8_t>(text[end]) & 0xC0) == 0x80) ++end;
    } else {
      ++i;
      continue;
    }
    word.assign(text.substr(i, end - i));
    for (char& c : word)
      if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
    words.push_back(XXH3_64bits(word.data(), word.size()));
    i = end;
  }
  return words;
}

struct HashFunction {
  uint64_t factor, offset;  // h -> upper half of factor * h + offset
};
const std::array<HashFunction, kHashes>& hash_functions() {
  static const auto functions = [] {
    std::array<HashFunction, kHashes> f{};
    const uint64_t key = rng_key(0, "minhash");
    for (size_t i = 0; i < f.size(); ++i) {
      const auto r = philox(key, i, 0);
      f[i] = {(uint64_t{r[1]} << 32 | r[0]) | 1, uint64_t{r[3]} << 32 | r[2]};
    }
    return f;
  }();
  return functions;
}
}  // namespace

std::vector<uint64_t> near_bands(std::string_view text) {
  const std::vector<uint64_t> words = word_hashes(text);
  if (words.empty()) return {};
  const auto& functions = hash_functions();
  std::array<uint32_t, kHashes> smallest;
  smallest.fill(std::numeric_limits<uint32_t>::max());
  // A text of fewer words is one shingle.
  const size_t length = std::min<size_t>(kShingleWords, words.size());
  for (size_t first = 0; first + length <= words.size(); ++first) {
    const uint64_t shingle = XXH3_64bits(words.data() + first, length * sizeof(uint64_t));
    for (size_t i = 0; i < functions.size(); ++i)
      smallest[i] = std::min(
          smallest[i], static_cast<uint32_t>((functions[i].factor * shingle + functions[i].offset) >> 32));
  }
  std::vector<uint64_t> bands;
  for (uint64_t b = 0; b < kBands; ++b)  // the band's number is its seed: bands never meet each other
    bands.push_back(XXH3_64bits_withSeed(smallest.data() + b * kBandRows, kBandRows * sizeof(uint32_t), b));
  return bands;
}

SeenDocuments::Verdict SeenDocuments::see(uint64_t hash, std::span<const uint64_t> bands) {
  if (mode_ == Dedupe::kNone) return Verdict::kNew;
  if (!hashes_.insert(hash).second) return Verdict::kEqual;
  if (mode_ == Dedupe::kExact) return Verdict::kNew;
  if (std::any_of(bands.begin(), bands.end(), [&](uint64_t b) { return bands_.count(b) > 0; }))
    return Verdict::kAlike;
  bands_.insert(bands.begin(), bands.end());
  return Verdict::kNew;
}

}  // namespace frugal::data
