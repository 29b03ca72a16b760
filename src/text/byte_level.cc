#include "text/byte_level.h"

#include <algorithm>
#include <numeric>

#include "text/utf8.h"

namespace frugal::text {

const std::array<char32_t, 256>& byte_characters() {
  static const std::array<char32_t, 256> table = [] {
    std::array<char32_t, 256> t{};
    char32_t next = 0x100;
    for (uint32_t b = 0; b < 256; ++b) {
      const bool printable = (b >= '!' && b <= '~') || (b >= 0xA1 && b <= 0xAC) || b >= 0xAE;
      t[b] = printable ? static_cast<char32_t>(b) : next++;
    }
    return t;
  }();
  return table;
}

const std::array<uint8_t, 256>& bytes_by_character() {
  static const std::array<uint8_t, 256> order = [] {
    std::array<uint8_t, 256> o{};
    std::iota(o.begin(), o.end(), uint8_t{0});
    std::ranges::sort(o, {}, [](uint8_t b) { return byte_characters()[b]; });
    return o;
  }();
  return order;
}

std::string to_byte_level(std::string_view bytes) {
  std::string symbols;
  symbols.reserve(2 * bytes.size());
  for (const char c : bytes) append_utf8(byte_characters()[static_cast<uint8_t>(c)], &symbols);
  return symbols;
}

std::optional<std::string> from_byte_level(std::string_view symbols) {
  constexpr size_t kEnd = 0x144;  // 256 + 68 characters beyond Latin-1
  static const std::array<int16_t, kEnd> byte_of = [] {
    std::array<int16_t, kEnd> t{};
    t.fill(-1);
    for (uint32_t b = 0; b < 256; ++b) t[byte_characters()[b]] = static_cast<int16_t>(b);
    return t;
  }();
  std::string bytes;
  bytes.reserve(symbols.size());
  for (size_t i = 0; i < symbols.size();) {
    const auto lead = static_cast<uint8_t>(symbols[i]);
    uint32_t c = lead;
    if (lead >= 0x80) {
      if (lead >= 0xE0 || i + 1 == symbols.size()) return std::nullopt;  // above U+07FF
      c = (lead & 0x1Fu) << 6 | (static_cast<uint8_t>(symbols[i + 1]) & 0x3Fu);
    }
    if (c >= kEnd || byte_of[c] < 0) return std::nullopt;
    bytes.push_back(static_cast<char>(static_cast<uint8_t>(byte_of[c])));
    i += lead >= 0x80 ? 2 : 1;
  }
  return bytes;
}

}  // namespace frugal::text
