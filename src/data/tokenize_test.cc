#include "data/tokenize.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace frugal::data {
namespace {

using Ids = std::vector<int32_t>;

std::vector<int32_t> bytes_as_ids(std::string_view text) {
  std::vector<int32_t> ids;
  for (const char c : text) ids.push_back(static_cast<uint8_t>(c));
  return ids;
}

std::vector<Document> documents(const std::vector<std::string>& texts) {
  std::vector<Document> out;
  for (const std::string& t : texts) out.push_back({t, "test"});
  return out;
}

TokenizedDocuments tokenize(const std::vector<Document>& documents, const TextEncoder& encoder) {
  ThreadPool pool(3);
  TokenizedDocuments out;
  append_tokens(documents, encoder, pool, &out);
  return out;
}
std::vector<Ids> ids(const TokenizedDocuments& documents) {
  std::vector<Ids> out;
  for (const auto& d : documents.documents) out.emplace_back(d.begin(), d.end());
  return out;
}

TEST(Tokenize, FramesDocumentsAndCountsBytes) {
  const TokenizedDocuments out = tokenize(documents({"ab", "", "é"}), {bytes_as_ids, 300, 301});
  EXPECT_EQ(ids(out), (std::vector<Ids>{{300, 'a', 'b', 301}, {300, 301}, {300, 0xC3, 0xA9, 301}}));
  EXPECT_EQ(out.tokens, 10);
  EXPECT_EQ(out.bytes, 4);
  EXPECT_EQ(out.count(), 3);
}

TEST(Tokenize, MissingBosOrEosIsLeftOut) {
  EXPECT_EQ(ids(tokenize(documents({"a", "b"}), {bytes_as_ids, -1, 301})),
            (std::vector<Ids>{{'a', 301}, {'b', 301}}));
  EXPECT_EQ(ids(tokenize(documents({"a", "b"}), {bytes_as_ids, 0, -1})),
            (std::vector<Ids>{{0, 'a'}, {0, 'b'}}));
  EXPECT_EQ(ids(tokenize(documents({"a", "", "b"}), {bytes_as_ids, -1, -1})),
            (std::vector<Ids>{{'a'}, {}, {'b'}}));
}

TEST(Tokenize, ConversationsAreFramedByTheirTemplate) {
  std::vector<Document> mixed = documents({"ab"});
  mixed.push_back({"<｜User｜>q<｜Assistant｜>a", "test", {{"user", "q"}, {"assistant", "a"}}});
  TextEncoder encoder{bytes_as_ids, 300, 301};
  encoder.encode_chat = [](std::span<const text::Message> m) {
    return Ids{300, 400, m[0].content[0], 401, m[1].content[0], 301};
  };
  const TokenizedDocuments out = tokenize(mixed, encoder);
  EXPECT_EQ(ids(out), (std::vector<Ids>{{300, 'a', 'b', 301}, {300, 400, 'q', 401, 'a', 301}}));
  EXPECT_EQ(out.bytes, 4);
}

TEST(Tokenize, NoDocuments) {
  const TokenizedDocuments out = tokenize(documents({}), {bytes_as_ids, 1, 2});
  EXPECT_EQ(out.count(), 0);
  EXPECT_EQ(TokenizedDocuments{}.count(), 0);
}

TEST(Tokenize, IdentityNamesTextsAndLengths) {
  const TextEncoder plain{bytes_as_ids, 300, 301}, without_bos{bytes_as_ids, -1, 301};
  const auto identity = [](const std::vector<std::string>& texts, const TextEncoder& e) {
    return tokenize(documents(texts), e).identity;
  };
  EXPECT_EQ(identity({"a", "b"}, plain), identity({"a", "b"}, plain));
  EXPECT_NE(identity({"a", "b"}, plain), identity({"b", "a"}, plain));
  EXPECT_NE(identity({"a", "b"}, plain), identity({"a", "c"}, plain));
  EXPECT_NE(identity({"a", "b"}, plain), identity({"a", "b"}, without_bos));
}

TextEncoder with_fim(double rate) {
  TextEncoder e{bytes_as_ids, 300, 301};
  e.fim_rate = rate;
  e.fim_begin_id = 400, e.fim_hole_id = 401, e.fim_end_id = 402;
  return e;
}

TEST(Fim, MiddleComesLastAndTheTextIsWhole) {
  for (int i = 0; i < 200; ++i) {
    std::string text;
    for (int k = 0; k <= i % 7; ++k) text += k % 2 == 0 ? "é" + std::to_string(i) : "🙂";
    const Ids out = encode_fim({text, "test"}, with_fim(1));
    const auto at = [&](int32_t id) { return std::find(out.begin(), out.end(), id) - out.begin(); };
    ASSERT_EQ(out[0], 300);
    ASSERT_EQ(out[1], 400);
    ASSERT_EQ(out.back(), 301);
    ASSERT_LT(at(401), at(402));
    const auto part = [&](int64_t begin, int64_t end) {
      std::string s;
      for (int64_t k = begin; k < end; ++k) s += static_cast<char>(out[k]);
      // Cut at characters.
      EXPECT_TRUE(s.empty() || (static_cast<uint8_t>(s[0]) & 0xC0) != 0x80) << text;
      return s;
    };
    const std::string prefix = part(2, at(401)), suffix = part(at(401) + 1, at(402)),
                      middle = part(at(402) + 1, static_cast<int64_t>(out.size()) - 1);
    ASSERT_EQ(prefix + middle + suffix, text);
  }
}

TEST(Fim, RateIsAShareAndChoicesAreNested) {
  int at_10 = 0, at_50 = 0;
  for (int i = 0; i < 4000; ++i) {
    const Document d{"document " + std::to_string(i), "test"};
    const bool low = !encode_fim(d, with_fim(0.1)).empty(), high = !encode_fim(d, with_fim(0.5)).empty();
    EXPECT_TRUE(!low || high);
    EXPECT_EQ(encode_fim(d, with_fim(0.5)), high ? encode_fim(d, with_fim(1)) : Ids{});
    at_10 += low;
    at_50 += high;
    EXPECT_TRUE(encode_fim(d, with_fim(0)).empty());
  }
  EXPECT_NEAR(at_10, 400, 60);
  EXPECT_NEAR(at_50, 2000, 110);
}

TEST(Fim, ConversationsAreLeftOutAndTrainingTakesTheFimForm) {
  Document chat{"<｜User｜>q<｜Assistant｜>a", "test", {{"user", "q"}, {"assistant", "a"}}};
  EXPECT_TRUE(encode_fim(chat, with_fim(1)).empty());
  EXPECT_EQ(ids(tokenize(documents({"some text"}), with_fim(1)))[0],
            encode_fim({"some text", ""}, with_fim(1)));
}

TEST(TokenizeDeathTest, NegativeIdIsAProgrammingError) {
  const TextEncoder broken{[](std::string_view) { return Ids{5, -1}; }, 1, 2};
  EXPECT_DEATH(tokenize(documents({"a"}), broken), "returned id -1 in test");
}

}  // namespace
}  // namespace frugal::data
