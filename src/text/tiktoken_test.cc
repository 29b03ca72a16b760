#include "text/tiktoken.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <map>
#include <random>

#include "base/error.h"
#include "base/files.h"
#include "text/tokenizer.h"

namespace frugal::text {
namespace {

using Ids = std::vector<int32_t>;

std::string to_base64(std::string_view bytes) {
  constexpr std::string_view kDigits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string text;
  for (size_t i = 0; i < bytes.size(); i += 3) {
    uint32_t bits = 0;
    for (size_t j = 0; j < 3; ++j)
      bits = bits << 8 | (i + j < bytes.size() ? static_cast<uint8_t>(bytes[i + j]) : 0u);
    for (size_t j = 0; j < 4; ++j)
      text += i + j <= bytes.size() ? kDigits[bits >> (18 - 6 * j) & 63] : '=';
  }
  return text;
}

constexpr const char* kConfig = R"({"tokenizer_class": "TikTokenTokenizer", "bos_token": "[BOS]", "eos_token": "[EOS]",
  "added_tokens_decoder": {"270": {"content": "[BOS]", "special": true}, "271": {"content": "[EOS]", "special": true},
                           "275": {"content": "<|tool|>", "special": false}}})";

// The bytes and 14 tokens, several of which can be made in two ways.
std::vector<std::string> tokens() {
  std::vector<std::string> all;
  for (int byte = 255; byte >= 0; --byte) all.emplace_back(1, static_cast<char>(byte));
  for (const char* more : {"aa", "aaa", "ab", "ba", "aba", "bab", "abab", " a", "he", "ll", "hello", "lo", "hell", "你"})
    all.emplace_back(more);
  return all;
}
std::string ranks_of(const std::vector<std::string>& tokens) {
  std::string text;
  for (size_t i = 0; i < tokens.size(); ++i) text += to_base64(tokens[i]) + " " + std::to_string(i) + "\n";
  return text;
}
Tokenizer small() {
  static const Tokenizer tokenizer = Tokenizer::parse_tiktoken(ranks_of(tokens()), "ranks", kConfig);
  return tokenizer;
}

// tiktoken's rule, word for word: while two neighbours' bytes together are a token, those of the lowest rank merge,
// the leftmost of equals.
Ids merged(const std::map<std::string, int32_t>& ranks, const std::string& piece) {
  if (ranks.contains(piece)) return {ranks.at(piece)};
  std::vector<std::string> parts;
  for (const char c : piece) parts.emplace_back(1, c);
  while (true) {
    int32_t best = -1;
    size_t at = 0;
    for (size_t i = 0; i + 1 < parts.size(); ++i) {
      const auto found = ranks.find(parts[i] + parts[i + 1]);
      if (found == ranks.end() || (best >= 0 && found->second >= best)) continue;
      best = found->second;
      at = i;
    }
    if (best < 0) break;
    parts[at] += parts[at + 1];
    parts.erase(parts.begin() + static_cast<std::ptrdiff_t>(at) + 1);
  }
  Ids ids;
  for (const std::string& part : parts) ids.push_back(ranks.at(part));
  return ids;
}

TEST(Tiktoken, MergesByTheRankOfTheResult) {
  std::map<std::string, int32_t> ranks;
  for (const std::string& token : tokens()) ranks.emplace(token, static_cast<int32_t>(ranks.size()));
  std::mt19937 random(5);
  for (int i = 0; i < 3000; ++i) {
    std::string piece(1 + random() % 40, 'a');
    for (char& c : piece) c = "aabh"[random() % 4];
    ASSERT_EQ(small().encode(piece), merged(ranks, piece)) << piece;
  }
  for (const char* word : {"hello", "hell", "helloa", "ahell"}) EXPECT_EQ(small().encode(word), merged(ranks, word));
}

std::vector<std::string> pieces(std::string_view text) {
  const TokenizerSpec spec = parse_tiktoken(ranks_of(tokens()), "ranks", kConfig, "config");
  std::vector<std::string> found;
  MatchScratch scratch;
  PreTokenizer(spec.stages).split(text, scratch, [&](std::string_view p) { found.emplace_back(p); });
  return found;
}

// Each expectation follows from the pattern by hand.
TEST(Tiktoken, TextIsCutAsByTheClassesPattern) {
  using Pieces = std::vector<std::string>;
  EXPECT_EQ(pieces("HelloWorld HTMLParser don't I'LL"),
            (Pieces{"Hello", "World", " HTMLParser", " don't", " I'LL"}));
  EXPECT_EQ(pieces("你好world 你好 中A1234567"),
            (Pieces{"你好", "world", " ", "你好", " ", "中", "A", "123", "456", "7"}));
  EXPECT_EQ(pieces("f(x)=y;\r\n\r\n  z\t\n"), (Pieces{"f", "(x", ")=", "y", ";\r\n\r\n", " ", " z", "\t\n"}));
  EXPECT_EQ(pieces("naïve ÉLAN a\u0301b 々x こんにちは 안녕"),
            (Pieces{"naïve", " ÉLAN", " a\u0301b", " ", "々", "x", " こんにちは", " 안녕"}));
  EXPECT_EQ(pieces("it'ſ a   b  "), (Pieces{"it'ſ", " a", "  ", " b", "  "}));  // ſ is a lower-case s
}

TEST(Tiktoken, SpecialTokensStandBehindTheRanks) {
  const Tokenizer t = small();
  EXPECT_EQ(t.vocab_size(), 270 + 256);
  EXPECT_EQ(t.bos_id(), 270);
  EXPECT_EQ(t.eos_id(), 271);
  EXPECT_EQ(t.encode("[BOS]aa<|tool|><|reserved_token_272|>"), (Ids{270, 256, 275, 272}));
  EXPECT_NE(t.encode("[BOS]", false), Ids{270});
  EXPECT_EQ(t.decode(Ids{270, 256, 275, 272}, true), "aa<|tool|>");
}

TEST(Tiktoken, SavedFilesLoadAgainByteForByte) {
  const std::string directory = (std::filesystem::temp_directory_path() / "frugal_tiktoken_test").string();
  std::filesystem::remove_all(directory);
  small().save(directory);
  EXPECT_EQ(read_file(directory + "/tiktoken.model"), ranks_of(tokens()));
  EXPECT_EQ(Tokenizer::find(directory), directory + "/tiktoken.model");
  EXPECT_EQ(Tokenizer::load(directory).encode("hello 你 aba"), small().encode("hello 你 aba"));
  EXPECT_EQ(Tokenizer::load(directory + "/tiktoken.model").bos_id(), 270);
  std::filesystem::remove_all(directory);
}

void expect_error(const std::string& ranks, const std::string& config, const std::string& text) {
  try {
    Tokenizer::parse_tiktoken(ranks, "ranks", config, "config");
    ADD_FAILURE() << "no error: " << text;
  } catch (const Error& e) {
    EXPECT_NE(std::string(e.what()).find(text), std::string::npos) << e.what();
  }
}

TEST(Tiktoken, BadFilesAreErrorsThatNameTheLine) {
  const std::string good = ranks_of(tokens());
  const auto with = [&](const std::string& line) { return good + line + "\n"; };
  expect_error(good, "", "config: is missing");
  expect_error("", kConfig, "no token for the byte 0x00");
  expect_error(with("YWI="), kConfig, "ranks: line 271: is not a token in base64 and its rank");
  expect_error(with("YWI= -1"), kConfig, "line 271");
  expect_error(with("YWI= 99999999999999999999999"), kConfig, "line 271");
  expect_error(with("YWI= 270 "), kConfig, "line 271");
  expect_error(with("YWI 270"), kConfig, "not base64");
  expect_error(with("Y=I= 270"), kConfig, "not base64");
  expect_error(with(" 270"), kConfig, "not base64");
  expect_error(with(to_base64(std::string(257, 'a')) + " 270"), kConfig, "1 to 256 bytes");
  expect_error(with("YWJj 5"), kConfig, "rank 5 occurs twice");
  expect_error(with("YWJj 271"), kConfig, "rank 271 in a file of 271 tokens");
  expect_error(with(to_base64("aba") + " 270"), kConfig, "ranks 260 and 270 have the same token");
  expect_error(good.substr(good.find('\n') + 1), kConfig, "rank 269 in a file of 269 tokens");

  const auto config = [](const std::string& from, const std::string& to) {
    std::string text = kConfig;
    return text.replace(text.find(from), from.size(), to);
  };
  expect_error(good, config("TikTokenTokenizer", "LlamaTokenizer"), "\"LlamaTokenizer\": ranks is read as");
  expect_error(good, config("\"270\"", "\"269\""), "is no id of a special token: these are 270 to 525");
  expect_error(good, config("\"270\"", "\"526\""), "is no id of a special token");
  expect_error(good, config("\"275\"", "\"0270\""), "is given twice");
  expect_error(good, config("\"270\"", "\"27x\""), "is no id of a special token");
  expect_error(good, config("\"<|tool|>\"", "\"\""), "an empty token");
  expect_error(good, config("\"<|tool|>\"", "\"[EOS]\""), "\"[EOS]\" is both 271 and 275");
  expect_error(good, config("\"bos_token\": \"[BOS]\"", "\"bos_token\": \"[X]\""), "\"[X]\" is not in the vocabulary");
}

}  // namespace
}  // namespace frugal::text
