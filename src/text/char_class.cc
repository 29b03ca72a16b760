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

using Page = std::array<CharInfo, 256>;

bool is_surrogate(char32_t c) { return c >= 0xD800 && c <= 0xDFFF; }

// Calls found(i) for the places in the page of all characters of `text` that match; `at[b]` is the place of
// the character that has byte b.
template <class F>
void for_matches(const char* pattern, const std::string& text, const std::vector<uint8_t>& at, F&& found) {
  const Regex regex(pattern, Regex::Syntax::kPattern, "class of characters");
  MatchScratch scratch;
  size_t begin = 0, end = 0;
  for (size_t from = 0; from < text.size() && regex.find(text, from, scratch, &begin, &end); from = end) {
    for (size_t b = begin; b < end; ++b) found(at[b]);
  }
}

std::unique_ptr<Page> make_page(uint32_t number) {
  auto page = std::make_unique<Page>();
  std::string text;
  std::vector<uint8_t> at;  // of every byte, so that those inside a character name it too
  for (uint32_t i = 0; i < 256; ++i) {
    const char32_t c = number << 8 | i;
    if (is_surrogate(c)) continue;
    append_utf8(c, &text);
    at.resize(text.size(), static_cast<uint8_t>(i));
  }
  const std::pair<const char*, CharClass> classes[] = {
      {"\\p{L}+", CharClass::kLetter},         {"\\p{M}+", CharClass::kMark},
      {"[\\p{P}\\p{S}]+", CharClass::kSymbol}, {"\\s+", CharClass::kSpace},
      {"[\\r\\n]+", CharClass::kNewline},      {"\\p{N}+", CharClass::kNumber}};
  for (const auto& [pattern, kind] : classes)
    for_matches(pattern, text, at,
                [&, kind = kind](uint8_t i) { (*page)[i].bits = static_cast<uint8_t>(kind); });
  for_matches(kCjkPattern, text, at, [&](uint8_t i) { (*page)[i].bits |= CharInfo::kCjk; });
  return page;
}

}  // namespace

namespace char_class_detail {

std::array<std::atomic<const CharInfo*>, 0x1100> pages{};

const CharInfo* fill_page(uint32_t number) {
  static std::mutex mutex;
  static std::array<std::unique_ptr<Page>, 0x1100> owned;
  const std::lock_guard lock(mutex);
  if (owned[number] == nullptr) owned[number] = make_page(number);
  pages[number].store(owned[number]->data(), std::memory_order_release);
  return owned[number]->data();
}

}  // namespace char_class_detail

const CharInfo* ascii_chars() {
  char_info(0);
  return char_class_detail::pages[0].load(std::memory_order_acquire);
}

}  // namespace frugal::text
