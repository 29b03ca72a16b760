#include "data/tokenize.h"

#include <gtest/gtest.h>

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

TEST(Tokenize, FramesDocumentsAndCountsBytes) {
  const TokenizedDocuments out = tokenize(documents({"ab", "", "é"}), {bytes_as_ids, 300, 301});
  EXPECT_EQ(out.tokens, (Ids{300, 'a', 'b', 301, 300, 301, 300, 0xC3, 0xA9, 301}));
  EXPECT_EQ(out.starts, (std::vector<int64_t>{0, 4, 6, 10}));
  EXPECT_EQ(out.bytes, 4);
  EXPECT_EQ(out.count(), 3);
}

TEST(Tokenize, MissingBosOrEosIsLeftOut) {
  EXPECT_EQ(tokenize(documents({"a", "b"}), {bytes_as_ids, -1, 301}).tokens, (Ids{'a', 301, 'b', 301}));
  EXPECT_EQ(tokenize(documents({"a", "b"}), {bytes_as_ids, 0, -1}).tokens, (Ids{0, 'a', 0, 'b'}));
  EXPECT_EQ(tokenize(documents({"a", "", "b"}), {bytes_as_ids, -1, -1}).starts,
            (std::vector<int64_t>{0, 1, 1, 2}));
}

TEST(Tokenize, ConversationsAreFramedByTheirTemplate) {
  std::vector<Document> mixed = documents({"ab"});
  mixed.push_back({"<｜User｜>q<｜Assistant｜>a", "test", {{"user", "q"}, {"assistant", "a"}}});
  TextEncoder encoder{bytes_as_ids, 300, 301};
  encoder.encode_chat = [](std::span<const text::Message> m) {
    return Ids{300, 400, m[0].content[0], 401, m[1].content[0], 301};
  };
  const TokenizedDocuments out = tokenize(mixed, encoder);
  EXPECT_EQ(out.tokens, (Ids{300, 'a', 'b', 301, 300, 400, 'q', 401, 'a', 301}));
  EXPECT_EQ(out.bytes, 4);
}

TEST(Tokenize, NoDocuments) {
  const TokenizedDocuments out = tokenize(documents({}), {bytes_as_ids, 1, 2});
  EXPECT_EQ(out.count(), 0);
  EXPECT_EQ(out.starts, std::vector<int64_t>{0});
  EXPECT_EQ(TokenizedDocuments{}.count(), 0);
}

TEST(TokenizeDeathTest, NegativeIdIsAProgrammingError) {
  const TextEncoder broken{[](std::string_view) { return Ids{5, -1}; }, 1, 2};
  EXPECT_DEATH(tokenize(documents({"a"}), broken), "returned id -1 in document 0");
}

}  // namespace
}  // namespace frugal::data
