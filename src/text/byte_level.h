// GPT-2's way to write any bytes as printable text (openai/gpt-2, encoder.py, bytes_to_unicode), which is how
// tokenizer.json stores byte-level tokens: printable Latin-1 bytes stand for themselves, the other 68 are
// U+0100 and up, in order of the byte.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace frugal::text {

// The character of each byte.
const std::array<char32_t, 256>& byte_characters();

// The bytes in order of their characters: '!' first, the byte 0xAD last.
const std::array<uint8_t, 256>& bytes_by_character();

std::string to_byte_level(std::string_view bytes);

// Nothing if `symbols` (well-formed UTF-8) has a character that stands for no byte.
std::optional<std::string> from_byte_level(std::string_view symbols);

}  // namespace frugal::text
