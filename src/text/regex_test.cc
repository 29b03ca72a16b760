#include "text/regex.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "base/error.h"
#include "text/utf8.h"

namespace frugal::text {
namespace {

bool matches(const std::string& pattern, const std::string& subject) {
  const Regex regex(pattern, Regex::Syntax::kPattern, "test");
  MatchScratch scratch;
  size_t begin = 0, end = 0;
  return regex.find(subject, 0, scratch, &begin, &end) && begin == 0 && end == subject.size();
}

std::string refusal(const std::string& pattern) {
  try {
    const Regex regex(pattern, Regex::Syntax::kPattern, "the field");
  } catch (const Error& e) {
    return e.what();
  }
  return "accepted";
}

// PropList.txt, White_Space.
bool is_white_space(char32_t c) {
  return (c >= 0x9 && c <= 0xD) || c == 0x20 || c == 0x85 || c == 0xA0 || c == 0x1680 ||
         (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F || c == 0x205F ||
         c == 0x3000;
}

TEST(Regex, SpaceIsWhiteSpaceInsideAndOutsideClasses) {
  const Regex in("\\s", Regex::Syntax::kPattern, "test"), in_class("[\\s]", Regex::Syntax::kPattern, "test");
  const Regex out("\\S", Regex::Syntax::kPattern, "test"),
      out_class("[\\S]", Regex::Syntax::kPattern, "test");
  const Regex negated("[^\\s]", Regex::Syntax::kPattern, "test");
  MatchScratch scratch;
  size_t begin = 0, end = 0;
  for (char32_t c = 0; c < 0x110000; ++c) {
    if (c >= 0xD800 && c < 0xE000) continue;
    if (c > 0x3100 && c < 0x10FF00 && c % 251 != 0 && c != 0xFEFF) continue;  // nothing happens there
    std::string text;
    append_utf8(c, &text);
    const bool space = is_white_space(c);
    ASSERT_EQ(in.find(text, 0, scratch, &begin, &end), space) << static_cast<uint32_t>(c);
    ASSERT_EQ(in_class.find(text, 0, scratch, &begin, &end), space) << static_cast<uint32_t>(c);
    ASSERT_EQ(out.find(text, 0, scratch, &begin, &end), !space) << static_cast<uint32_t>(c);
    ASSERT_EQ(out_class.find(text, 0, scratch, &begin, &end), !space) << static_cast<uint32_t>(c);
    ASSERT_EQ(negated.find(text, 0, scratch, &begin, &end), !space) << static_cast<uint32_t>(c);
  }
}

TEST(Regex, WordCharactersAreOnigurumas) {
  EXPECT_TRUE(matches("\\w+", "a\u0301_9\u203F"));  // letter, mark, underscore, digit, connector
  EXPECT_FALSE(matches("\\w", "\u00BD"));           // a number that is no decimal digit
  EXPECT_TRUE(matches("\\W", "\u00BD"));
}

TEST(Regex, DollarAndCaretWorkOnLines) {
  EXPECT_FALSE(matches("a$b", "ab"));
  EXPECT_TRUE(matches("a$\n^b", "a\nb"));
}

TEST(Regex, ScriptsAreScriptsNotExtensions) {
  EXPECT_TRUE(matches("\\p{Han}+", "漢字"));
  EXPECT_FALSE(matches("\\p{Han}", "\u3001"));  // Han only by Script_Extensions
  EXPECT_FALSE(matches("[\\p{Han}]", "\u3001"));
}

TEST(Regex, EscapesOfCodePoints) {
  EXPECT_TRUE(matches("[\\u3040-\\u309F]+", "\u3040\u3041"));
  EXPECT_TRUE(matches("\\x41\\x{1F600}", "A\U0001F600"));
  EXPECT_TRUE(matches("[\\-\\]\\[\\\\]+", "-][\\"));
  EXPECT_TRUE(matches("\\v", "\x0B"));
  EXPECT_FALSE(matches("\\v", "\n"));
}

TEST(Regex, CaseFoldingGroups) {
  EXPECT_TRUE(matches("(?i:'LL)x", "'llx"));
  EXPECT_FALSE(matches("(?i:'LL)x", "'llX"));
}

TEST(Regex, LiteralsAreNotPatterns) {
  const Regex regex("a.(", Regex::Syntax::kLiteral, "test");
  MatchScratch scratch;
  size_t begin = 0, end = 0;
  EXPECT_TRUE(regex.find("xxa.(", 0, scratch, &begin, &end));
  EXPECT_EQ(begin, 2u);
  EXPECT_FALSE(regex.find("ab(", 0, scratch, &begin, &end));
}

TEST(Regex, WhatTheEnginesReadDifferentlyIsRefused) {
  for (const char* pattern :
       {"\\h",    "\\bword", "a\\K",   "\\R",    "\\X",   "\\1",     "\\Qa\\E", "[a[b]]",  "[[:alpha:]]",
        "[a&&b]", "[]a]",    "(?m:a)", "a(?i)b", "(?x)a", "(*UTF)a", "(?R)",    "(?<n>a)", "a{1,3}+",
        "a{2}?",  "a{,3}",   "\\xFF",  "\\x{}",  "\\u12", "\\pL",    "[\\W]",   "[ab",     "a\\"}) {
    const std::string message = refusal(pattern);
    EXPECT_NE(message.find("is not supported"), std::string::npos) << pattern << ": " << message;
    EXPECT_EQ(message.find("the field: "), 0u) << message;
  }
  EXPECT_NE(refusal("(a").find("does not compile"), std::string::npos);
  EXPECT_NE(refusal("\\p{Nonsense}").find("does not compile"), std::string::npos);
  EXPECT_NE(refusal(std::string(1 << 17, 'a')).find("does not compile"), std::string::npos);
  for (const char* pattern : {"a*", "a?", "(?=a)", "a|"}) {
    EXPECT_NE(refusal(pattern).find("empty string"), std::string::npos) << pattern;
  }
}

TEST(Regex, RunawayPatternIsAnError) {
  const Regex regex("(?:a|a)+b", Regex::Syntax::kPattern, "test");
  MatchScratch scratch;
  size_t begin = 0, end = 0;
  EXPECT_THROW(regex.find(std::string(1000, 'a') + "cb", 0, scratch, &begin, &end), Error);
}

// Groups keep their backtracking points on a small stack when compiled; the way around it must work too.
TEST(Regex, LongMatchesDoNotRunOutOfStack) {
  const Regex regex("(?:[ab]|c[de])+", Regex::Syntax::kPattern, "test");
  MatchScratch scratch;
  size_t begin = 0, end = 0;
  const std::string text(200'000, 'a');
  EXPECT_TRUE(regex.find(text, 0, scratch, &begin, &end));
  EXPECT_EQ(end, text.size());
}

}  // namespace
}  // namespace frugal::text
