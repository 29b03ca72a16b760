#include "data/fim.h"

#include <algorithm>

#include "base/rng.h"
#include "data/draws.h"

namespace frugal::data {

bool fim_chosen(uint64_t hash, double rate) {
  return rng_uniform(rng_key(hash, "fill in the middle: whether"), 0) < rate;
}

std::optional<FimCuts> draw_fim(std::string_view text, uint64_t hash, double rate) {
  if (text.empty() || !fim_chosen(hash, rate)) return std::nullopt;
  Draws draws(hash, "fill in the middle: cuts", 0);
  const auto cut = [&] {
    size_t at = static_cast<size_t>(draws.below(static_cast<int64_t>(text.size()) + 1));
    while (at < text.size() && (static_cast<uint8_t>(text[at]) & 0xC0) == 0x80) --at;
    return at;
  };
  const size_t a = cut(), b = cut();
  return FimCuts{std::min(a, b), std::max(a, b)};
}

}  // namespace frugal::data
