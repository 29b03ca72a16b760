// The usable documents of files, one after the other, in bounded memory; what is not usable is counted.
//
// A text is a whole file, a part of one between separators, or the text of a JSON line; it is left out when
// it holds a NUL byte (binary), is not UTF-8, or its line is broken. Text is taken as it is, byte for byte,
// but for a byte order mark at the start of a file.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "data/document.h"
#include "data/records.h"

namespace frugal::data {

struct ReadOptions {
  std::string separator;            // between documents of a text file, e.g. "<|endoftext|>"; empty: none
  std::string text_field = "text";  // of a .jsonl line
  bool strict = false;              // what would be left out as unusable is an Error instead
};

// Why a text was left out. The first five are refused with `strict`.
enum class LeftOut { kEmptyFile, kUnreadable, kBinary, kInvalidUtf8, kBrokenLine, kBlank, kEqual, kAlike };
inline constexpr size_t kLeftOutKinds = 8, kUnusableKinds = 5;

struct ReadReport {
  std::array<int64_t, kLeftOutKinds> left_out{};
  std::vector<std::string> examples;  // the first unusable ones, as "file:line: what"
  int64_t files = 0, documents = 0, bytes = 0;
  int64_t long_texts = 0;    // cut into parts (records.h)
  int64_t no_separator = 0;  // files in which the separator does not occur

  void count(LeftOut kind) { ++left_out[static_cast<size_t>(kind)]; }
  int64_t of(LeftOut kind) const { return left_out[static_cast<size_t>(kind)]; }
  int64_t unusable() const;
  void add(const ReadReport& other);
};

// "2 empty files, 1 broken JSON line, 4 equal documents"; "" when nothing was left out.
std::string left_out_text(const ReadReport& report);
// Tells on stderr what was left out, the first examples by name. Nothing to say: nothing is printed.
void print_report(const ReadReport& report);
// Throws Error when no document was usable. `data`: what the user named.
void require_documents(const ReadReport& report, const std::string& data);

class DocumentReader {
 public:
  DocumentReader(std::vector<std::string> files, ReadOptions options);

  // False at the end. With `strict`: Error that names file, line and offset.
  bool next(Document* document);

  const ReadReport& report() const { return report_; }
  int64_t consumed() const;  // bytes of the files so far, as they lie on disk

 private:
  bool open_next_file();
  void close_file();
  bool usable(const Record& record, Document* document);
  void unusable(LeftOut kind, const std::string& where, const std::string& what, const std::string& remedy);

  std::vector<std::string> files_;
  ReadOptions options_;
  ReadReport report_;
  size_t next_file_ = 0;
  std::string path_;  // of the open file
  bool jsonl_ = false, separated_ = false;
  std::unique_ptr<RecordReader> records_;
  int64_t closed_bytes_ = 0;
};

}  // namespace frugal::data
