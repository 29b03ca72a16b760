#include "data/document_reader.h"

#include <gtest/gtest.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

#include <filesystem>
#include <fstream>
#include <functional>

#include "base/error.h"
#include "data/sources.h"

namespace frugal::data {
namespace {

namespace fs = std::filesystem;
using Texts = std::vector<std::string>;

class DocumentReaderTest : public testing::Test {
 protected:
  void SetUp() override {
    directory_ = fs::temp_directory_path() / ("frugal_reader_" + std::to_string(getpid()));
    fs::create_directories(directory_);
  }
  void TearDown() override { fs::remove_all(directory_); }

  std::string write(const std::string& name, const std::string& bytes) const {
    const fs::path path = directory_ / name;
    fs::create_directories(path.parent_path());
    std::ofstream(path, std::ios::binary) << bytes;
    return path.string();
  }
  static std::string gzip(const std::string& text) {
    z_stream z{};
    deflateInit2(&z, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY);
    std::string out(deflateBound(&z, text.size()) + 64, '\0');
    z.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
    z.avail_in = static_cast<uInt>(text.size());
    z.next_out = reinterpret_cast<Bytef*>(out.data());
    z.avail_out = static_cast<uInt>(out.size());
    deflate(&z, Z_FINISH);
    out.resize(z.total_out);
    deflateEnd(&z);
    return out;
  }
  static std::string zstd(const std::string& text) {
    std::string out(ZSTD_compressBound(text.size()), '\0');
    out.resize(ZSTD_compress(out.data(), out.size(), text.data(), text.size(), 3));
    return out;
  }
  static Texts read(const Texts& files, const ReadOptions& options, ReadReport* report) {
    DocumentReader reader(files, options);
    Texts texts;
    for (Document d; reader.next(&d);) texts.push_back(d.text);
    *report = reader.report();
    return texts;
  }
  static std::string error_of(const std::function<void()>& call) {
    try {
      call();
    } catch (const Error& e) {
      return e.what();
    }
    return "no error";
  }

  fs::path directory_;
};

TEST_F(DocumentReaderTest, PackedFilesReadAsTheirContents) {
  std::string lines, text;
  for (int i = 0; i < 20000; ++i) {
    lines += "{\"text\": \"document " + std::to_string(i * 7919) + "\"}\n";
    text += "line " + std::to_string(i * 104729) + "\n";
  }
  const Texts files = {write("a.jsonl", lines), write("b.txt", text)};
  const Texts packed = {write("a.jsonl.gz", gzip(lines)), write("b.txt.zst", zstd(text))};
  // Several members in one file, as `cat a.gz b.gz` makes them.
  const Texts joined = {write("c.jsonl.zst", zstd(lines.substr(0, 1000)) + zstd(lines.substr(1000))),
                        write("d.txt.gz", gzip(text.substr(0, 77)) + gzip(text.substr(77)))};
  ReadReport report;
  const Texts expected = read(files, {}, &report);
  EXPECT_EQ(expected.size(), 20001u);
  EXPECT_EQ(read(packed, {}, &report), expected);
  EXPECT_EQ(read(joined, {}, &report), expected);
  EXPECT_EQ(report.unusable(), 0);
}

TEST_F(DocumentReaderTest, DamagedAndCutPackedFilesAreUnreadable) {
  std::string lines;
  for (int i = 0; i < 5000; ++i) lines += "{\"text\": \"document " + std::to_string(i * 7919) + "\"}\n";
  for (const bool gz : {true, false}) {
    const std::string packed = gz ? gzip(lines) : zstd(lines), name = gz ? "a.jsonl.gz" : "a.jsonl.zst";
    ReadReport report;
    const std::string cut = write(name, packed.substr(0, packed.size() / 2));
    const Texts before = read({cut}, {}, &report);
    EXPECT_LT(before.size(), 5000u);
    EXPECT_EQ(report.of(LeftOut::kUnreadable), 1);
    EXPECT_NE(report.examples.at(0).find("ends early"), std::string::npos) << report.examples.at(0);
    std::string damaged = packed;
    damaged[packed.size() / 2] = static_cast<char>(damaged[packed.size() / 2] ^ 0x55);
    read({write(name, damaged)}, {}, &report);
    EXPECT_EQ(report.of(LeftOut::kUnreadable) + (report.of(LeftOut::kBrokenLine) > 0), 1)
        << left_out_text(report);
    ReadOptions strict;
    strict.strict = true;
    EXPECT_NE(error_of([&] { read({cut}, strict, &report); }).find(cut + ": "), std::string::npos);
  }
}

TEST_F(DocumentReaderTest, WhatIsUnusableIsCountedAndNamed) {
  const Texts files = {
      write("empty.txt", ""),
      write("binary.txt", std::string("MZ\0\1", 4)),
      write("latin.txt", "good\nbad \xE9 line\n"),
      write("blank.txt", " \n"),
      write("good.txt", "good\n"),
      write("x.jsonl",
            "{\"text\": \"a\"}\n{\"txt\": 1}\n\n{\"text\": \"\xFF\"}\nrubbish\n{\"text\": \"b\"}\n"),
      (directory_ / "gone.txt").string()};
  ReadReport report;
  EXPECT_EQ(read(files, {}, &report), (Texts{"good\n", "a", "b"}));
  EXPECT_EQ(report.of(LeftOut::kEmptyFile), 1);
  EXPECT_EQ(report.of(LeftOut::kBinary), 1);
  EXPECT_EQ(report.of(LeftOut::kInvalidUtf8), 2);
  EXPECT_EQ(report.of(LeftOut::kBrokenLine), 2);
  EXPECT_EQ(report.of(LeftOut::kBlank), 1);
  EXPECT_EQ(report.of(LeftOut::kUnreadable), 1);
  EXPECT_EQ(report.files, 7);
  EXPECT_EQ(report.documents, 3);
  EXPECT_EQ(
      left_out_text(report),
      "1 empty file, 1 unreadable file, 1 binary text, 2 texts that are not UTF-8, 2 broken JSON lines, 1 "
      "blank document");
  ASSERT_EQ(report.examples.size(), 5u);
  EXPECT_NE(report.examples[2].find("latin.txt:2: invalid UTF-8 at byte offset 9"), std::string::npos);
  EXPECT_NE(report.examples[3].find("x.jsonl:2: the object has no field"), std::string::npos);
}

TEST_F(DocumentReaderTest, TextFieldNamesTheField) {
  ReadReport report;
  ReadOptions options;
  options.text_field = "content";
  const std::string path =
      write("a.jsonl", "{\"content\": \"one\", \"text\": \"no\"}\n{\"text\": \"two\"}\n");
  EXPECT_EQ(read({path}, options, &report), Texts{"one"});
  EXPECT_EQ(report.of(LeftOut::kBrokenLine), 1);
}

TEST_F(DocumentReaderTest, ALongRecordComesInParts) {
  std::string text;
  while (text.size() < 1000) text += "some é words\n";
  const std::string path = write("long.txt", text + "END" + "tail");
  RecordReader reader(path, 500, 100);
  reader.set_delimiter("END");
  std::string joined;
  Record r;
  int part = 0;
  while (reader.next(&r) && r.part > 0) {
    EXPECT_EQ(r.part, ++part);
    EXPECT_EQ(r.offset, static_cast<int64_t>(joined.size()));
    EXPECT_LE(r.text.size(), 103u);
    joined += r.text;
    if (!r.delimited) {
      EXPECT_TRUE(joined.ends_with('\n'));
      EXPECT_EQ(r.line,
                1 + std::count(joined.begin(), joined.end() - static_cast<int64_t>(r.text.size()), '\n'));
    }
  }
  EXPECT_EQ(joined, text);
  EXPECT_GT(part, 9);
  EXPECT_EQ(r.text, "tail");
  EXPECT_EQ(r.part, 0);
  EXPECT_FALSE(reader.next(&r));
  // Without line ends: cut between characters.
  std::string accents;
  for (int i = 0; i < 400; ++i) accents += "é";
  RecordReader whole(write("accents.txt", "x" + accents), 500, 100);
  joined.clear();
  while (whole.next(&r)) {
    EXPECT_NE(static_cast<uint8_t>(r.text[0]) & 0xC0, 0x80);
    joined += r.text;
  }
  EXPECT_EQ(joined, "x" + accents);
}

TEST_F(DocumentReaderTest, RecordsDoNotDependOnWhereBuffersEnd) {
  // Delimiters around the reader's chunks of 2^18 bytes.
  for (int shift = -6; shift <= 3; ++shift) {
    const std::string a(static_cast<size_t>((1 << 18) + shift), 'a');
    RecordReader reader(write("chunks.txt", a + "<|end|>b<|end|>"));
    reader.set_delimiter("<|end|>");
    Record r;
    ASSERT_TRUE(reader.next(&r));
    EXPECT_EQ(r.text, a);
    ASSERT_TRUE(reader.next(&r));
    EXPECT_EQ(r.text, "b");
    EXPECT_FALSE(reader.next(&r));
  }
}

TEST_F(DocumentReaderTest, SourcesOfAFolder) {
  write("f/b.txt", "b");
  write("f/sub/a.md", "a");
  write("f/sub/c.jsonl.gz", "c");
  write("f/.hidden/d.txt", "d");
  write("f/.e.txt", "e");
  fs::create_symlink("nowhere", directory_ / "f/link");
  const std::string f = (directory_ / "f").string();
  const auto sources = find_sources({f});
  ASSERT_EQ(sources.size(), 1u);
  EXPECT_EQ(sources[0].files, (Texts{f + "/b.txt", f + "/link", f + "/sub/a.md", f + "/sub/c.jsonl.gz"}));
  EXPECT_EQ(find_sources({f}, {".jsonl", ".md"})[0].files, (Texts{f + "/sub/a.md", f + "/sub/c.jsonl.gz"}));
  EXPECT_NE(error_of([&] { find_sources({f}, {".cc"}); }).find("no file with one of the extensions"),
            std::string::npos);
  ReadReport report;
  read(sources[0].files, {}, &report);
  EXPECT_EQ(report.of(LeftOut::kUnreadable), 2);  // the link, and the gzip file that is none
}

TEST_F(DocumentReaderTest, Weights) {
  const std::string a = write("a.txt", "a"), b = write("b.txt", "b"), odd = write("2:c.txt", "c");
  const auto sources = find_sources({"0.75:" + a, "3e-1:" + b});
  EXPECT_EQ(sources[0].weight, 0.75);
  EXPECT_EQ(sources[0].path, a);
  EXPECT_EQ(sources[0].name, "0.75:" + a);
  EXPECT_EQ(sources[1].weight, 0.3);
  EXPECT_EQ(find_sources({odd})[0].weight, 0);  // a path that exists
  for (const std::string& bad : {"0:" + a, "-1:" + a, "inf:" + a, "nan:" + a})
    EXPECT_NE(error_of([&] { find_sources({bad}); }).find("weight"), std::string::npos) << bad;
  EXPECT_NE(error_of([&] {
              find_sources({"0.5:" + a, b});
            }).find("1 of 2 entries have a weight"),
            std::string::npos);
  EXPECT_NE(error_of([&] { find_sources({"0.5:nowhere"}); }).find("nowhere: no such file"),
            std::string::npos);
  EXPECT_NE(error_of([&] { find_sources({"-", "-"}); }).find("once only"), std::string::npos);
}

}  // namespace
}  // namespace frugal::data
