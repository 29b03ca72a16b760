#include "data/corpus.h"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <functional>
#include <set>

#include "base/error.h"

namespace frugal::data {
namespace {

namespace fs = std::filesystem;
using Texts = std::vector<std::string>;

class CorpusTest : public testing::Test {
 protected:
  void SetUp() override {
    const auto* info = testing::UnitTest::GetInstance()->current_test_info();
    directory_ =
        fs::temp_directory_path() / (std::string("frugal_corpus_") + info->name() + std::to_string(getpid()));
    fs::create_directories(directory_);
  }
  void TearDown() override { fs::remove_all(directory_); }

  std::string write(const std::string& name, const std::string& text) const {
    const std::string path = (directory_ / name).string();
    std::ofstream(path, std::ios::binary) << text;
    return path;
  }

  // The error must name the place and say each of the given things.
  static void expect_error(const std::function<void()>& call, const std::string& where, const Texts& parts) {
    try {
      call();
      ADD_FAILURE() << "no error";
    } catch (const Error& e) {
      const std::string message = e.what();
      EXPECT_TRUE(message.starts_with(where + ": ")) << message;
      for (const std::string& part : parts) EXPECT_NE(message.find(part), std::string::npos) << message;
    }
  }
  static void expect_read_error(const std::string& path, const std::string& where, const Texts& parts) {
    CorpusOptions strict;
    strict.read.strict = true;
    expect_error([&] { read_documents({path}, strict); }, where, parts);
  }

  fs::path directory_;
};

Texts texts(const std::vector<Document>& documents) {
  Texts out;
  for (const Document& d : documents) out.push_back(d.text);
  return out;
}

std::vector<Document> documents_of(const Texts& list) {
  std::vector<Document> out;
  for (size_t i = 0; i < list.size(); ++i) out.push_back({list[i], fmt::format("d{}", i)});
  return out;
}

TEST_F(CorpusTest, TextFileIsOneDocumentByteForByte) {
  const std::string a = write("a.txt", "one\r\ntwo \n\n"), b = write("b", "grüße 你好 🙂\n");
  const auto documents = read_documents({b, a}, {});
  EXPECT_EQ(texts(documents), (Texts{"grüße 你好 🙂\n", "one\r\ntwo \n\n"}));
  EXPECT_EQ(documents[0].source, b);
}

TEST_F(CorpusTest, SeparatorSplitsAndIsDropped) {
  CorpusOptions options;
  options.read.separator = "<|end|>";
  const std::string path = write("a.txt", "first\nline two<|end|>second\n<|end|> \n<|end|>\nthird<|end|>");
  ReadReport report;
  const auto documents = read_documents({path}, options, &report);
  EXPECT_EQ(texts(documents), (Texts{"first\nline two", "second\n", "\nthird"}));
  EXPECT_EQ(documents[0].source, path + ":1");
  EXPECT_EQ(documents[1].source, path + ":2");
  EXPECT_EQ(documents[2].source, path + ":4");
  EXPECT_EQ(report.of(LeftOut::kBlank), 1);
}

TEST_F(CorpusTest, SeparatorThatDoesNotOccurLeavesOneDocument) {
  CorpusOptions options;
  options.read.separator = "<|end|>";
  EXPECT_EQ(texts(read_documents({write("a.txt", "all of it")}, options)), Texts{"all of it"});
}

TEST_F(CorpusTest, JsonLines) {
  const std::string path = write("a.jsonl",
                                 "{\"text\": \"one\\nline \\u00fc\", \"id\": 3}\r\n"
                                 "\n"
                                 "{\"meta\": {\"text\": 1}, \"text\": \"two\"}\n"
                                 "{\"text\": \"  \"}\n"
                                 "{\"text\": \"three\"}");
  ReadReport report;
  const auto documents = read_documents({path}, {}, &report);
  EXPECT_EQ(texts(documents), (Texts{"one\nline ü", "two", "three"}));
  EXPECT_EQ(documents[1].source, path + ":3");
  EXPECT_EQ(documents[2].source, path + ":5");
  EXPECT_EQ(report.of(LeftOut::kBlank), 1);
  EXPECT_EQ(report.unusable(), 0);
}

TEST_F(CorpusTest, ByteOrderMarkIsDropped) {
  EXPECT_EQ(texts(read_documents({write("a.txt", "\xEF\xBB\xBFtext")}, {})), Texts{"text"});
  EXPECT_EQ(texts(read_documents({write("a.jsonl", "\xEF\xBB\xBF{\"text\":\"t\"}\n")}, {})), Texts{"t"});
}

TEST_F(CorpusTest, ErrorsNameFileLineAndRemedy) {
  const std::string missing = (directory_ / "nowhere.txt").string();
  expect_read_error(missing, missing, {"no such file", "check the path"});
  expect_read_error(directory_.string(), directory_.string(), {"holds no file", "give a folder"});
  expect_error([] { read_documents({}, {}); }, "data", {"no file", "name at least one"});
  const std::string empty = write("empty.txt", "");
  expect_read_error(empty, empty, {"empty", "leave it out"});
  const std::string blank = write("blank.txt", " \n\t\n");
  expect_read_error(blank, blank, {"no usable document", "1 blank", "give files"});
  const std::string blank_lines = write("blank.jsonl", "\n{\"text\": \"\"}\n");
  expect_read_error(blank_lines, blank_lines, {"no usable document", "1 blank"});
}

TEST_F(CorpusTest, BinaryAndInvalidBytesAreFoundAnywhere) {
  // Every alignment against the check of eight bytes at a time.
  for (size_t at = 0; at < 20; ++at) {
    std::string text = "line\n" + std::string(20, 'a');
    text[5 + at] = '\0';
    const std::string nul = write("nul.txt", text);
    expect_read_error(nul, nul + ":2",
                      {"NUL", "byte offset " + std::to_string(5 + at) + ":", "binary", "give UTF-8"});
    text[5 + at] = '\xFF';
    const std::string bad = write("bad.txt", text);
    expect_read_error(bad, bad + ":2",
                      {"invalid UTF-8", "byte offset " + std::to_string(5 + at) + " (byte 0xFF)", "iconv"});
  }
  const std::string json = write("bad.jsonl", "{\"text\": \"a\"}\n{\"text\": \"\xE9\"}\n");
  expect_read_error(json, json + ":2", {"invalid UTF-8", "byte offset 24", "0xE9"});
}

TEST_F(CorpusTest, Utf8Validation) {
  const Texts valid = {"\x7F",         "\xC2\x80",     "\xDF\xBF",         "\xE0\xA0\x80",    "\xED\x9F\xBF",
                       "\xEE\x80\x80", "\xEF\xBF\xBF", "\xF0\x90\x80\x80", "\xF4\x8F\xBF\xBF"};
  for (const std::string& s : valid)
    EXPECT_EQ(texts(read_documents({write("v", "a" + s)}, {})), Texts{"a" + s});
  const Texts invalid = {"\x80",
                         "\xBF",
                         "\xC0\x80",
                         "\xC1\xBF",
                         "\xC2",
                         "\xC2\x41",
                         "\xE0\x9F\xBF",
                         "\xE1\x80",
                         "\xE1\x80\x41",
                         "\xED\xA0\x80",
                         "\xED\xBF\xBF",
                         "\xF0\x80\x80",
                         "\xF0\x8F\xBF\xBF",
                         "\xF1\x80\x80\x41",
                         "\xF4\x90\x80\x80",
                         "\xF5\x80\x80\x80",
                         "\xF8\x88\x80\x80\x80"};
  for (const std::string& s : invalid) {
    const std::string path = write("i", "abc" + s);
    expect_read_error(path, path + ":1", {"invalid UTF-8", "offset 3 "});
  }
}

TEST_F(CorpusTest, BadJsonLines) {
  const std::string good = "{\"text\": \"fine\"}\n";
  const auto check = [&](const std::string& line, const Texts& parts) {
    const std::string path = write("x.jsonl", good + "\n" + line + "\n" + good);
    expect_read_error(path, path + ":3", parts);
  };
  check("{\"text\": \"cut", {"not valid JSON at byte", "one complete JSON object per line"});
  check("{\"text\": \"a\"} {\"text\": \"b\"}", {"not valid JSON at byte 15"});
  check("{\"text\": \"\\ud800\"}", {"not valid JSON"});
  check("{\"n\": 1e999, \"text\": \"a\"}", {"not valid JSON", "correct the line"});
  check("[\"text\"]", {"JSON array instead of an object", "every line must look like {\"text\""});
  check("\"text\"", {"JSON string instead of an object"});
  check("{\"Text\": \"a\"}", {"no field \"text\"", "must look like"});
  check("{\"text\": 3}", {"\"text\" is a number instead of a string", "must look like"});
  check("{\"text\": null}", {"\"text\" is a null instead"});
}

TEST_F(CorpusTest, Conversations) {
  const std::string line =
      R"({"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a", "x": 1}]})";
  const auto documents = read_documents({write("chat.jsonl", line + "\n{\"text\": \"plain\"}\n")}, {});
  ASSERT_EQ(documents.size(), 2u);
  ASSERT_EQ(documents[0].messages.size(), 2u);
  EXPECT_EQ(documents[0].messages[1].content, "a");
  EXPECT_EQ(documents[0].text, "<｜User｜>q<｜Assistant｜>a");
  EXPECT_TRUE(documents[1].messages.empty());
  const auto bad = [&](const std::string& messages, const Texts& parts) {
    const std::string path = write("bad.jsonl", "{\"messages\": " + messages + "}\n");
    expect_read_error(path, path + ":1", parts);
  };
  bad("3", {"\"messages\" is a number"});
  bad("[]", {"no message"});
  bad("[{\"role\": \"user\"}]", {"no string \"content\""});
  bad("[3]", {"no string \"role\""});
  bad("[{\"role\": \"bot\", \"content\": \"x\"}]", {"role 'bot'"});
  expect_error([&] { split_documents(read_documents({write("one.jsonl", line)}, {}), 0.1); },
               directory_.string() + "/one.jsonl:1", {"cannot be split"});
}

TEST(CorpusSplit, FractionIsChecked) {
  for (const double fraction : {-0.1, 0.51, 1.0, static_cast<double>(NAN)}) {
    try {
      split_documents(documents_of({"a", "b"}), fraction);
      ADD_FAILURE() << fraction;
    } catch (const Error& e) {
      EXPECT_NE(std::string(e.what()).find("validation_fraction: "), std::string::npos);
      EXPECT_NE(std::string(e.what()).find("outside [0, 0.5]"), std::string::npos);
    }
  }
}

TEST(CorpusSplit, SingleDocumentIsCutAtALineEnd) {
  std::string text;
  for (int i = 0; i < 100; ++i) text += fmt::format("line {}\n", i);
  const Corpus corpus = split_documents(documents_of({text}), 0.1);
  ASSERT_EQ(texts(corpus.train).size(), 1u);
  ASSERT_EQ(texts(corpus.validation).size(), 1u);
  EXPECT_EQ(texts(corpus.train)[0] + texts(corpus.validation)[0], text);
  EXPECT_EQ(texts(corpus.train)[0].back(), '\n');
  EXPECT_NEAR(static_cast<double>(texts(corpus.validation)[0].size()), 0.1 * static_cast<double>(text.size()),
              8.0);
  EXPECT_TRUE(texts(corpus.validation)[0].starts_with("line 9"));
}

TEST(CorpusSplit, SingleDocumentTakesTheNearestLineEnd) {
  // 100 bytes: the share begins at byte 90; line ends behind bytes 60 and 95.
  const std::string text = std::string(59, 'a') + "\n" + std::string(34, 'b') + "\n" + std::string(5, 'c');
  EXPECT_EQ(split_documents(documents_of({text}), 0.1).validation[0].text, "ccccc");
  EXPECT_EQ(split_documents(documents_of({text}), 0.3).validation[0].text.size(), 40u);
}

TEST(CorpusSplit, SingleDocumentWithoutAUsableLineEndIsCutBetweenCharacters) {
  std::string text = "title\n";  // the only line end would leave next to nothing for training
  for (int i = 0; i < 97; ++i) text += "é";
  text += "\n\n\n";
  const Corpus corpus = split_documents(documents_of({text}), 0.1);
  EXPECT_EQ(texts(corpus.train)[0] + texts(corpus.validation)[0], text);
  EXPECT_EQ(texts(corpus.validation)[0].substr(0, 2), "é");
  EXPECT_EQ(texts(corpus.validation)[0].size(), 20u + 3u);
}

TEST(CorpusSplit, PartsAreNeverBlankNorTorn) {
  for (const std::string text :
       {"ab", "éé", "a\n\nb", "\n\n\nab\n\n\n\n\n\n\n\n\n\n\n", "🙂🙂", "ab\n", "a é", "xyz\n \n \n"})
    for (const double fraction : {0.001, 0.1, 0.5}) {
      const Corpus corpus = split_documents(documents_of({text}), fraction);
      EXPECT_EQ(texts(corpus.train)[0] + texts(corpus.validation)[0], text);
      for (const std::string& part : {texts(corpus.train)[0], texts(corpus.validation)[0]}) {
        EXPECT_NE(part.find_first_not_of(" \n"), std::string::npos) << "'" << text << "' " << fraction;
        EXPECT_NE(static_cast<uint8_t>(part[0]) & 0xC0, 0x80) << "'" << text << "' " << fraction;
      }
    }
}

TEST(CorpusSplit, OneCharacterCannotBeSplit) {
  for (const std::string text : {"a", "  é\n", "🙂"}) {
    try {
      split_documents(documents_of({text}), 0.1);
      ADD_FAILURE() << text;
    } catch (const Error& e) {
      EXPECT_NE(std::string(e.what()).find("d0: the corpus is one document of one character"),
                std::string::npos);
      EXPECT_NE(std::string(e.what()).find("validation_fraction=0"), std::string::npos);
    }
  }
}

TEST(CorpusSplit, FractionZeroKeepsEverythingForTraining) {
  EXPECT_EQ(texts(split_documents(documents_of({"a", "b"}), 0).train), (Texts{"a", "b"}));
  const Corpus single = split_documents(documents_of({"a"}), 0);
  EXPECT_EQ(texts(single.train), Texts{"a"});
  EXPECT_TRUE(texts(single.validation).empty());
}

Texts numbered(int count, size_t bytes) {
  Texts out;
  for (int i = 0; i < count; ++i) {
    std::string text = fmt::format("document {} ", i);
    text.resize(bytes, '.');
    out.push_back(text);
  }
  return out;
}

TEST(CorpusSplit, WholeDocumentsByHash) {
  const Texts all = numbered(1000, 50);
  const Corpus corpus = split_documents(documents_of(all), 0.1);
  EXPECT_EQ(texts(corpus.validation).size(), 100u);
  EXPECT_EQ(texts(corpus.train).size(), 900u);
  const Texts train = texts(corpus.train), valid = texts(corpus.validation);
  std::multiset<std::string> parts(train.begin(), train.end());
  parts.insert(valid.begin(), valid.end());
  EXPECT_EQ(parts, std::multiset<std::string>(all.begin(), all.end()));
  // Spread over the corpus, not its end; each part in the order of the files.
  EXPECT_TRUE(std::is_sorted(valid.begin(), valid.end(), [&](const auto& a, const auto& b) {
    return std::find(all.begin(), all.end(), a) < std::find(all.begin(), all.end(), b);
  }));
  EXPECT_NE(texts(corpus.validation), Texts(all.end() - 100, all.end()));
  EXPECT_NE(texts(corpus.validation), Texts(all.begin(), all.begin() + 100));
}

TEST(CorpusSplit, ChoiceDoesNotDependOnTheOrder) {
  Texts all = numbered(50, 40);
  const Corpus a = split_documents(documents_of(all), 0.1);
  std::reverse(all.begin(), all.end());
  const Corpus b = split_documents(documents_of(all), 0.1);
  const Texts first = texts(a.validation), second = texts(b.validation);
  EXPECT_EQ(std::set<std::string>(first.begin(), first.end()),
            std::set<std::string>(second.begin(), second.end()));
}

TEST(CorpusSplit, AtLeastOneDocumentEachSide) {
  for (int count = 2; count <= 12; ++count)
    for (const double fraction : {0.0001, 0.1, 0.5}) {
      const Corpus corpus = split_documents(documents_of(numbered(count, 30)), fraction);
      EXPECT_GE(texts(corpus.train).size(), 1u);
      EXPECT_GE(texts(corpus.validation).size(), 1u);
      EXPECT_EQ(texts(corpus.train).size() + texts(corpus.validation).size(), static_cast<size_t>(count));
    }
}

TEST(CorpusSplit, ALargeDocumentStaysInTraining) {
  for (int i = 0; i < 20; ++i) {  // whatever the hashes
    const std::string large(10000, static_cast<char>('a' + i));
    const Corpus corpus = split_documents(documents_of({large, fmt::format("small {}", i)}), 0.1);
    EXPECT_EQ(texts(corpus.train), Texts{large});
  }
}

TEST(CorpusSplit, TheSmallestDocumentIsTakenIfAllAreTooLarge) {
  for (int i = 0; i < 20; ++i) {
    const std::string larger(100, static_cast<char>('a' + i)), smaller(60, static_cast<char>('A' + i));
    const Corpus corpus = split_documents(documents_of({larger, smaller}), 0.1);
    EXPECT_EQ(texts(corpus.validation), Texts{smaller});
  }
}

TEST(CorpusSplit, EqualDocumentsStayOnOneSide) {
  Texts all = numbered(20, 30);
  const Texts copy = all;
  all.insert(all.end(), copy.begin(), copy.end());
  const Corpus corpus = split_documents(documents_of(all), 0.3);
  for (const std::string& text : copy) {
    const auto n = std::ranges::count(texts(corpus.validation), text);
    EXPECT_TRUE(n == 0 || n == 2) << text;
  }
  EXPECT_EQ(texts(corpus.validation).size(), 12u);
}

TEST(CorpusSplit, AllEqualDocumentsAreAnError) {
  try {
    split_documents(documents_of({"same", "same", "same"}), 0.1);
    FAIL();
  } catch (const Error& e) {
    EXPECT_NE(std::string(e.what()).find("d0: all 3 documents of the corpus are equal"), std::string::npos)
        << e.what();
    EXPECT_NE(std::string(e.what()).find("validation_fraction=0"), std::string::npos) << e.what();
  }
}

}  // namespace
}  // namespace frugal::data
