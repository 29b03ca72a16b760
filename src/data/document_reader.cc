#include "data/document_reader.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "base/error.h"
#include "base/log.h"
#include "data/sources.h"
#include "text/utf8.h"

namespace frugal::data {

namespace {
constexpr size_t kExamples = 5;

// Offset of the first byte that no text has: NUL or ill-formed UTF-8. text.size(): there is none.
size_t first_bad_byte(std::string_view text) {
  for (size_t i = 0; i < text.size();) {
    // Eight bytes at a time while they are ASCII without a zero byte: corpora are large and mostly that.
    uint64_t word = 0;
    if (text.size() - i >= sizeof word) {
      std::memcpy(&word, text.data() + i, sizeof word);
      const uint64_t high_bits = 0x8080808080808080u, ones = 0x0101010101010101u;
      if ((word & high_bits) == 0 && ((word - ones) & high_bits) == 0) {
        i += sizeof word;
        continue;
      }
    }
    if (text[i] == '\0') return i;
    const text::Utf8Step step = text::utf8_step(text.substr(i));
    if (!step.well_formed) return i;
    i += step.length;
  }
  return text.size();
}

// "3 empty files": the plural is the name with an s.
constexpr std::array<const char*, kLeftOutKinds> kNames = {
    "empty file",       "unreadable file", "binary text",    "text that is not UTF-8",
    "broken JSON line", "blank document",  "equal document", "nearly equal document"};
}  // namespace

int64_t ReadReport::unusable() const {
  int64_t n = 0;
  for (size_t k = 0; k < kUnusableKinds; ++k) n += left_out[k];
  return n;
}

void ReadReport::add(const ReadReport& other) {
  for (size_t k = 0; k < kLeftOutKinds; ++k) left_out[k] += other.left_out[k];
  for (const std::string& e : other.examples)
    if (examples.size() < kExamples) examples.push_back(e);
  files += other.files;
  documents += other.documents;
  bytes += other.bytes;
  long_texts += other.long_texts;
  no_separator += other.no_separator;
}

std::string left_out_text(const ReadReport& report) {
  std::string text;
  for (size_t k = 0; k < kLeftOutKinds; ++k) {
    const int64_t n = report.left_out[k];
    if (n == 0) continue;
    std::string name = kNames[k];
    if (n > 1 && static_cast<LeftOut>(k) == LeftOut::kInvalidUtf8)
      name = "texts that are not UTF-8";
    else if (n > 1)
      name += "s";
    text += fmt::format("{}{} {}", text.empty() ? "" : ", ", n, name);
  }
  return text;
}

void print_report(const ReadReport& report) {
  const std::string text = left_out_text(report);
  if (report.unusable() > 0)
    warn("left out: {} (strict=true refuses what is unusable)", text);
  else if (!text.empty())
    info("left out    {}", text);
  for (const std::string& example : report.examples) warn("  {}", example);
  if (const int64_t more = report.unusable() - static_cast<int64_t>(report.examples.size()); more > 0)
    warn("  and {} more", more);
  if (report.no_separator > 0)
    warn("the separator does not occur in {} of {} files: each is one document", report.no_separator,
         report.files);
  if (report.long_texts > 0)
    warn("{} texts of more than {} MiB are cut into documents of about {} MiB", report.long_texts,
         kMaxRecordBytes >> 20, kPartBytes >> 20);
}

void require_documents(const ReadReport& report, const std::string& data) {
  if (report.documents > 0) return;
  const std::string text = left_out_text(report);
  fail(data,
       fmt::format("the data has no usable document ({}{})",
                   text.empty() ? fmt::format("{} files without text", report.files) : text,
                   report.examples.empty() ? "" : "; first " + report.examples[0]),
       "give files with text");
}

DocumentReader::DocumentReader(std::vector<std::string> files, ReadOptions options)
    : files_(std::move(files)), options_(std::move(options)) {}

int64_t DocumentReader::consumed() const {
  return closed_bytes_ + (records_ == nullptr ? 0 : records_->consumed());
}

void DocumentReader::unusable(LeftOut kind, const std::string& where, const std::string& what,
                              const std::string& remedy) {
  if (options_.strict) fail(where, what, remedy);
  report_.count(kind);
  if (report_.examples.size() < kExamples) report_.examples.push_back(where + ": " + what);
}

void DocumentReader::close_file() {
  if (records_ == nullptr) return;
  closed_bytes_ += records_->consumed();
  records_.reset();
}

bool DocumentReader::open_next_file() {
  if (next_file_ == files_.size()) return false;
  path_ = files_[next_file_++];
  ++report_.files;
  separated_ = false;
  try {
    records_ = std::make_unique<RecordReader>(path_);
  } catch (const Error& e) {
    if (options_.strict) throw;
    unusable(LeftOut::kUnreadable, path_, std::string(e.what()).substr(path_.size() + 2), "");
    return true;
  }
  if (records_->empty()) {
    unusable(LeftOut::kEmptyFile, path_, "the file is empty", "give a file with text, or leave it out");
    close_file();
    return true;
  }
  const std::string_view front = records_->front();
  const size_t first = front.find_first_not_of(" \t\r\n");
  jsonl_ =
      is_standard_input(path_) ? first != std::string_view::npos && front[first] == '{' : is_jsonl(path_);
  records_->set_delimiter(jsonl_ ? "\n" : options_.separator);
  return true;
}

bool DocumentReader::usable(const Record& record, Document* document) {
  const bool whole_file = !jsonl_ && options_.separator.empty() && record.part == 0;
  const std::string where = whole_file ? path_ : fmt::format("{}:{}", path_, record.line);
  if (jsonl_ && record.part > 0) {
    if (record.part == 1)
      unusable(LeftOut::kBrokenLine, where,
               fmt::format("the line has more than {} MiB", kMaxRecordBytes >> 20),
               "split it into documents");
    return false;
  }
  if (record.part == 1) ++report_.long_texts;
  const std::string_view text = record.text;
  if (const size_t bad = first_bad_byte(text); bad < text.size()) {
    const int64_t line =
        record.line + std::count(text.begin(), text.begin() + static_cast<std::ptrdiff_t>(bad), '\n');
    const std::string bad_where = fmt::format("{}:{}", path_, line);
    const int64_t offset = record.offset + static_cast<int64_t>(bad);
    if (text[bad] == '\0')
      unusable(LeftOut::kBinary, bad_where,
               fmt::format("a NUL byte at byte offset {}: this is a binary file", offset),
               "give UTF-8 text or .jsonl files");
    else
      unusable(LeftOut::kInvalidUtf8, bad_where,
               fmt::format("invalid UTF-8 at byte offset {} (byte 0x{:02X})", offset,
                           static_cast<uint8_t>(text[bad])),
               "convert the file to UTF-8 (iconv -f CHARSET -t UTF-8)");
    return false;
  }
  if (!jsonl_) {
    *document = {record.text, where};
  } else {
    if (is_blank(text)) return false;  // an empty line is no document, not even a blank one
    try {
      *document = parse_jsonl_line(where, text, options_.text_field);
    } catch (const Error& e) {
      if (options_.strict) throw;
      unusable(LeftOut::kBrokenLine, where, std::string(e.what()).substr(where.size() + 2), "");
      return false;
    }
  }
  if (!is_blank(document->text)) return true;
  report_.count(LeftOut::kBlank);
  return false;
}

bool DocumentReader::next(Document* document) {
  while (true) {
    if (records_ == nullptr) {
      if (!open_next_file()) return false;
      continue;
    }
    Record record;
    try {
      if (!records_->next(&record)) {
        if (!jsonl_ && !options_.separator.empty() && !separated_) ++report_.no_separator;
        close_file();
        continue;
      }
    } catch (const Error& e) {  // the rest of the file cannot be read; what came before stands
      if (options_.strict) throw;
      unusable(LeftOut::kUnreadable, path_, std::string(e.what()).substr(path_.size() + 2), "");
      close_file();
      continue;
    }
    separated_ = separated_ || record.delimited;
    if (!usable(record, document)) continue;
    ++report_.documents;
    report_.bytes += static_cast<int64_t>(document->text.size());
    return true;
  }
}

}  // namespace frugal::data
