#include "base/disk.h"

#include <sys/mman.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <utility>

#include "base/error.h"
#include "base/file_lock.h"
#include "base/files.h"

namespace frugal {

namespace fs = std::filesystem;

namespace {
// The nearest directory above a path that exists.
fs::path existing_part(const std::string& path) {
  std::error_code ec;
  fs::path at = fs::absolute(path, ec);
  while (!ec && !at.empty() && !fs::exists(at, ec) && at != at.parent_path()) at = at.parent_path();
  return at;
}

std::string without_slash(std::string path) {
  while (path.size() > 1 && path.back() == '/') path.pop_back();
  return path;
}
}  // namespace

int64_t free_disk_bytes(const std::string& path) {
  struct statvfs s {};
  if (::statvfs(existing_part(path).c_str(), &s) != 0) return -1;
  return static_cast<int64_t>(s.f_bavail) * static_cast<int64_t>(s.f_frsize);
}

void require_disk(const std::string& path, int64_t bytes, const std::string& what) {
  const int64_t available = free_disk_bytes(path);
  if (available < 0 || bytes <= available) return;
  const auto mb = [](int64_t n) { return static_cast<double>(n) * 1e-6; };
  fail(path, fmt::format("{} needs {:.1f} MB of disk, {:.1f} MB are free", what, mb(bytes), mb(available)),
       "free disk space or write elsewhere");
}

void forget_mapped(const void* data, size_t bytes) {
  const auto page = static_cast<uintptr_t>(::sysconf(_SC_PAGESIZE));
  const uintptr_t begin = reinterpret_cast<uintptr_t>(data) / page * page,
                  end = (reinterpret_cast<uintptr_t>(data) + bytes) / page * page;
  // Best effort: if it fails, the pages stay.
  if (end > begin) ::madvise(reinterpret_cast<void*>(begin), end - begin, MADV_DONTNEED);
}

WritingDirectory::WritingDirectory(const std::string& path)
    : final_(without_slash(path)), writing_(final_ + ".writing") {
  refuse_existing();
  make_directories(writing_);
  lock_ = lock_directory(writing_);
}

void WritingDirectory::clear() {
  for (const std::string& name : list_directory(writing_)) remove_all(writing_ + "/" + name);
}

WritingDirectory::~WritingDirectory() {
  if (lock_ < 0) return;
  std::error_code ec;
  if (!keep_)
    fs::remove_all(writing_, ec);  // an error is on its way already, or the next writer removes the rest
  ::close(lock_);
}

void WritingDirectory::refuse_existing() const {
  std::error_code ec;
  if (fs::symlink_status(final_, ec).type() != fs::file_type::not_found)
    fail(final_, "exists already", "name a directory that does not exist");
}

void WritingDirectory::publish() {
  refuse_existing();
  publish_directory(writing_, final_);
  ::close(std::exchange(lock_, -1));
}

}  // namespace frugal
