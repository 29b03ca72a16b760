// A stream of bytes cut into records: lines, parts between separators, or the whole.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "data/byte_reader.h"

namespace frugal::data {

struct Record {
  std::string text;  // without the delimiter
  int64_t line = 1;  // 1-based line and byte (after unpacking) at which it starts
  int64_t offset = 0;
  int part = 0;            // 0: whole; 1, 2, ...: part of a record longer than kMaxRecordBytes
  bool delimited = false;  // a delimiter ended it
};

// A record longer than kMaxRecordBytes comes in parts of about kPartBytes, cut at line ends where there are
// some and else between characters. So a text of any size needs bounded memory.
inline constexpr size_t kMaxRecordBytes = size_t{64} << 20;
inline constexpr size_t kPartBytes = size_t{1} << 20;

class RecordReader {
 public:
  // A byte order mark at the start of the file is dropped. Throws Error as ByteReader does; next() too.
  explicit RecordReader(const std::string& path, size_t max_bytes = kMaxRecordBytes,
                        size_t part_bytes = kPartBytes);

  // Before the first next(). Without a delimiter the file is one record.
  void set_delimiter(const std::string& delimiter) { delimiter_ = delimiter; }
  // The first bytes of the file.
  std::string_view front() const { return std::string_view(buffer_).substr(at_); }

  // False at the end. A delimiter at the very end starts no further record.
  bool next(Record* record);

  int64_t consumed() const { return bytes_.consumed(); }  // of the file, before unpacking
  // Before the first next(): the file has no byte.
  bool empty() const { return ended_ && front().empty(); }

 private:
  bool fill();
  bool take_part(Record* record);
  bool take_last(size_t size, size_t delimiter, Record* record);
  void take(size_t size, size_t delimiter, Record* record);

  ByteReader bytes_;
  std::string delimiter_;
  size_t max_bytes_, part_bytes_;
  std::string buffer_;
  size_t at_ = 0;        // of the next record in buffer_
  size_t searched_ = 0;  // bytes from at_ that hold no delimiter
  bool ended_ = false;
  int part_ = 0;
  int64_t line_ = 1, offset_ = 0;
};

}  // namespace frugal::data
