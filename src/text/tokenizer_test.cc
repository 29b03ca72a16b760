#include "text/tokenizer.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <functional>
#include <map>
#include <nlohmann/json.hpp>
#include <random>
#include <thread>

#include "base/error.h"
#include "base/files.h"
#include "text/tokenizer_train.h"

namespace frugal::text {
namespace {

using Ids = std::vector<int32_t>;
using nlohmann::json;

constexpr const char* kText =
    "First Citizen: Before we proceed any further, hear me speak.\n\nAll: Speak, speak!\r\n"
    "It's 1234 o'clock; the café's naïve élite shouldn't \t wait.   你好，世界！こんにちは 안녕 "
    "🤖🚀 "
    "<｜User｜>hi\n";

Tokenizer small() {
  static const Tokenizer tokenizer = [] {
    std::string text;
    for (int i = 0; i < 5; ++i) text += kText;
    const std::string_view view = text;
    TokenizerTrainOptions options;
    options.vocab_size = 400;
    options.added_tokens = {"<｜User｜>"};
    return train_tokenizer({&view, 1}, options);
  }();
  return tokenizer;
}

std::string joined(const Tokenizer& tokenizer, const Ids& ids) {
  std::string bytes;
  for (const int32_t id : ids) bytes += tokenizer.token_text(id);
  return bytes;
}

std::string scratch_directory(const std::string& name) {
  const auto path = std::filesystem::temp_directory_path() / ("frugal_tokenizer_test_" + name);
  std::filesystem::remove_all(path);
  return path.string();
}

std::string random_bytes(std::mt19937& random, size_t n) {
  std::string bytes(n, '\0');
  for (char& c : bytes) c = static_cast<char>(static_cast<uint8_t>(random()));
  return bytes;
}

// --- golden cases ---

std::string golden_directory() {
  const char* set = std::getenv("FRUGAL_GOLDEN_DIR");
  return set != nullptr && *set != '\0' ? std::string(set) + "/j_tokenizer" : "";
}

void check_golden(const std::string& directory) {
  const Tokenizer tokenizer = Tokenizer::load(directory);
  const json golden = json::parse(read_file(directory + "/cases.json"));
  size_t checked = 0;
  for (const json& c : golden.at("cases")) {
    const Ids ids = tokenizer.encode(c.at("text").get<std::string>());
    EXPECT_EQ(ids, c.at("ids").get<Ids>()) << c.at("text");
    EXPECT_EQ(tokenizer.decode(ids), c.at("text").get<std::string>());
    ++checked;
  }
  for (const json& c : golden.at("decode_cases")) {
    EXPECT_EQ(tokenizer.decode(c.at("ids").get<Ids>()), c.at("text").get<std::string>());
    ++checked;
  }
  for (const json& c : golden.at("decode_special_cases")) {
    const Ids ids = c.at("ids");
    EXPECT_EQ(tokenizer.decode(ids), c.at("text").get<std::string>());
    EXPECT_EQ(tokenizer.decode(ids, true), c.at("text_skip_special_tokens").get<std::string>());
    ++checked;
  }
  EXPECT_GT(checked, 250u);
}

TEST(TokenizerGolden, DeepSeekV3) {
  if (golden_directory().empty())
    GTEST_SKIP() << "FRUGAL_GOLDEN_DIR is not set: DeepSeek-V3's ids are not checked";
  check_golden(golden_directory() + "/deepseek_v3");
  const Tokenizer tokenizer = Tokenizer::load(golden_directory() + "/deepseek_v3/tokenizer.json");
  EXPECT_EQ(tokenizer.vocab_size(), 128815);
  EXPECT_EQ(tokenizer.bos_id(), 0);  // the config beside the file is read
  EXPECT_EQ(tokenizer.eos_id(), 1);
  EXPECT_TRUE(tokenizer.add_bos_token());
  EXPECT_FALSE(tokenizer.add_eos_token());
}

TEST(TokenizerGolden, Gpt2) {
  if (golden_directory().empty()) GTEST_SKIP() << "FRUGAL_GOLDEN_DIR is not set: GPT-2's ids are not checked";
  check_golden(golden_directory() + "/gpt2");
  EXPECT_EQ(Tokenizer::load(golden_directory() + "/gpt2").eos_id(), 50256);
}

// --- encoding and decoding ---

TEST(Tokenizer, RoundTripOfText) {
  const Ids ids = small().encode(kText);
  EXPECT_LT(ids.size(), std::string_view(kText).size() / 2);
  EXPECT_EQ(small().decode(ids), kText);
  EXPECT_TRUE(small().encode("").empty());
  EXPECT_EQ(small().decode({}), "");
}

TEST(Tokenizer, RoundTripOfAnyBytes) {
  std::mt19937 random(1);
  for (size_t n = 0; n < 300; ++n) {
    const std::string bytes = random_bytes(random, n);
    ASSERT_EQ(joined(small(), small().encode(bytes)), bytes);
    // Text with a few damaged bytes.
    std::string text = std::string(kText).substr(0, n);
    if (n > 0) text[random() % text.size()] = static_cast<char>(random());
    ASSERT_EQ(joined(small(), small().encode(text)), text);
  }
}

TEST(Tokenizer, IllFormedBytesArePiecesOfTheirOwn) {
  const Ids whole = small().encode("speak\xFF\xFEspeak");
  Ids parts = small().encode("speak");
  for (const char* part : {"\xFF\xFE", "speak"}) {
    const Ids more = small().encode(part);
    parts.insert(parts.end(), more.begin(), more.end());
  }
  EXPECT_EQ(whole, parts);
}

// Byte-pair encoding as its definition says, without any data structure.
Ids naive_encode(const Tokenizer& tokenizer, const std::string& piece) {
  std::map<std::pair<std::string, std::string>, size_t> ranks;
  std::map<std::string, int32_t> ids;
  const std::vector<std::string> merges = json::parse(tokenizer.vocabulary_file()).at("model").at("merges");
  for (const std::string& merge : merges) {
    const size_t space = merge.find(' ');
    ranks.emplace(std::pair(merge.substr(0, space), merge.substr(space + 1)), ranks.size());
  }
  for (int32_t id = 0; id < tokenizer.vocab_size(); ++id) ids[tokenizer.token_text(id)] = id;
  std::vector<std::string> symbols;
  for (const char c : piece) symbols.emplace_back(1, c);
  while (true) {
    size_t best = 0, lowest = ranks.size();
    for (size_t i = 0; i + 1 < symbols.size(); ++i) {
      const auto found = ranks.find({symbols[i], symbols[i + 1]});
      if (found != ranks.end() && found->second < lowest) best = i, lowest = found->second;
    }
    if (lowest == ranks.size()) break;
    symbols[best] += symbols[best + 1];
    symbols.erase(symbols.begin() + static_cast<std::ptrdiff_t>(best) + 1);
  }
  Ids result;
  for (const std::string& symbol : symbols) result.push_back(ids.at(symbol));
  return result;
}

TEST(Tokenizer, ShortAndLongPiecesMergeByRank) {
  std::mt19937 random(2);
  std::string text;
  for (int i = 0; i < 400; ++i) text += "abc"[random() % 3];
  const std::string_view view = text;
  TokenizerTrainOptions options;
  options.vocab_size = 330;
  const Tokenizer tokenizer = train_tokenizer({&view, 1}, options);
  for (size_t n = 1; n < 150; ++n) {
    std::string piece;
    for (size_t i = 0; i < n; ++i) piece += "abc"[random() % 3];
    ASSERT_EQ(tokenizer.encode(piece), naive_encode(tokenizer, piece)) << piece;
    ASSERT_EQ(tokenizer.encode(piece), naive_encode(tokenizer, piece)) << "second time: " << piece;
  }
}

// What a thread remembers of the pieces that one tokenizer has encoded is nothing to another.
TEST(Tokenizer, TokenizersInTurnKeepTheirOwnIds) {
  const std::string text = kText;
  const std::string_view view = text;
  TokenizerTrainOptions options;
  options.vocab_size = 259;
  const Tokenizer bytes = train_tokenizer({&view, 1}, options);
  const Ids of_small = small().encode(kText);
  for (int i = 0; i < 3; ++i) {
    const Ids ids = bytes.encode(kText, false);
    EXPECT_EQ(ids.size(), text.size());
    EXPECT_EQ(joined(bytes, ids), text);
    EXPECT_EQ(small().encode(kText), of_small);
  }
}

TEST(Tokenizer, ThreadsEncodeAtOnce) {
  // A copy of its own, so that no other test has warmed it up.
  const Tokenizer tokenizer = Tokenizer::parse(small().vocabulary_file(), "test", small().config_json());
  const Ids expected = small().encode(kText);
  std::vector<std::thread> threads;
  std::vector<int> equal(4, 0);
  for (size_t t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 50; ++i) equal[t] += tokenizer.encode(kText) == expected ? 1 : 0;
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(equal, std::vector<int>(4, 50));
}

TEST(Tokenizer, SpecialTokens) {
  const Tokenizer t = small();
  const int32_t user = t.find_added("<｜User｜>");
  ASSERT_EQ(user, t.vocab_size() - 1);
  EXPECT_TRUE(t.is_special(0));
  EXPECT_FALSE(t.is_special(user));
  EXPECT_FALSE(t.is_special(100));
  EXPECT_FALSE(t.is_special(-1));
  EXPECT_FALSE(t.is_special(1 << 30));
  const Ids ids = t.encode("<｜begin▁of▁sentence｜><｜User｜>!<｜end▁of▁sentence｜>");
  EXPECT_EQ(ids, (Ids{0, user, 3, 1}));
  EXPECT_EQ(t.decode(ids, true), "<｜User｜>!");
  EXPECT_EQ(t.encode("<<｜User｜>>"), (Ids{30, user, 32}));
  EXPECT_EQ(joined(t, t.encode("<｜User｜")), "<｜User｜");  // not complete
  const Ids plain = t.encode("<｜User｜>", false);
  EXPECT_GT(plain.size(), 1u);
  EXPECT_EQ(t.decode(plain), "<｜User｜>");
}

TEST(Tokenizer, LongestOfTheLeftmostAddedTokens) {
  json j = json::parse(small().vocabulary_file());
  const int32_t n = small().vocab_size();
  int32_t id = n;
  for (const char* content : {"[a", "[ab]", "b]x", "(("}) {
    j["added_tokens"].push_back(
        {{"id", id++}, {"content", content}, {"special", false}, {"normalized", false}});
  }
  const Tokenizer t = Tokenizer::parse(j.dump(), "test");
  EXPECT_EQ(t.encode("[ab]x"), (Ids{n + 1, small().encode("x")[0]}));
  EXPECT_EQ(t.encode("[ab]"), (Ids{n + 1}));
  EXPECT_EQ(t.encode("[ab"), (Ids{n, small().encode("b")[0]}));
  EXPECT_EQ(t.encode("((((("), (Ids{n + 3, n + 3, small().encode("(")[0]}));
  // Tokens that are not "normalized" are found first, even if another starts further left.
  j["added_tokens"].back()["normalized"] = true;
  j["added_tokens"].back()["content"] = "([";
  EXPECT_EQ(Tokenizer::parse(j.dump(), "test").encode("([ab]"), (Ids{small().encode("(")[0], n + 1}));
}

TEST(Tokenizer, SplitTokensDecodeToReplacementCharacters) {
  const Tokenizer t = small();
  const Ids robot = t.encode("\xF0\x9F", false);
  const Ids rest = t.encode("\xA4\x96", false);
  Ids ids = robot;
  ids.insert(ids.end(), rest.begin(), rest.end());
  EXPECT_EQ(t.decode(ids), "🤖");
  EXPECT_EQ(t.decode(robot), "\uFFFD");
  ids.insert(ids.begin() + static_cast<std::ptrdiff_t>(robot.size()), 0);
  EXPECT_EQ(t.decode(ids), "\uFFFD<｜begin▁of▁sentence｜>\uFFFD\uFFFD");
  EXPECT_EQ(t.decode(ids, true), "🤖");
}

TEST(Tokenizer, IdsWithoutATokenGiveNoText) {
  const Tokenizer t = small();
  EXPECT_EQ(t.decode(Ids{3, t.vocab_size(), 1'000'000, 3}), "!!");
  EXPECT_FALSE(t.has_token(t.vocab_size()));
  EXPECT_THROW(t.token_text(t.vocab_size()), Error);
  EXPECT_THROW(t.token_text(-1), Error);
  EXPECT_THROW(t.decode(Ids{-1}), Error);
}

TEST(StreamDecoder, SaysWhatDecodingAllAtOnceSays) {
  std::mt19937 random(3);
  const Tokenizer t = small();
  for (int round = 0; round < 200; ++round) {
    const bool skip = round % 2 == 1;
    Ids ids = round % 4 < 2 ? t.encode(kText) : t.encode(random_bytes(random, 80));
    for (int32_t& id : ids) {
      if (random() % 8 == 0) id = static_cast<int32_t>(random() % static_cast<unsigned>(t.vocab_size()));
    }
    StreamDecoder decoder(t, skip);
    std::string text;
    for (const int32_t id : ids) {
      const std::string piece = decoder.push(id);
      EXPECT_NO_THROW(json(piece).dump());  // throws unless it is UTF-8
      text += piece;
    }
    text += decoder.finish();
    ASSERT_EQ(text, t.decode(ids, skip)) << "round " << round;
    ASSERT_EQ(decoder.finish(), "");
  }
}

TEST(StreamDecoder, HoldsBackIncompleteCharacters) {
  const Tokenizer t = small();
  StreamDecoder decoder(t);
  std::vector<std::string> pieces;
  for (const char byte : std::string("\xE4\xBD\xA0")) {
    pieces.push_back(decoder.push(t.encode(std::string(1, byte))[0]));
  }
  EXPECT_EQ(pieces, (std::vector<std::string>{"", "", "\xE4\xBD\xA0"}));
  EXPECT_EQ(decoder.push(t.encode("\xE4")[0]), "");
  EXPECT_EQ(decoder.finish(), "\uFFFD");
}

// --- files ---

TEST(Tokenizer, SavedFilesLoadAndSaveAgainByteForByte) {
  const std::string first = scratch_directory("first"), second = scratch_directory("second");
  small().save(first);
  const Tokenizer loaded = Tokenizer::load(first);
  loaded.save(second);
  for (const char* name : {"/tokenizer.json", "/tokenizer_config.json"}) {
    EXPECT_EQ(read_file(first + name), read_file(second + name));
    EXPECT_FALSE(read_file(first + name).empty());
  }
  EXPECT_EQ(loaded.encode(kText), small().encode(kText));
  EXPECT_EQ(loaded.bos_id(), 0);
  EXPECT_EQ(loaded.eos_id(), 1);
  EXPECT_EQ(loaded.vocab_size(), small().vocab_size());
  EXPECT_EQ(Tokenizer::load(first + "/tokenizer.json").eos_id(), 1);
  std::filesystem::remove(first + "/tokenizer_config.json");
  EXPECT_EQ(Tokenizer::load(first).eos_id(), -1);
  std::filesystem::remove_all(first);
  std::filesystem::remove_all(second);
}

TEST(Tokenizer, MissingFilesAreErrors) {
  EXPECT_THROW(Tokenizer::load("/nonexistent/tokenizer.json"), Error);
  EXPECT_THROW(Tokenizer::load(std::filesystem::temp_directory_path().string() + "/no_such_tokenizer"),
               Error);
}

TEST(Tokenizer, TokenizerConfig) {
  const auto with = [](const std::string& config) {
    return Tokenizer::parse(small().vocabulary_file(), "t", config, "config");
  };
  EXPECT_EQ(with(R"({"eos_token": {"content": "<｜User｜>"}})").eos_id(), small().find_added("<｜User｜>"));
  EXPECT_EQ(with(R"({"bos_token": null, "add_bos_token": null})").bos_id(), -1);
  for (const char* bad : {"[]", "{", R"({"bos_token": 3})", R"({"eos_token": "nowhere"})",
                          R"({"bos_token": {}})", R"({"add_bos_token": 1})"}) {
    EXPECT_THROW(with(bad), Error) << bad;
  }
}

TEST(Tokenizer, MergesAsPairs) {
  json j = json::parse(small().vocabulary_file());
  for (json& merge : j["model"]["merges"]) {
    const std::string text = merge;
    const size_t space = text.find(' ');
    merge = json::array({text.substr(0, space), text.substr(space + 1)});
  }
  EXPECT_EQ(Tokenizer::parse(j.dump(), "test").encode(kText), small().encode(kText));
}

TEST(Tokenizer, IgnoreMergesTakesWholePieces) {
  json j = json::parse(small().vocabulary_file());
  const int32_t id = small().vocab_size();
  j["model"]["vocab"]["qzqz"] = id;  // no merge leads there
  const Tokenizer by_merges = Tokenizer::parse(j.dump(), "test");
  EXPECT_EQ(by_merges.encode("qzqz").size(), 4u);
  EXPECT_EQ(by_merges.encode("qzqz").size(), 4u);  // what was remembered from the first time is right, too
  j["model"]["ignore_merges"] = true;
  EXPECT_EQ(Tokenizer::parse(j.dump(), "test").encode("qzqz"), (Ids{id}));
}

TEST(Tokenizer, OtherPreTokenizers) {
  const auto pieces_with = [](const json& pre_tokenizer, const std::string& text) {
    json j = json::parse(small().vocabulary_file());
    int32_t id = small().vocab_size();
    j["model"]["ignore_merges"] = true;
    for (const char* word : {"77", "7!", "!!", "777", "7777"}) j["model"]["vocab"][word] = id++;
    j["pre_tokenizer"] = pre_tokenizer;
    return Tokenizer::parse(j.dump(), "test").encode(text).size();
  };
  const json bytes{{"type", "ByteLevel"}, {"add_prefix_space", false}, {"use_regex", false}};
  const auto sequence = [&](const json& first) {
    return json{{"type", "Sequence"}, {"pretokenizers", json::array({first, bytes})}};
  };
  EXPECT_EQ(pieces_with(bytes, "7777"), 1u);
  EXPECT_EQ(pieces_with(sequence({{"type", "Digits"}, {"individual_digits", true}}), "7777!!"), 5u);
  EXPECT_EQ(pieces_with(sequence({{"type", "Digits"}, {"individual_digits", false}}), "7777!!"), 2u);
  EXPECT_EQ(
      pieces_with(sequence({{"type", "Split"}, {"pattern", {{"String", "7!"}}}, {"behavior", "Isolated"}}),
                  "7777!!"),
      3u);  // 777 7! !
  EXPECT_EQ(pieces_with({{"type", "ByteLevel"}, {"add_prefix_space", false}}, "7777!!"),
            2u);  // GPT-2's pattern
}

TEST(Tokenizer, GapsInTheIdsAreFine) {
  json j = json::parse(small().vocabulary_file());
  j["added_tokens"].push_back({{"id", 1000}, {"content", "<｜far｜>"}});
  const Tokenizer t = Tokenizer::parse(j.dump(), "test");
  EXPECT_EQ(t.vocab_size(), 1001);
  EXPECT_FALSE(t.has_token(999));
  EXPECT_EQ(t.encode("<｜far｜>"), (Ids{1000}));
}

// --- every kind of bad file ---

struct BadFile {
  const char* message;  // must be part of the error
  std::function<void(json&)> damage;
};

TEST(Tokenizer, BadFilesAreErrorsThatNameTheField) {
  using J = json;
  const std::vector<BadFile> bad = {
      {"file: field \"extra\" is not implemented", [](J& j) { j["extra"] = 1; }},
      {"version: only version", [](J& j) { j["version"] = "2.0"; }},
      {"version: expected a string", [](J& j) { j["version"] = 1; }},
      {"truncation: is not implemented",
       [](J& j) {
         j["truncation"] = {{"max_length", 5}};
       }},
      {"padding: is not implemented", [](J& j) { j["padding"] = J::object(); }},
      {"normalizer: type \"NFC\"",
       [](J& j) {
         j["normalizer"] = {{"type", "NFC"}};
       }},
      {"normalizers[0]: type \"Lowercase\"",
       [](J& j) {
         j["normalizer"] = {{"type", "Sequence"}, {"normalizers", {{{"type", "Lowercase"}}}}};
       }},
      {"post_processor: type \"Bert",
       [](J& j) {
         j["post_processor"] = {{"type", "BertProcessing"}};
       }},
      {"decoder: type \"WordPiece\"",
       [](J& j) {
         j["decoder"] = {{"type", "WordPiece"}};
       }},
      {"decoder: null", [](J& j) { j["decoder"] = nullptr; }},
      {"field \"decoder\" is missing", [](J& j) { j.erase("decoder"); }},
      {"field \"pre_tokenizer\" is missing", [](J& j) { j.erase("pre_tokenizer"); }},
      {"pre_tokenizer: has no ByteLevel", [](J& j) { j["pre_tokenizer"] = nullptr; }},
      {"pre_tokenizer: has no ByteLevel", [](J& j) { j["pre_tokenizer"]["pretokenizers"].erase(3); }},
      {"pre_tokenizer: type \"Metaspace\"",
       [](J& j) {
         j["pre_tokenizer"] = {{"type", "Metaspace"}};
       }},
      {"pretokenizers[4]: a stage after ByteLevel",
       [](J& j) {
         j["pre_tokenizer"]["pretokenizers"].push_back({{"type", "Digits"}, {"individual_digits", true}});
       }},
      {"add_prefix_space: true",
       [](J& j) { j["pre_tokenizer"]["pretokenizers"][3]["add_prefix_space"] = true; }},
      {"[0].behavior: \"Removed\"",
       [](J& j) { j["pre_tokenizer"]["pretokenizers"][0]["behavior"] = "Removed"; }},
      {"[0].invert: true", [](J& j) { j["pre_tokenizer"]["pretokenizers"][0]["invert"] = true; }},
      {"[0].pattern: needs either",
       [](J& j) { j["pre_tokenizer"]["pretokenizers"][0]["pattern"] = J::object(); }},
      {"[0].pattern.Regex: regular expression",
       [](J& j) { j["pre_tokenizer"]["pretokenizers"][0]["pattern"]["Regex"] = "("; }},
      {"[0].pattern.Regex: is empty",
       [](J& j) { j["pre_tokenizer"]["pretokenizers"][0]["pattern"]["Regex"] = ""; }},
      {"more than 64 stages",
       [](J& j) {
         J& list = j["pre_tokenizer"]["pretokenizers"];
         list = J(70, list[0]);
       }},
      {"field \"model\" is missing", [](J& j) { j.erase("model"); }},
      {"model: expected an object", [](J& j) { j["model"] = 3; }},
      {"model.type: \"Unigram\"", [](J& j) { j["model"]["type"] = "Unigram"; }},
      {"model.dropout: is not implemented", [](J& j) { j["model"]["dropout"] = 0.1; }},
      {"model.byte_fallback: true", [](J& j) { j["model"]["byte_fallback"] = true; }},
      {"model.end_of_word_suffix", [](J& j) { j["model"]["end_of_word_suffix"] = "</w>"; }},
      {"model.continuing_subword_prefix", [](J& j) { j["model"]["continuing_subword_prefix"] = "##"; }},
      {"model: field \"scores\"", [](J& j) { j["model"]["scores"] = 1; }},
      {"model: field \"vocab\" is missing", [](J& j) { j["model"].erase("vocab"); }},
      {"model.vocab: expected an object", [](J& j) { j["model"]["vocab"] = J::array(); }},
      {"model.vocab[\"a\"]: id 3 is given to two tokens", [](J& j) { j["model"]["vocab"]["a"] = 3; }},
      {"model.vocab[\"a\"]: expected an integer", [](J& j) { j["model"]["vocab"]["a"] = "67"; }},
      {"model.vocab[\"a\"]: expected an integer", [](J& j) { j["model"]["vocab"]["a"] = 67.0; }},
      {"model.vocab[\"a\"]: -1 is not between", [](J& j) { j["model"]["vocab"]["a"] = -1; }},
      {"is not between 0 and", [](J& j) { j["model"]["vocab"]["a"] = 18446744073709551615u; }},
      {"is not between 0 and", [](J& j) { j["model"]["vocab"]["a"] = 5'000'000; }},
      {"model.vocab: there is no token for the byte 0x61", [](J& j) { j["model"]["vocab"].erase("a"); }},
      {"model.vocab[\"\"]: an empty token", [](J& j) { j["model"]["vocab"][""] = 2000; }},
      {"model: field \"merges\" is missing", [](J& j) { j["model"].erase("merges"); }},
      {"model.merges: expected an array", [](J& j) { j["model"]["merges"] = "a b"; }},
      {"model.merges[0]: expected a string", [](J& j) { j["model"]["merges"][0] = 5; }},
      {"model.merges[0]: a merge needs two parts", [](J& j) { j["model"]["merges"][0] = "ab"; }},
      {"model.merges[0]: a merge needs two parts", [](J& j) { j["model"]["merges"][0] = "a b c"; }},
      {"model.merges[0]: a merge needs two parts", [](J& j) { j["model"]["merges"][0] = {"a"}; }},
      {"model.merges[0][1]: expected a string",
       [](J& j) {
         j["model"]["merges"][0] = {"a", 2};
       }},
      {"model.merges[0]: \"zzz\" is not in model.vocab", [](J& j) { j["model"]["merges"][0] = "zzz a"; }},
      {"model.merges[0]: \"zq\" is not in model.vocab", [](J& j) { j["model"]["merges"][0] = "z q"; }},
      {"is not made of byte-level symbols", [](J& j) { j["model"]["merges"][0] = "<｜▁pad▁｜> a"; }},
      {"model.merges[1]: the same merge", [](J& j) { j["model"]["merges"][1] = j["model"]["merges"][0]; }},
      {"added_tokens: expected an array", [](J& j) { j["added_tokens"] = J::object(); }},
      {"added_tokens[0]: expected an object", [](J& j) { j["added_tokens"][0] = 1; }},
      {"added_tokens[1]: added token", [](J& j) { j["added_tokens"][1] = j["added_tokens"][0]; }},
      {"added_tokens[3]: id 1 is given to two", [](J& j) { j["added_tokens"][3]["id"] = 1; }},
      {"added_tokens[3].id: id 70 is given to two", [](J& j) { j["added_tokens"][3]["id"] = 70; }},
      {"added_tokens[0].id: 2000, but model.vocab has 0", [](J& j) { j["added_tokens"][0]["id"] = 2000; }},
      {"added_tokens[0].content: expected a string", [](J& j) { j["added_tokens"][0]["content"] = 1; }},
      {"added_tokens[3].content: an empty token", [](J& j) { j["added_tokens"][3]["content"] = ""; }},
      {"added_tokens[0].lstrip: true", [](J& j) { j["added_tokens"][0]["lstrip"] = true; }},
      {"added_tokens[0].rstrip: true", [](J& j) { j["added_tokens"][0]["rstrip"] = true; }},
      {"added_tokens[0].single_word: true", [](J& j) { j["added_tokens"][0]["single_word"] = true; }},
      {"added_tokens[0].special: expected true", [](J& j) { j["added_tokens"][0]["special"] = 1; }},
  };
  for (const BadFile& file : bad) {
    json j = json::parse(small().vocabulary_file());
    file.damage(j);
    try {
      Tokenizer::parse(j.dump(), "file");
      ADD_FAILURE() << "accepted: " << file.message;
    } catch (const Error& e) {
      const std::string message = e.what();
      EXPECT_EQ(message.find("file: "), 0u) << message;
      EXPECT_NE(message.find(file.message), std::string::npos) << message << "\nlacks " << file.message;
    }
  }
}

TEST(Tokenizer, BrokenJsonIsAnError) {
  const std::string whole = small().vocabulary_file();
  for (size_t n = 0; n < whole.size() - 2; n += 1 + whole.size() / 50) {
    EXPECT_THROW(Tokenizer::parse(whole.substr(0, n), "file"), Error) << n;
  }
  const std::vector<std::string> hostile = {
      "", "[]", "null", "{\"a\": \"\xFF\"}", "{\"a\": \"\\ud800\"}", std::string(1'000'000, '['), [] {
        std::string s;
        for (int i = 0; i < 100'000; ++i) s += "{\"a\":";
        return s;
      }()};
  for (const std::string& text : hostile)
    EXPECT_THROW(Tokenizer::parse(text, "file"), Error) << text.substr(0, 20);
  const std::string twice = R"({"model": {"vocab": {"a": 1, "a": 2}}})";
  try {
    Tokenizer::parse(twice, "file");
    ADD_FAILURE();
  } catch (const Error& e) {
    EXPECT_NE(std::string(e.what()).find("same key twice"), std::string::npos) << e.what();
  }
}

}  // namespace
}  // namespace frugal::text
