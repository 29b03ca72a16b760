// The classes of characters that DeepSeek-V3's patterns tell apart. The regular expressions stay the one
// definition: the table is filled from them (text/regex.h), 256 characters at a time, when it is first asked.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>

namespace frugal::text {

enum class CharClass : uint8_t {
  kLetter,   // \p{L}
  kMark,     // \p{M}
  kSymbol,   // \p{P} or \p{S}
  kSpace,    // \s but CR and LF
  kNewline,  // CR, LF
  kNumber,   // \p{N}
  kOther,    // none of these
  kEnd,      // no character: the end of what a pattern sees
};

struct CharInfo {
  static constexpr uint8_t kCjk = 0x80;
  uint8_t bits = static_cast<uint8_t>(CharClass::kOther);

  CharClass kind() const { return static_cast<CharClass>(bits & ~kCjk); }
  bool cjk() const { return (bits & kCjk) != 0; }  // kCjkPattern of text/deepseek_split.h has it
};

namespace char_class_detail {
// The characters 256 * page ..., null until fill_page(page) has been called.
extern std::array<std::atomic<const CharInfo*>, 0x1100> pages;
const CharInfo* fill_page(uint32_t page);
}  // namespace char_class_detail

// The first 128 characters.
const CharInfo* ascii_chars();

// c is a Unicode scalar value. May be called from several threads.
inline CharInfo char_info(char32_t c) {
  const uint32_t page = c >> 8;
  const CharInfo* chars = char_class_detail::pages[page].load(std::memory_order_acquire);
  if (chars == nullptr) chars = char_class_detail::fill_page(page);
  return chars[c & 0xFF];
}

}  // namespace frugal::text
