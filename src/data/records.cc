#include "data/records.h"

#include <algorithm>
#include <string_view>
#include <utility>

namespace frugal::data {

namespace {
constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";
constexpr size_t kChunkBytes = 1 << 18;
}  // namespace

RecordReader::RecordReader(const std::string& path, size_t max_bytes, size_t part_bytes)
    : bytes_(path), max_bytes_(max_bytes), part_bytes_(part_bytes) {
  while (buffer_.size() <= kByteOrderMark.size() && fill()) {
  }
  if (buffer_.starts_with(kByteOrderMark)) at_ = kByteOrderMark.size();
  offset_ = static_cast<int64_t>(at_);
}

// Appends the next bytes of the file; what was taken already makes room first.
bool RecordReader::fill() {
  if (ended_) return false;
  buffer_.erase(0, at_);
  at_ = 0;
  const size_t size = buffer_.size();
  buffer_.resize(size + kChunkBytes);
  const size_t n = bytes_.read(buffer_.data() + size, kChunkBytes);
  buffer_.resize(size + n);
  ended_ = n == 0;
  return n > 0;
}

// A part of a long record, up to its last line end or at least its last whole character.
bool RecordReader::take_part(Record* record) {
  const std::string_view rest = front();
  size_t size = part_bytes_;
  if (const size_t end = rest.rfind('\n', part_bytes_ - 1); end != std::string_view::npos && end > 0)
    size = end + 1;
  else
    while (size > 1 && (static_cast<uint8_t>(rest[size]) & 0xC0) == 0x80) --size;
  ++part_;
  take(size, 0, record);
  return true;
}

// The end of a record, or all of it.
bool RecordReader::take_last(size_t size, size_t delimiter, Record* record) {
  if (part_ > 0) ++part_;
  take(size, delimiter, record);
  part_ = 0;
  return true;
}

void RecordReader::take(size_t size, size_t delimiter, Record* record) {
  const std::string_view text = std::string_view(buffer_).substr(at_, size + delimiter);
  record->text.assign(text.substr(0, size));
  record->line = line_;
  record->offset = offset_;
  record->part = part_;
  record->delimited = delimiter > 0;
  line_ += std::count(text.begin(), text.end(), '\n');
  offset_ += static_cast<int64_t>(text.size());
  at_ += text.size();
  searched_ = 0;
}

bool RecordReader::next(Record* record) {
  while (true) {
    const std::string_view rest = front();
    const size_t limit = part_ > 0 ? part_bytes_ : max_bytes_;
    if (!delimiter_.empty()) {
      // A delimiter may lie across the end of what was searched.
      const size_t from = searched_ < delimiter_.size() ? 0 : searched_ - delimiter_.size() + 1;
      const size_t found = rest.substr(0, limit + delimiter_.size()).find(delimiter_, from);
      if (found != std::string_view::npos) return take_last(found, delimiter_.size(), record);
    }
    searched_ = std::min(rest.size(), limit);
    if (rest.size() > limit + delimiter_.size()) return take_part(record);
    if (fill()) continue;
    if (at_ == buffer_.size()) return false;
    return take_last(front().size(), 0, record);
  }
}

}  // namespace frugal::data
