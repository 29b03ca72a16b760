#include "text/utf8.h"

#include <gtest/gtest.h>

namespace frugal::text {
namespace {

std::string repaired(std::string_view bytes) {
  std::string text;
  EXPECT_EQ(append_repaired(bytes, false, &text), bytes.size());
  return text;
}

const std::string kFffd = "\xEF\xBF\xBD";

std::string fffd(int n) {
  std::string text;
  for (int i = 0; i < n; ++i) text += kFffd;
  return text;
}

// Unicode standard, section 3.9, tables 3-8 to 3-11.
TEST(Utf8, OneReplacementForEachMaximalIllFormedSubpart) {
  EXPECT_EQ(repaired("\xC0\xAF\xE0\x80\xBF\xF0\x81\x82\x41"), fffd(8) + "A");
  EXPECT_EQ(repaired("\xED\xA0\x80\xED\xBF\xBF\xED\xAF\x41"), fffd(8) + "A");
  EXPECT_EQ(repaired("\xF4\x91\x92\x93\xFF\x41\x80\xBF\x42"), fffd(5) + "A" + fffd(2) + "B");
  EXPECT_EQ(repaired("\xE1\x80\xE2\xF0\x91\x92\xF1\xBF\x41"), fffd(4) + "A");
}

TEST(Utf8, EveryScalarValueIsWellFormedAndNothingElseIs) {
  for (char32_t c = 0; c < 0x110000; ++c) {
    std::string bytes;
    append_utf8(c, &bytes);
    const bool surrogate = c >= 0xD800 && c < 0xE000;
    ASSERT_EQ(well_formed_prefix(bytes) == bytes.size(), !surrogate) << static_cast<uint32_t>(c);
    ASSERT_EQ(ill_formed_prefix(bytes), surrogate ? 3u : 0u) << static_cast<uint32_t>(c);
  }
}

TEST(Utf8, AsciiBeforeAnIllFormedByteIsFoundAtEveryOffset) {
  for (size_t n = 0; n < 40; ++n) {
    EXPECT_EQ(well_formed_prefix(std::string(n, 'x') + "\xFFzzzzzzzzz"), n);
  }
}

TEST(Utf8, TruncatedCharacterCanBeKept) {
  std::string text;
  EXPECT_EQ(append_repaired("a\xF0\x9F\x98", true, &text), 1u);
  EXPECT_EQ(text, "a");
  text.clear();
  EXPECT_EQ(append_repaired("a\xF0\x9F\x41", true, &text),
            4u);  // not truncated: it can never become well-formed
  EXPECT_EQ(text, "a" + kFffd + "A");
}

}  // namespace
}  // namespace frugal::text
