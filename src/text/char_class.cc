#include "text/char_class.h"

#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "text/deepseek_split.h"
#include "text/regex.h"
#include "text/utf8.h"

namespace frugal::text {

namespace {

using Page = std::array<CharClass, 256>;

bool is_surrogate(char32_t c) { return c >= 0xD800 && c <= 0xDFFF; }

// Gives the class to the characters of `text` that match; `at[i]` is the place in `page` of the character
// that starts at byte i.
void mark(const char* pattern, CharClass value, const std::string& text, const std::vector<uint8_t>& at,
          Page* page) {
  const Regex regex(pattern, Regex::Syntax::kPattern, "class of characters");
  MatchScratch scratch;
  size_t begin = 0, end = 0;
  for (size_t from = 0; from < text.size() && regex.find(text, from, scratch, &begin, &end); from = end) {
    for (size_t i = begin; i < end; ++i) (*page)[at[i]] = value;
  }
}

std::unique_ptr<Page> make_page(uint32_t number) {
  auto page = std::make_unique<Page>();
  page->fill(CharClass::kOther);
  std::string text;
  std::vector<uint8_t> at;  // of every byte, so that those inside a character name it too
  for (uint32_t i = 0; i < 256; ++i) {
    const char32_t c = number << 8 | i;
    if (is_surrogate(c)) continue;
    append_utf8(c, &text);
    at.resize(text.size(), static_cast<uint8_t>(i));
  }
  mark("\\p{L}+", CharClass::kLetter, text, at, page.get());
  mark("\\p{M}+", CharClass::kMark, text, at, page.get());
  mark("[\\p{P}\\p{S}]+", CharClass::kSymbol, text, at, page.get());
  mark("\\s+", CharClass::kSpace, text, at, page.get());
  mark("[\\r\\n]+", CharClass::kNewline, text, at, page.get());
  mark("\\p{N}+", CharClass::kNumber, text, at, page.get());
  mark(kCjkPattern, CharClass::kCjk, text, at, page.get());
  return page;
}

}  // namespace

namespace char_class_detail {

std::array<std::atomic<const CharClass*>, 0x1100> pages{};

const CharClass* fill_page(uint32_t number) {
  static std::mutex mutex;
  static std::array<std::unique_ptr<Page>, 0x1100> owned;
  const std::lock_guard lock(mutex);
  if (owned[number] == nullptr) owned[number] = make_page(number);
  pages[number].store(owned[number]->data(), std::memory_order_release);
  return owned[number]->data();
}

}  // namespace char_class_detail

const CharClass* ascii_classes() {
  class_of(0);
  return char_class_detail::pages[0].load(std::memory_order_acquire);
}

}  // namespace frugal::text
