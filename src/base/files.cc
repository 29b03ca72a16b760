#include "base/files.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <utility>

#include "base/error.h"
#include "base/mapping_faults.h"

namespace frugal {

namespace fs = std::filesystem;

namespace {
[[noreturn]] void fail_errno(const std::string& path, const char* action, int error) {
  const char* remedy = error == ENOSPC   ? "free disk space and try again"
                       : error == EACCES ? "check the permissions"
                       : error == ENOENT ? "check the path"
                                         : "";
  fail(path, fmt::format("cannot {}: {}", action, std::strerror(error)), remedy);
}

void sync_path(const std::string& path, int flags) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | flags);
  if (fd < 0) fail_errno(path, "open", errno);
  const int result = ::fsync(fd);
  const int error = errno;
  ::close(fd);
  if (result != 0) fail_errno(path, "sync", error);
}
void sync_directory(const std::string& path) { sync_path(path, O_DIRECTORY); }

std::string parent_of(const std::string& path) {
  const fs::path parent = fs::path(path).parent_path();
  return parent.empty() ? "." : parent.string();
}
}  // namespace

MappedFile::MappedFile(const std::string& path) : path_(path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) fail_errno(path, "open", errno);
  struct stat st {};
  if (::fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
    ::close(fd);
    fail(path, "not a regular file", "give a file");
  }
  size_ = static_cast<size_t>(st.st_size);
  inode_ = st.st_ino;
  if (size_ > 0) {
    void* p = ::mmap(nullptr, size_, PROT_READ, MAP_PRIVATE, fd, 0);
    const int error = errno;
    ::close(fd);
    if (p == MAP_FAILED) fail_errno(path, "map", error);
    data_ = static_cast<const std::byte*>(p);
    watch_mapping(p, size_, path);
  } else {
    ::close(fd);
  }
}

MappedFile::~MappedFile() {
  if (data_ == nullptr) return;
  forget_mapping(data_);
  ::munmap(const_cast<std::byte*>(data_), size_);
}

MappedFile::MappedFile(MappedFile&& other) noexcept
    : path_(std::move(other.path_)),
      data_(std::exchange(other.data_, nullptr)),
      size_(std::exchange(other.size_, 0)),
      inode_(other.inode_) {}

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  std::swap(path_, other.path_);
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  std::swap(inode_, other.inode_);
  return *this;
}

void MappedFile::populate() const {
  if (data_ == nullptr) return;
  std::byte* data = const_cast<std::byte*>(data_);
#ifdef MADV_POPULATE_READ
  if (::madvise(data, size_, MADV_POPULATE_READ) == 0) return;
#endif
  // An older kernel.
  ::madvise(data, size_, MADV_WILLNEED);
  volatile std::byte sink{};
  for (size_t at = 0; at < size_; at += 4096) sink = data[at];
  (void)sink;
}

namespace {
// Whole or an Error.
void read_at(int fd, const std::string& path, std::byte* to, size_t bytes, size_t offset) {
  while (bytes > 0) {
    const ssize_t n = ::pread(fd, to, bytes, static_cast<off_t>(offset));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) fail_errno(path, "read", errno);
    if (n == 0) fail(path, "ends while it is being read", "see who changes it, then try again");
    to += n;
    bytes -= static_cast<size_t>(n);
    offset += static_cast<size_t>(n);
  }
}
}  // namespace

void MappedFile::copy_to_memory(ThreadPool& pool) {
  if (data_ == nullptr) return;
  const int fd = ::open(path_.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) fail_errno(path_, "open", errno);
  const struct Closer {
    int fd;
    ~Closer() { ::close(fd); }
  } closer{fd};
  struct stat st {};
  if (::fstat(fd, &st) != 0 || static_cast<size_t>(st.st_size) != size_ || st.st_ino != inode_)
    fail(path_, "has changed since it was opened", "see who changes it, then try again");
  populate();  // into the page cache at the disk's speed; threads that read one file by turns get a fraction of it
  std::byte* const data = const_cast<std::byte*>(data_);
  forget_mapping(data);
  if (::mmap(data, size_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == MAP_FAILED)
    fail_errno(path_, "take memory for", errno);
  ::madvise(data, size_, MADV_HUGEPAGE);
  constexpr size_t kPart = size_t{8} << 20;
  pool.run(static_cast<int64_t>((size_ + kPart - 1) / kPart), [&](int64_t part, int) {
    const size_t at = static_cast<size_t>(part) * kPart;
    read_at(fd, path_, data + at, std::min(kPart, size_ - at), at);
  });
}

bool file_exists(const std::string& path) {
  std::error_code ec;
  return fs::is_regular_file(path, ec);
}

bool is_directory(const std::string& path) {
  std::error_code ec;
  return fs::is_directory(path, ec);
}

std::string absolute_path(const std::string& path) { return fs::absolute(path).lexically_normal().string(); }

std::string read_file(const std::string& path) { return std::string(MappedFile(path).text()); }

namespace {
constexpr size_t kBlockBytes = 4 << 20;  // of a write past the page cache, at a multiple of it in the file

// True if the file was past the page cache until now.
bool leave_direct(int fd) {
  const int flags = ::fcntl(fd, F_GETFL);
  return (flags & O_DIRECT) != 0 && ::fcntl(fd, F_SETFL, flags & ~O_DIRECT) == 0;
}
}  // namespace

FileWriter::FileWriter(const std::string& path, PageCache cache) : path_(path) {
  const int flags = O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC;
  if (cache == PageCache::kBypass) {
    fd_ = ::open(path.c_str(), flags | O_DIRECT, 0644);
    if (fd_ >= 0) block_ = aligned_array<std::byte>(kBlockBytes);
  }
  if (fd_ < 0 && (cache == PageCache::kKeep || errno == EINVAL)) fd_ = ::open(path.c_str(), flags, 0644);
  if (fd_ < 0) fail_errno(path, "create", errno);
}

FileWriter::~FileWriter() {
  if (fd_ >= 0) ::close(fd_);
}

void FileWriter::write(const void* data, size_t bytes) {
  if (block_ == nullptr) return write_out(data, bytes);
  const std::byte* p = static_cast<const std::byte*>(data);
  while (bytes > 0) {
    const size_t n = std::min(bytes, kBlockBytes - in_block_);
    std::memcpy(block_.get() + in_block_, p, n);
    in_block_ += n;
    p += n;
    bytes -= n;
    if (in_block_ == kBlockBytes) write_out(block_.get(), std::exchange(in_block_, 0));
  }
}

void FileWriter::write_out(const void* data, size_t bytes) {
  const char* p = static_cast<const char*>(data);
  while (bytes > 0) {
    const ssize_t n = ::write(fd_, p, bytes);
    if (n < 0) {
      // EINVAL: a disk that wants another alignment, or the rest of a block of which a part was written.
      if (errno == EINTR || (errno == EINVAL && leave_direct(fd_))) continue;
      fail_errno(path_, "write", errno);
    }
    p += n;
    bytes -= static_cast<size_t>(n);
  }
}

void FileWriter::close() {
  if (in_block_ > 0) {
    leave_direct(fd_);  // it takes whole blocks only
    write_out(block_.get(), std::exchange(in_block_, 0));
  }
  const int fd = std::exchange(fd_, -1);
  const int synced = ::fsync(fd);
  const int error = errno;
  if (::close(fd) != 0 && synced == 0) fail_errno(path_, "close", errno);
  if (synced != 0) fail_errno(path_, "sync", error);
}

void write_file_atomic(const std::string& path, std::string_view data) {
  const std::string tmp = path + ".tmp";
  FileWriter out(tmp);
  out.write(data);
  out.close();
  if (::rename(tmp.c_str(), path.c_str()) != 0) fail_errno(path, "rename into place", errno);
  sync_directory(parent_of(path));
}

void append_file(const std::string& path, std::string_view data, const char* remedy) {
  const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  if (fd < 0) fail_errno(path, "open", errno);
  errno = ENOSPC;  // of a write that ends early
  const bool whole = ::write(fd, data.data(), data.size()) == static_cast<ssize_t>(data.size());
  const int error = errno;
  if (::close(fd) != 0 && whole) fail_errno(path, "close", errno);
  if (!whole) fail(path, fmt::format("cannot be written: {}", std::strerror(error)), remedy);
}

void make_directories(const std::string& path) {
  std::error_code ec;
  fs::create_directories(path, ec);
  if (ec) fail(path, "cannot create directory: " + ec.message(), "check the path and the permissions");
}

void publish_directory(const std::string& written, const std::string& path) {
  sync_directory(written);
  if (::rename(written.c_str(), path.c_str()) != 0) fail_errno(path, "rename into place", errno);
  sync_directory(parent_of(path));
}

void sync_file(const std::string& path) { sync_path(path, 0); }

void remove_all(const std::string& path) {
  std::error_code ec;
  fs::remove_all(path, ec);
  if (ec) fail(path, "cannot remove: " + ec.message());
}

std::vector<std::string> list_directory(const std::string& path) {
  std::error_code ec;
  std::vector<std::string> names;
  for (fs::directory_iterator it(path, ec), end; !ec && it != end; it.increment(ec))
    names.push_back(it->path().filename().string());
  if (ec) fail(path, "cannot list directory: " + ec.message(), "check the path");
  std::sort(names.begin(), names.end());
  return names;
}

}  // namespace frugal
