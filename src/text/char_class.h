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
  kOther,    // none of these
  // Characters of stages that come before the main pattern.
  kNumber,  // \p{N}
  kCjk,     // kCjkPattern of text/deepseek_split.h, whatever else they are
};

namespace char_class_detail {
// Classes of the characters 256 * page ..., null until fill_page(page) has been called.
extern std::array<std::atomic<const CharClass*>, 0x1100> pages;
const CharClass* fill_page(uint32_t page);
}  // namespace char_class_detail

// The classes of the first 128 characters.
const CharClass* ascii_classes();

// c is a Unicode scalar value. May be called from several threads.
inline CharClass class_of(char32_t c) {
  const uint32_t page = c >> 8;
  const CharClass* classes = char_class_detail::pages[page].load(std::memory_order_acquire);
  if (classes == nullptr) classes = char_class_detail::fill_page(page);
  return classes[c & 0xFF];
}

}  // namespace frugal::text
