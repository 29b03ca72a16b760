#include "text/added_tokens.h"

#include <algorithm>
#include <cstring>

namespace frugal::text {

AddedTokenScanner::AddedTokenScanner(const std::vector<AddedToken>& tokens) {
  for (const AddedToken& token : tokens) {
    sorted_.push_back({token.content, token.id});
    starts_[static_cast<uint8_t>(token.content[0])] = true;
  }
  std::ranges::sort(sorted_, {}, &Entry::content);
  // In practice all start with '<', and memchr skips ahead much faster than a table.
  if (std::ranges::count(starts_, true) == 1) only_start_ = static_cast<uint8_t>(sorted_[0].content[0]);
}

size_t AddedTokenScanner::longest_at(std::string_view text, int32_t* id) const {
  // All entries in [low, high) share the first `depth` bytes with the text.
  auto low = sorted_.begin(), high = sorted_.end();
  size_t longest = 0;
  for (size_t depth = 0; low != high; ++depth) {
    if (low->content.size() == depth) {
      longest = depth;
      *id = low->id;
      ++low;
    }
    if (depth == text.size()) break;
    const auto wanted = static_cast<uint8_t>(text[depth]);
    const auto byte_of = [depth](const Entry& entry) { return static_cast<uint8_t>(entry.content[depth]); };
    low = std::partition_point(low, high, [&](const Entry& entry) { return byte_of(entry) < wanted; });
    high = std::partition_point(low, high, [&](const Entry& entry) { return byte_of(entry) == wanted; });
  }
  return longest;
}

bool AddedTokenScanner::find(std::string_view text, size_t from, size_t* begin, size_t* end,
                             int32_t* id) const {
  if (sorted_.empty()) return false;
  for (size_t at = from; at < text.size(); ++at) {
    if (only_start_ >= 0) {
      const void* hit = std::memchr(text.data() + at, only_start_, text.size() - at);
      if (hit == nullptr) return false;
      at = static_cast<size_t>(static_cast<const char*>(hit) - text.data());
    } else if (!starts_[static_cast<uint8_t>(text[at])]) {
      continue;
    }
    const size_t length = longest_at(text.substr(at), id);
    if (length > 0) {
      *begin = at;
      *end = at + length;
      return true;
    }
  }
  return false;
}

}  // namespace frugal::text
