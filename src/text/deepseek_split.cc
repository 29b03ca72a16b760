#include "text/deepseek_split.h"

#include <fmt/format.h>

#include <span>
#include <string>

#include "text/pretokenizer.h"

namespace frugal::text {

namespace {
// DeepSeek's own file has the line ends in the main pattern as characters, not as escapes.
std::string with_raw_line_ends(std::string pattern) {
  for (const auto& [escape, character] : {std::pair{"\\r", "\r"}, std::pair{"\\n", "\n"}}) {
    for (size_t i = pattern.find(escape); i != std::string::npos; i = pattern.find(escape, i))
      pattern.replace(i, 2, character);
  }
  return pattern;
}

int digits_of(const std::string& pattern) {
  if (pattern == kOneDigitPattern) return 1;
  for (int n = 1; n <= 9; ++n) {
    if (pattern == fmt::format(kDigitsPattern, n)) return n;
  }
  return 0;
}
}  // namespace

std::optional<DeepSeekSplit> DeepSeekSplit::recognise(const std::vector<SplitStage>& all) {
  std::span<const SplitStage> stages(all);
  for (const SplitStage& stage : stages) {
    if (stage.syntax != Regex::Syntax::kPattern) return {};
  }
  const bool capitals = !stages.empty() && stages[0].pattern == kCapitalsPattern;
  if (capitals) stages = stages.subspan(1);
  if (stages.size() != 3) return {};
  const int digits = digits_of(stages[0].pattern);
  const bool main =
      stages[2].pattern == kMainPattern || stages[2].pattern == with_raw_line_ends(kMainPattern);
  if (digits == 0 || stages[1].pattern != kCjkPattern || !main) return {};
  return DeepSeekSplit(digits, capitals);
}

}  // namespace frugal::text
