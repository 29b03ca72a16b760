#include "data/byte_reader.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

#include <cerrno>
#include <cstring>
#include <vector>

#include "base/error.h"

namespace frugal::data {

namespace {
constexpr size_t kInputBytes = 1 << 18;
constexpr int kAnyGzipWindow = 15 + 16;  // zlib: the largest window, gzip header
}  // namespace

bool is_standard_input(const std::string& path) { return path == "-"; }

std::string without_compression(const std::string& path) {
  for (const char* ending : {".gz", ".zst"})
    if (path.ends_with(ending)) return path.substr(0, path.size() - std::strlen(ending));
  return path;
}

struct ByteReader::State {
  std::string path;
  int fd = -1;
  int64_t consumed = 0;
  std::vector<char> input;  // compressed bytes [at, end)
  size_t at = 0, end = 0;
  bool gzip = false, zstd = false;
  bool in_frame = false;  // inside a gzip member or zstd frame; a file may hold several
  z_stream z{};
  ZSTD_DStream* zd = nullptr;

  ~State() {
    if (gzip) inflateEnd(&z);
    if (zstd) ZSTD_freeDStream(zd);
    if (fd > STDIN_FILENO) ::close(fd);
  }

  size_t read_raw(char* out, size_t size) {
    ssize_t n;
    do n = ::read(fd, out, size);
    while (n < 0 && errno == EINTR);
    if (n < 0)
      fail(path, fmt::format("cannot read: {}", std::strerror(errno)), "check the file and its disk");
    consumed += n;
    return static_cast<size_t>(n);
  }
  // False at the end of the file.
  bool refill() {
    if (at < end) return true;
    at = 0;
    end = read_raw(input.data(), input.size());
    return end > 0;
  }
  [[noreturn]] void damaged(const char* what) {
    fail(path, what, "restore the file, or unpack what is left of it");
  }

  // One call of the library: unpacks into out[0, size), returns the bytes made.
  size_t inflate_some(char* out, size_t size) {
    z.next_in = reinterpret_cast<Bytef*>(input.data() + at);
    z.avail_in = static_cast<uInt>(end - at);
    z.next_out = reinterpret_cast<Bytef*>(out);
    z.avail_out = static_cast<uInt>(size);
    const int status = inflate(&z, Z_NO_FLUSH);
    at = end - z.avail_in;
    if (status != Z_OK && status != Z_STREAM_END && status != Z_BUF_ERROR) damaged("damaged gzip data");
    in_frame = status != Z_STREAM_END;
    if (!in_frame) inflateReset(&z);
    return size - z.avail_out;
  }
  size_t unzstd_some(char* out, size_t size) {
    ZSTD_inBuffer in{input.data(), end, at};
    ZSTD_outBuffer unpacked{out, size, 0};
    const size_t status = ZSTD_decompressStream(zd, &unpacked, &in);
    at = in.pos;
    if (ZSTD_isError(status)) damaged("damaged zstd data");
    in_frame = status != 0;
    return unpacked.pos;
  }
};

ByteReader::ByteReader(const std::string& path) : state_(std::make_unique<State>()) {
  State& s = *state_;
  s.path = path;
  if (is_standard_input(path)) {
    s.fd = STDIN_FILENO;
  } else {
    s.fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
    if (s.fd < 0) fail(path, fmt::format("cannot open: {}", std::strerror(errno)), "check the permissions");
    struct stat st {};
    if (::fstat(s.fd, &st) != 0 || !(S_ISREG(st.st_mode) || S_ISFIFO(st.st_mode)))
      fail(path, "is no regular file", "give a text file");
  }
  if (path.ends_with(".gz")) {
    if (inflateInit2(&s.z, kAnyGzipWindow) != Z_OK) fail(path, "cannot start unpacking", "free memory");
    s.gzip = true;
  } else if (path.ends_with(".zst")) {
    s.zd = ZSTD_createDStream();
    if (s.zd == nullptr) fail(path, "cannot start unpacking", "free memory");
    s.zstd = true;
  }
  if (s.gzip || s.zstd) s.input.resize(kInputBytes);
}

ByteReader::~ByteReader() = default;

size_t ByteReader::read(char* out, size_t size) {
  State& s = *state_;
  if (!s.gzip && !s.zstd) return s.read_raw(out, size);
  while (size > 0) {
    const bool more = s.refill();
    if (!more && !s.in_frame) return 0;
    const size_t made = s.gzip ? s.inflate_some(out, size) : s.unzstd_some(out, size);
    if (made > 0) return made;
    if (!more) s.damaged("the compressed data ends early");
  }
  return 0;
}

int64_t ByteReader::consumed() const { return state_->consumed; }

}  // namespace frugal::data
