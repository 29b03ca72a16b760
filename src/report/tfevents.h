// TensorBoard's event files, written by hand: TFRecord frames around Event messages
// (tensorflow/core/lib/io/record_writer.h, tensorflow/core/util/event.proto).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace frugal::report {

struct Scalar {
  std::string tag;
  double value = 0;  // stored as a float
};

// CRC-32C (Castagnoli).
uint32_t crc32c(std::string_view bytes);
// Length (8 bytes), its masked checksum (4), the bytes, their masked checksum (4).
std::string tfrecord(std::string_view bytes);
// Event{wall_time, step, summary}; and the one that a file starts with, Event{wall_time, file_version}.
std::string scalar_event(double wall_time, int64_t step, const std::vector<Scalar>& scalars);
std::string version_event(double wall_time);

// Bytes of the leading records that are whole and of steps up to `last_step`.
size_t intact_bytes(std::string_view file, int64_t last_step);

// Appends to the newest events.out.tfevents.* of a directory, which is made if need be. Records of steps
// after `last_step` are cut off first, and a damaged one with all that follows.
class EventFile {
 public:
  EventFile(const std::string& directory, int64_t last_step);
  ~EventFile();
  EventFile(const EventFile&) = delete;
  EventFile& operator=(const EventFile&) = delete;
  // Throws Error when the record cannot be written.
  void add(int64_t step, const std::vector<Scalar>& scalars);

 private:
  void write(const std::string& event);
  std::string path_;
  int fd_ = -1;
};

}  // namespace frugal::report
