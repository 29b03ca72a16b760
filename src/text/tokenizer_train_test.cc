#include "text/tokenizer_train.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <random>
#include <set>

#include "base/error.h"

namespace frugal::text {
namespace {

Tokenizer train(std::vector<std::string_view> texts, int32_t vocab_size, TokenizerTrainOptions options = {}) {
  options.vocab_size = vocab_size;
  return train_tokenizer(texts, options);
}

std::vector<std::string> merges_of(const Tokenizer& tokenizer) {
  return nlohmann::json::parse(tokenizer.vocabulary_file())["model"]["merges"];
}

std::string message_of(std::vector<std::string_view> texts, int32_t vocab_size,
                       TokenizerTrainOptions options = {}) {
  try {
    train(std::move(texts), vocab_size, std::move(options));
  } catch (const Error& e) {
    return e.what();
  }
  return "accepted";
}

TEST(TokenizerTrain, MergesTheMostFrequentPairAndTheLowestIdsOfEqualOnes) {
  // aaabdaaabac: aa occurs 4 times (counting overlaps). Then (aa)a and ab occur twice each: ab has the lower
  // left id. Then (aa)(ab) twice, and no pair twice after that.
  const Tokenizer tokenizer = train({"aaabdaaabac"}, 300);
  EXPECT_EQ(merges_of(tokenizer), (std::vector<std::string>{"a a", "a b", "aa ab"}));
  EXPECT_EQ(tokenizer.vocab_size(), 3 + 256 + 3);  // smaller than asked for
}

TEST(TokenizerTrain, FirstIdsAreDeepSeekV3s) {
  const Tokenizer tokenizer = train({"aa aa aa"}, 261);
  EXPECT_EQ(tokenizer.token_text(0), "<｜begin▁of▁sentence｜>");
  EXPECT_EQ(tokenizer.token_text(1), "<｜end▁of▁sentence｜>");
  EXPECT_EQ(tokenizer.token_text(2), "<｜▁pad▁｜>");
  EXPECT_EQ(tokenizer.bos_id(), 0);
  EXPECT_EQ(tokenizer.eos_id(), 1);
  EXPECT_TRUE(tokenizer.add_bos_token());
  EXPECT_EQ(tokenizer.token_text(3), "!");
  EXPECT_EQ(tokenizer.token_text(67), "a");
  EXPECT_EQ(tokenizer.token_text(201), "\n");
  EXPECT_EQ(tokenizer.token_text(223), " ");
  EXPECT_EQ(tokenizer.token_text(258), "\xAD");
  std::set<std::string> bytes;
  for (int32_t id = 3; id < 259; ++id) bytes.insert(tokenizer.token_text(id));
  EXPECT_EQ(bytes.size(), 256u);
  EXPECT_EQ(tokenizer.token_text(259), "aa");
  EXPECT_EQ(tokenizer.token_text(260), " aa");
}

TEST(TokenizerTrain, DigitsPerPiece) {
  const std::string text = "12345 12345 12345";
  TokenizerTrainOptions one;
  one.digits = 1;
  EXPECT_EQ(train({text}, 300, one).encode("12345").size(), 5u);
  EXPECT_EQ(train({text}, 300).encode("12345").size(), 2u);  // 123 45
}

TEST(TokenizerTrain, MergesStayWithinPiecesAndOutsideSpecialTokens) {
  std::string text;
  for (int i = 0; i < 20; ++i) text += "ab, 中x<｜end▁of▁sentence｜>";
  const Tokenizer tokenizer = train({text}, 1000);
  for (int32_t id = 259; id < tokenizer.vocab_size(); ++id) {
    const std::string token = tokenizer.token_text(id);
    EXPECT_EQ(token.find("b,"), std::string::npos) << token;
    EXPECT_EQ(token.find("中x"), std::string::npos) << token;
    EXPECT_EQ(token.find("sentence"), std::string::npos) << token;
  }
}

TEST(TokenizerTrain, SameTextsGiveTheSameFileInAnyOrder) {
  const std::string a = "the cat sat on the mat", b = "a cat and a hat, the rat";
  EXPECT_EQ(train({a, b}, 300).vocabulary_file(), train({b, a}, 300).vocabulary_file());
  EXPECT_NE(train({a, b}, 300).vocabulary_file(), train({a, b}, 262).vocabulary_file());
}

// The same algorithm, counted anew in every step.
std::vector<std::string> naive_merges(const std::vector<std::string>& words, size_t new_tokens) {
  std::vector<std::string> tokens;  // by rank: bytes, then merges
  for (int c = 'a'; c <= 'c'; ++c) tokens.emplace_back(1, static_cast<char>(c));
  std::vector<std::vector<size_t>> texts;
  for (const std::string& word : words) {
    texts.emplace_back();
    for (const char c : word) texts.back().push_back(static_cast<size_t>(c - 'a'));
  }
  std::vector<std::string> merges;
  for (size_t target = tokens.size() + new_tokens; tokens.size() < target;) {
    std::map<std::pair<size_t, size_t>, int> counts;
    for (const auto& text : texts) {
      for (size_t i = 0; i + 1 < text.size(); ++i) ++counts[{text[i], text[i + 1]}];
    }
    std::pair<size_t, size_t> best;
    int most = 1;
    for (const auto& [pair, count] : counts) {
      if (count > most) best = pair, most = count;
    }
    if (most < 2) break;
    const std::string joined = tokens[best.first] + tokens[best.second];
    EXPECT_EQ(std::count(tokens.begin(), tokens.end(), joined), 0) << joined;
    const size_t id = tokens.size();
    merges.push_back(tokens[best.first] + " " + tokens[best.second]);
    tokens.push_back(joined);
    for (auto& text : texts) {
      for (size_t i = 0; i + 1 < text.size(); ++i) {
        if (text[i] != best.first || text[i + 1] != best.second) continue;
        text[i] = id;
        text.erase(text.begin() + static_cast<std::ptrdiff_t>(i) + 1);
      }
    }
  }
  return merges;
}

TEST(TokenizerTrain, IncrementalCountsEqualCountingAnew) {
  std::mt19937 random(7);
  for (int round = 0; round < 100; ++round) {
    std::vector<std::string> words(1 + random() % 12);
    std::vector<std::string_view> texts;
    for (std::string& word : words) {
      word.resize(2 + random() % 40);
      for (char& c : word) c = static_cast<char>('a' + random() % (1 + static_cast<unsigned>(round) % 3));
      texts.push_back(word);
    }
    const size_t new_tokens = 1 + random() % 40;
    const Tokenizer tokenizer = train(texts, 259 + static_cast<int32_t>(new_tokens));
    ASSERT_EQ(merges_of(tokenizer), naive_merges(words, new_tokens)) << "round " << round;
  }
}

// Text of many distinct words, in lines of many lengths, with characters of every kind.
std::string varied_text(size_t bytes) {
  std::mt19937 random(5);
  const char* parts[] = {"the", "of",  " ", " ",    " ",  "\n", "\r\n", "\n\n",
                         "\t",  "123", "é", "漢字", "。", ", ", "'s",   "(x)"};
  std::string text;
  while (text.size() < bytes) {
    if (random() % 3 > 0) {
      text += parts[random() % std::size(parts)];
      continue;
    }
    for (auto n = 1 + random() % 6; n > 0; --n)
      text += static_cast<char>('a' + (random() % 9) * (random() % 9) / 9);
  }
  return text;
}

TEST(TokenizerTrain, ThreadsDoNotShow) {
  const std::string text = varied_text(2200000);
  const std::string_view view = text;
  TokenizerTrainOptions options;
  options.vocab_size = 330;
  std::string files[2];
  for (const int threads : {1, 3}) {
    ThreadPool pool(threads);
    TokenizerTrainer trainer(options, pool);
    trainer.add({&view, 1});
    files[threads / 2] = trainer.finish().vocabulary_file();
  }
  EXPECT_EQ(files[0], files[1]);
}

// A long text is counted in slices of 1 MiB or more. Each pattern, over and over, is what the end of a slice
// falls into; a piece that were cut there would be more tokens than in encoding.
TEST(TokenizerTrain, SlicesDoNotShow) {
  TokenizerTrainOptions options;
  options.vocab_size = 330;
  options.added_tokens = {"of the", "\n\nx"};
  ThreadPool pool(1);
  for (const std::string pattern : {"abcdefghij ", "x\n\n  \n", "b\n\u3000\u00A0\ny", "b!\r\n\n",
                                    "b of the q", "a\n\nx", "1234567\n", "漢字ア・\n漢字"}) {
    for (size_t shift = 0; shift < pattern.size(); shift += 2) {
      std::string text(shift, 'z');
      while (text.size() < (1 << 20) + 1000) text += pattern;
      TokenizerTrainer trainer(options, pool);
      const std::string_view view = text;
      trainer.add({&view, 1});
      const Tokenizer tokenizer = trainer.finish();
      ASSERT_EQ(trainer.tokens(), static_cast<int64_t>(tokenizer.encode(text).size())) << pattern << shift;
    }
  }
}

TEST(TokenizerTrain, CountsTheTokensOfTheText) {
  const std::string text = varied_text(200000) + "<｜User｜> \xFF\xFE";
  TokenizerTrainOptions options;
  options.vocab_size = 500;
  options.added_tokens = {"<｜User｜>"};
  ThreadPool pool(2);
  TokenizerTrainer trainer(options, pool);
  const std::string_view view = text;
  trainer.add({&view, 1});
  const Tokenizer tokenizer = trainer.finish();
  EXPECT_EQ(trainer.bytes(), static_cast<int64_t>(text.size()));
  EXPECT_EQ(trainer.tokens(), static_cast<int64_t>(tokenizer.encode(text).size()));
  EXPECT_EQ(trainer.forgotten(), 0);
}

// More distinct words than the memory holds: the rarest go, the same with any number of threads.
TEST(TokenizerTrain, RarePiecesAreForgottenWhenMemoryIsFull) {
  std::string text;
  for (uint32_t i = 0; i < 100000; ++i) {
    text += "often again ";
    for (uint32_t x = i * 2654435761u; x != 0; x /= 20) text += static_cast<char>('a' + x % 20);
    text += '\n';
  }
  std::string files[2];
  for (const int threads : {1, 3}) {
    TokenizerTrainOptions options;
    options.vocab_size = 400;
    options.memory = TokenizerTrainOptions::kLeastMemory;
    ThreadPool pool(threads);
    TokenizerTrainer trainer(options, pool);
    for (size_t at = 0; at < text.size(); at += text.size() / 3) {
      const std::string_view part = std::string_view(text).substr(at, text.size() / 3);
      trainer.add({&part, 1});
    }
    files[threads / 2] = trainer.finish().vocabulary_file();
    EXPECT_GT(trainer.forgotten(), 20000);
    EXPECT_LT(trainer.forgotten(), 110000);
  }
  EXPECT_EQ(files[0], files[1]);
  EXPECT_NE(files[0].find("\"Ġagain\""), std::string::npos);
}

TEST(TokenizerTrain, ReportsProgress) {
  TokenizerTrainOptions options;
  options.vocab_size = 800;
  ThreadPool pool(1);
  std::vector<std::pair<int64_t, int32_t>> reports;
  TokenizerTrainer trainer(options, pool,
                           [&](int64_t bytes, int32_t vocab) { reports.emplace_back(bytes, vocab); });
  const std::string text = varied_text(100000);
  const std::string_view view = text;
  trainer.add({&view, 1});
  trainer.add({&view, 1});
  trainer.finish();
  const auto n = static_cast<int64_t>(text.size());
  EXPECT_EQ(reports,
            (std::vector<std::pair<int64_t, int32_t>>{{n, 0}, {2 * n, 0}, {2 * n, 515}, {2 * n, 771}}));
}

TEST(TokenizerTrain, AddedTokensComeLast) {
  TokenizerTrainOptions options;
  options.added_tokens = {"<｜User｜>", "<｜Assistant｜>"};
  const Tokenizer tokenizer = train({"hello hello hello <｜User｜>"}, 270, options);
  const int32_t n = tokenizer.vocab_size();
  EXPECT_EQ(tokenizer.find_added("<｜User｜>"), n - 2);
  EXPECT_EQ(tokenizer.find_added("<｜Assistant｜>"), n - 1);
  EXPECT_FALSE(tokenizer.is_special(n - 1));
  EXPECT_EQ(tokenizer.encode("<｜Assistant｜>"), (std::vector<int32_t>{n - 1}));
}

TEST(TokenizerTrain, BytesThatAreNotUtf8AreLearnt) {
  std::string text;
  for (int i = 0; i < 4; ++i) text += "x\xFF\xFE";
  const Tokenizer tokenizer = train({text}, 260);
  EXPECT_EQ(tokenizer.token_text(259), "\xFF\xFE");
}

TEST(TokenizerTrain, BadOptionsAreErrors) {
  EXPECT_NE(message_of({"abc"}, 258).find("a vocabulary of 258 is not possible; choose 259"),
            std::string::npos);
  EXPECT_NE(message_of({"abc"}, -1).find("a vocabulary of -1"), std::string::npos);
  EXPECT_EQ(message_of({"abc"}, 259), "accepted");
  EXPECT_NE(message_of({}, 300).find("there is no text"), std::string::npos);
  EXPECT_NE(message_of({"", ""}, 300).find("there is no text"), std::string::npos);
  TokenizerTrainOptions options;
  options.digits = 0;
  EXPECT_NE(message_of({"abc"}, 300, options).find("digits"), std::string::npos);
  options = {};
  options.min_count = 0;
  EXPECT_NE(message_of({"abc"}, 300, options).find("min_count"), std::string::npos);
  options = {};
  options.memory = 1 << 20;
  EXPECT_NE(message_of({"abc"}, 300, options).find("memory"), std::string::npos);
  for (const char* token : {"", "\xFF", "a", "é", "Ġt", "<｜▁pad▁｜>"}) {
    options = {};
    options.added_tokens = {token};
    EXPECT_NE(message_of({"abc"}, 300, options).find("special token"), std::string::npos) << token;
  }
}

TEST(TokenizerTrain, OtherSpecialTokens) {
  TokenizerTrainOptions options;
  options.special_tokens = {"<|endoftext|>"};
  const Tokenizer tokenizer = train({"ab ab<|endoftext|>"}, 300, options);
  EXPECT_EQ(tokenizer.bos_id(), 0);
  EXPECT_EQ(tokenizer.eos_id(), -1);
  EXPECT_EQ(tokenizer.encode("<|endoftext|>"), (std::vector<int32_t>{0}));
  EXPECT_EQ(tokenizer.decode(tokenizer.encode("<|endoftext|>", false)), "<|endoftext|>");
  options.special_tokens = {};
  EXPECT_EQ(train({"ab ab"}, 300, options).bos_id(), -1);
}

}  // namespace
}  // namespace frugal::text
