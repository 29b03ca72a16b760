#include "text/deepseek_split.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "text/pretokenizer.h"
#include "text/utf8.h"

namespace frugal::text {
namespace {

using Pieces = std::vector<std::string_view>;

std::vector<SplitStage> stages_of(int digits, bool capitals) {
  std::vector<SplitStage> stages;
  const auto add = [&](const std::string& pattern) {
    stages.push_back({pattern, Regex::Syntax::kPattern, "test"});
  };
  if (capitals) add(kCapitalsPattern);
  add(digits == 1 ? kOneDigitPattern : fmt::format(kDigitsPattern, digits));
  add(kCjkPattern);
  add(kMainPattern);
  return stages;
}

Pieces pieces(const PreTokenizer& p, std::string_view text) {
  Pieces list;
  MatchScratch scratch;
  p.split(text, scratch, [&](std::string_view piece) { list.emplace_back(piece); });
  return list;
}

// The splitter and its definition.
struct Variant {
  Variant(int digits, bool capitals)
      : fast(stages_of(digits, capitals)), regex(stages_of(digits, capitals), PreTokenizer::Method::kRegex) {
    EXPECT_TRUE(DeepSeekSplit::recognise(stages_of(digits, capitals)).has_value());
  }
  PreTokenizer fast, regex;
};

std::string utf8(char32_t c) {
  std::string text;
  append_utf8(c, &text);
  return text;
}

TEST(DeepSeekSplit, IsChosenForItsPatternsOnly) {
  std::vector<SplitStage> stages = stages_of(3, false);
  EXPECT_TRUE(DeepSeekSplit::recognise(stages).has_value());
  stages[2].pattern += "|x";
  EXPECT_FALSE(DeepSeekSplit::recognise(stages).has_value());
  stages = stages_of(3, false);
  stages[0].pattern = "\\p{N}{1,10}";
  EXPECT_FALSE(DeepSeekSplit::recognise(stages).has_value());
  stages = stages_of(3, true);
  std::swap(stages[0], stages[1]);
  EXPECT_FALSE(DeepSeekSplit::recognise(stages).has_value());
  stages = stages_of(3, false);
  stages[1].syntax = Regex::Syntax::kLiteral;
  EXPECT_FALSE(DeepSeekSplit::recognise(stages).has_value());
  stages = stages_of(3, false);
  stages.pop_back();
  EXPECT_FALSE(DeepSeekSplit::recognise(stages).has_value());
  EXPECT_FALSE(DeepSeekSplit::recognise({}).has_value());
}

TEST(DeepSeekSplit, PiecesByHand) {
  const PreTokenizer v3(stages_of(3, false)), spelling(stages_of(1, true));
  EXPECT_EQ(
      pieces(v3, "I'm 12345 \t\n\n  x  漢字ab—é!!\r\n\x01\x02z ア・イ\u3040x・\n"),
      (Pieces{"I", "'m",     " ",    "123",   "45", " \t\n\n", " ",  " x", "  ",     "漢字", "ab", "—",
              "é", "!!\r\n", "\x01", "\x02z", " ",  "ア",      "・", "イ", "\u3040", "x",    "・", "\n"}));
  EXPECT_EQ(pieces(spelling, "ABc 12 NASA's"),
            (Pieces{"A", "Bc", " ", "1", "2", " ", "N", "A", "S", "A", "'s"}));
}

// Every character between others, all of a page in one text; FRUGAL_FULL=1 takes those pages too that hold
// nothing but unassigned or private characters.
TEST(DeepSeekSplit, EveryCharacterIsCutAsThePatternsCut) {
  const Variant v3(3, false), spelling(1, true);
  const bool full = std::getenv("FRUGAL_FULL") != nullptr;
  for (char32_t page = 0; page < 0x1100; ++page) {
    if (!full && page > 0x330 && (page < 0xE00 || page > 0xE02) && page % 97 != 0 && page != 0x10FF) continue;
    std::string text;
    for (char32_t c = page << 8; c < (page + 1) << 8; ++c) {
      if (c >= 0xD800 && c <= 0xDFFF) continue;
      const std::string x = utf8(c);
      for (const char* around :
           {"a*b ", "*B!", "12*3", " **\n", "  * ", "\u0301*\u4E2D", "\x01*c", "'*d", "\r\n*"}) {
        for (const char* p = around; *p != '\0'; ++p) *p == '*' ? text += x : text += *p;
      }
    }
    ASSERT_EQ(pieces(v3.fast, text), pieces(v3.regex, text)) << fmt::format("page U+{:04X}", page << 8);
    if (page < 0x20) {
      ASSERT_EQ(pieces(spelling.fast, text), pieces(spelling.regex, text))
          << fmt::format("page U+{:04X}", page << 8);
    }
  }
}

// What random texts are made of: of every general category, of every range that the patterns name the ends
// and their neighbours, and bytes that are not UTF-8.
std::vector<std::string> material() {
  std::vector<std::string> list = {"a",        "b",
                                   "z",        "A",
                                   "B",        "Z",
                                   "ab",       "AB",
                                   "0",        "7",
                                   "12345",    " ",
                                   " ",        " ",
                                   "  ",       "\t",
                                   "\n",       "\r",
                                   "\r\n",     "'",
                                   "!",        "(",
                                   "_",        "{",
                                   "\"",       "~",
                                   "@",        "[",
                                   "`",        "/",
                                   ":",        "\x01",
                                   "\v",       "\f",
                                   "\x1C",     "\x1F",
                                   "\x7F",     "\xFF",
                                   "\xC2",     "\xE4\xBD",
                                   "\xF0\x9F", "\xED\xA0\x80",
                                   "\xC0\x80", std::string(1, '\0')};
  for (const char32_t c : std::initializer_list<char32_t>{
           // Lu Ll Lt Lm Lo, Mn Mc Me, Nd Nl No, Pc Pd Ps Pe Pi Pf Po, Sm Sc Sk So, Zs Zl Zp, Cc Cf Co Cn
           0x00C9, 0x00E9, 0x0416, 0x0436, 0x01C5, 0x02B0, 0x00AA, 0x05D0, 0x0627, 0x0905, 0x0E01, 0xAC00,
           0x0301, 0x0903, 0x20DD, 0x0660, 0x0966, 0x2160, 0x3007, 0x00BD, 0x2460, 0xFF11, 0x203F, 0x2014,
           0x300C, 0x300D, 0x00AB, 0x00BB, 0x00BF, 0x3002, 0x2212, 0x20AC, 0x02C6, 0x00A9, 0x1F600, 0x1F3FD,
           0x00A0, 0x2003, 0x3000, 0x1680, 0x2028, 0x2029, 0x0085, 0x180E, 0x200B, 0x200D, 0xFEFF, 0x00AD,
           0xFE0F, 0xE000, 0xF8FF, 0x0378, 0x10FFFF, 0xE0041, 0x1D54F, 0x20000, 0x1F1E9, 0x0130,
           // the ends of the CJK ranges and their neighbours
           0x4E00, 0x4DFF, 0x9FA5, 0x9FA6, 0x3040, 0x303F, 0x3097, 0x3099, 0x309F, 0x30A0, 0x30FB, 0x30FF,
           0x3100, 0x4E2D, 0x6587})
    list.push_back(utf8(c));
  return list;
}

TEST(DeepSeekSplit, RandomTextsAreCutAsThePatternsCut) {
  const std::vector<std::string> parts = material();
  const Variant variants[] = {{3, false}, {1, true}, {2, true}, {9, false}};
  std::mt19937 random(11);
  for (int round = 0; round < 40000; ++round) {
    const Variant& v = variants[static_cast<size_t>(round) % 4];
    std::string text;
    // A few parts over and over make runs; all of them make neighbours.
    const size_t among = round % 2 == 0 ? parts.size() : 4;
    Pieces chosen;
    for (size_t i = 0; i < among; ++i) chosen.push_back(parts[random() % parts.size()]);
    for (size_t n = random() % 24; n > 0; --n) text += chosen[random() % among];
    ASSERT_EQ(pieces(v.fast, text), pieces(v.regex, text))
        << testing::PrintToString(text) << " round " << round;
  }
}

}  // namespace
}  // namespace frugal::text
