#include "text/utf8.h"

#include <cstdint>
#include <cstring>

namespace frugal::text {

namespace {
uint8_t byte_at(std::string_view bytes, size_t i) { return static_cast<uint8_t>(bytes[i]); }

// What Table 3-7 of the Unicode standard allows after a lead byte.
struct Follow {
  size_t length;      // of the whole sequence; 0: not a lead byte
  uint8_t low, high;  // bounds of the second byte; the others are 80..BF
};

Follow follow_of(uint8_t lead) {
  if (lead >= 0xC2 && lead <= 0xDF) return {2, 0x80, 0xBF};
  if (lead == 0xE0) return {3, 0xA0, 0xBF};
  if (lead == 0xED) return {3, 0x80, 0x9F};
  if (lead >= 0xE1 && lead <= 0xEF) return {3, 0x80, 0xBF};
  if (lead == 0xF0) return {4, 0x90, 0xBF};
  if (lead >= 0xF1 && lead <= 0xF3) return {4, 0x80, 0xBF};
  if (lead == 0xF4) return {4, 0x80, 0x8F};
  return {0, 0, 0};
}

size_t ascii_prefix(std::string_view bytes) {
  size_t i = 0;
  while (bytes.size() - i >= 8) {
    uint64_t word;
    std::memcpy(&word, bytes.data() + i, 8);
    if ((word & 0x8080808080808080u) != 0) break;
    i += 8;
  }
  while (i < bytes.size() && byte_at(bytes, i) < 0x80) ++i;
  return i;
}
}  // namespace

Utf8Step utf8_step(std::string_view bytes) {
  const uint8_t lead = byte_at(bytes, 0);
  if (lead < 0x80) return {1, true, false};
  const Follow follow = follow_of(lead);
  if (follow.length == 0) return {1, false, false};
  for (size_t i = 1; i < follow.length; ++i) {
    if (i == bytes.size()) return {i, false, true};
    const uint8_t low = i == 1 ? follow.low : uint8_t{0x80};
    const uint8_t high = i == 1 ? follow.high : uint8_t{0xBF};
    if (byte_at(bytes, i) < low || byte_at(bytes, i) > high) return {i, false, false};
  }
  return {follow.length, true, false};
}

size_t well_formed_prefix(std::string_view bytes) {
  size_t i = 0;
  while (i < bytes.size()) {
    if (byte_at(bytes, i) < 0x80) {
      i += ascii_prefix(bytes.substr(i));
      continue;
    }
    const Utf8Step step = utf8_step(bytes.substr(i));
    if (!step.well_formed) break;
    i += step.length;
  }
  return i;
}

size_t ill_formed_prefix(std::string_view bytes) {
  size_t i = 0;
  while (i < bytes.size()) {
    const Utf8Step step = utf8_step(bytes.substr(i));
    if (step.well_formed) break;
    i += step.length;
  }
  return i;
}

size_t append_repaired(std::string_view bytes, bool keep_truncated, std::string* out) {
  size_t i = 0;
  while (i < bytes.size()) {
    const size_t good = well_formed_prefix(bytes.substr(i));
    out->append(bytes.substr(i, good));
    i += good;
    if (i == bytes.size()) break;
    const Utf8Step step = utf8_step(bytes.substr(i));
    if (step.truncated && keep_truncated) break;
    out->append("\xEF\xBF\xBD");
    i += step.length;
  }
  return i;
}

void append_utf8(char32_t c, std::string* out) {
  const auto put = [&](uint32_t byte) { out->push_back(static_cast<char>(static_cast<uint8_t>(byte))); };
  if (c < 0x80) {
    put(c);
  } else if (c < 0x800) {
    put(0xC0 | c >> 6), put(0x80 | (c & 0x3F));
  } else if (c < 0x10000) {
    put(0xE0 | c >> 12), put(0x80 | (c >> 6 & 0x3F)), put(0x80 | (c & 0x3F));
  } else {
    put(0xF0 | c >> 18), put(0x80 | (c >> 12 & 0x3F)), put(0x80 | (c >> 6 & 0x3F)), put(0x80 | (c & 0x3F));
  }
}

}  // namespace frugal::text
