#include "report/tfevents.h"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <bit>
#include <cerrno>
#include <chrono>
#include <cstring>

#include "base/error.h"
#include "base/files.h"

namespace frugal::report {

namespace {
// Field numbers with their wire types.
constexpr char kWallTime = 1 << 3 | 1, kStep = 2 << 3 | 0, kFileVersion = 3 << 3 | 2, kSummary = 5 << 3 | 2;
constexpr char kValue = 1 << 3 | 2, kTag = 1 << 3 | 2, kSimpleValue = 2 << 3 | 5;
constexpr size_t kFrame = 16;  // bytes of a record beside its data

constexpr std::array<uint32_t, 256> make_crc_table() {
  std::array<uint32_t, 256> table{};
  for (uint32_t i = 0; i < 256; ++i) {
    uint32_t c = i;
    for (int bit = 0; bit < 8; ++bit) c = (c & 1) != 0 ? c >> 1 ^ 0x82F63B78u : c >> 1;
    table[i] = c;
  }
  return table;
}
constexpr std::array<uint32_t, 256> kCrcTable = make_crc_table();

template <class T>
std::string little_endian(T value) {
  std::string bytes(sizeof(T), '\0');
  std::memcpy(bytes.data(), &value, sizeof(T));
  return bytes;
}
static_assert(std::endian::native == std::endian::little);

std::string varint(uint64_t v) {
  std::string bytes;
  for (; v >= 128; v >>= 7) bytes += static_cast<char>((v & 127) | 128);
  return bytes + static_cast<char>(v);
}
std::string with_length(char field, std::string_view bytes) {
  return field + varint(bytes.size()) + std::string(bytes);
}

std::string masked_crc(std::string_view bytes) {
  const uint32_t crc = crc32c(bytes);
  return little_endian((crc >> 15 | crc << 17) + 0xA282EAD8u);
}

double wall_time() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

// The step of an event of ours; 0 for the one with the version, -1 for anything else.
int64_t step_of(std::string_view event) {
  if (event.size() < 10 || event[0] != kWallTime) return -1;
  if (event[9] == kFileVersion) return 0;
  if (event[9] != kStep) return -1;
  uint64_t step = 0;
  for (size_t i = 10, shift = 0; i < event.size() && shift < 63; ++i, shift += 7) {
    step |= static_cast<uint64_t>(event[i] & 127) << shift;
    if ((event[i] & 128) == 0) return static_cast<int64_t>(step);
  }
  return -1;
}

std::string newest_event_file(const std::string& directory) {
  std::string newest;
  for (const std::string& name : list_directory(directory))
    if (name.starts_with("events.out.tfevents.")) newest = directory + "/" + name;
  return newest;
}
}  // namespace

uint32_t crc32c(std::string_view bytes) {
  uint32_t c = 0xFFFFFFFFu;
  for (const char b : bytes) c = kCrcTable[(c ^ static_cast<unsigned char>(b)) & 255] ^ c >> 8;
  return ~c;
}

std::string tfrecord(std::string_view bytes) {
  const std::string length = little_endian(static_cast<uint64_t>(bytes.size()));
  return length + masked_crc(length) + std::string(bytes) + masked_crc(bytes);
}

std::string scalar_event(double time, int64_t step, const std::vector<Scalar>& scalars) {
  std::string summary;
  for (const Scalar& s : scalars)
    summary += with_length(
        kValue, with_length(kTag, s.tag) + kSimpleValue + little_endian(static_cast<float>(s.value)));
  return kWallTime + little_endian(time) + kStep + varint(static_cast<uint64_t>(step)) +
         with_length(kSummary, summary);
}

std::string version_event(double time) {
  return kWallTime + little_endian(time) + with_length(kFileVersion, "brain.Event:2");
}

size_t intact_bytes(std::string_view file, int64_t last_step) {
  size_t at = 0;
  while (file.size() - at >= kFrame) {
    uint64_t length = 0;
    std::memcpy(&length, file.data() + at, sizeof(length));
    if (length > file.size() - at - kFrame) break;
    const std::string_view data = file.substr(at + 12, length);
    if (file.substr(at, kFrame + length) != tfrecord(data)) break;
    const int64_t step = step_of(data);
    if (step < 0 || step > last_step) break;
    at += kFrame + length;
  }
  return at;
}

EventFile::EventFile(const std::string& directory, int64_t last_step) {
  make_directories(directory);
  path_ = newest_event_file(directory);
  const bool fresh = path_.empty();
  if (fresh) path_ = fmt::format("{}/events.out.tfevents.{:.0f}.frugal", directory, wall_time());
  const size_t kept = fresh ? 0 : intact_bytes(MappedFile(path_).text(), last_step);
  fd_ = ::open(path_.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  if (fd_ < 0 || ::ftruncate(fd_, static_cast<off_t>(kept)) != 0)
    fail(path_, fmt::format("cannot be opened: {}", std::strerror(errno)), "check the permissions");
  if (kept == 0) write(version_event(wall_time()));
}

EventFile::~EventFile() {
  if (fd_ >= 0) ::close(fd_);
}

void EventFile::add(int64_t step, const std::vector<Scalar>& scalars) {
  write(scalar_event(wall_time(), step, scalars));
}

// One call per record: a reader never sees the half of one unless the disk is full.
void EventFile::write(const std::string& event) {
  const std::string record = tfrecord(event);
  if (::write(fd_, record.data(), record.size()) != static_cast<ssize_t>(record.size()))
    fail(path_, fmt::format("cannot be written: {}", std::strerror(errno)), "free disk space");
}

}  // namespace frugal::report
