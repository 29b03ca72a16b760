// libFuzzer: DeepSeek-V3's splitter written by hand against the regular expressions that define it.
// Input: a byte that chooses the variant, then the text (any bytes).
#include <fmt/format.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string_view>
#include <vector>

#include "text/pretokenizer.h"

namespace {

using frugal::text::PreTokenizer;
using frugal::text::Regex;
using frugal::text::SplitStage;

struct Pair {
  PreTokenizer fast, regex;
};

std::vector<Pair> all_variants() {
  std::vector<Pair> pairs;
  for (const bool capitals : {false, true}) {
    for (int digits = 1; digits <= 9; ++digits) {
      std::vector<SplitStage> stages;
      if (capitals) stages.push_back({frugal::text::kCapitalsPattern, Regex::Syntax::kPattern, "fuzz"});
      const std::string numbers =
          digits == 1 ? frugal::text::kOneDigitPattern : fmt::format(frugal::text::kDigitsPattern, digits);
      stages.push_back({numbers, Regex::Syntax::kPattern, "fuzz"});
      stages.push_back({frugal::text::kCjkPattern, Regex::Syntax::kPattern, "fuzz"});
      stages.push_back({frugal::text::kMainPattern, Regex::Syntax::kPattern, "fuzz"});
      if (!frugal::text::DeepSeekSplit::recognise(stages)) std::abort();
      pairs.push_back({PreTokenizer(stages), PreTokenizer(stages, PreTokenizer::Method::kRegex)});
    }
  }
  return pairs;
}

std::vector<std::string_view> pieces(const PreTokenizer& p, std::string_view text) {
  std::vector<std::string_view> list;
  frugal::text::MatchScratch scratch;
  p.split(text, scratch, [&](std::string_view piece) { list.push_back(piece); });
  return list;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const std::vector<Pair> variants = all_variants();
  if (size == 0) return 0;
  const Pair& variant = variants[data[0] % variants.size()];
  const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  if (pieces(variant.fast, text) != pieces(variant.regex, text)) {
    std::fprintf(stderr, "the pieces differ\n");
    std::abort();
  }
  return 0;
}
