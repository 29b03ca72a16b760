// UTF-8 as Unicode defines it (no surrogates, nothing above U+10FFFF, shortest form only), on bytes of any
// kind.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace frugal::text {

struct Utf8Step {
  size_t length;  // bytes of the sequence, at least 1
  bool well_formed;
  bool truncated;  // ill-formed only because the input ended: more bytes could still complete it
};

// Looks at the front of `bytes` (not empty): one well-formed character, or one maximal ill-formed subpart
// (Unicode 15, section 3.9, "U+FFFD Substitution of Maximal Subparts").
Utf8Step utf8_step(std::string_view bytes);

// Bytes at the front of `bytes` that are well-formed characters.
size_t well_formed_prefix(std::string_view bytes);

// Bytes at the front of `bytes` that belong to ill-formed subparts.
size_t ill_formed_prefix(std::string_view bytes);

// Appends `bytes` to `out` with one U+FFFD for each maximal ill-formed subpart. With `keep_truncated`, a
// character that is cut off at the end is left out instead. Returns how many bytes were consumed.
size_t append_repaired(std::string_view bytes, bool keep_truncated, std::string* out);

// Appends the character to `out`; `code_point` is a Unicode scalar value.
void append_utf8(char32_t code_point, std::string* out);

}  // namespace frugal::text
