#include "base/file_lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "base/error.h"

namespace frugal {

namespace {
std::string host_name() {
  char name[256] = "";
  ::gethostname(name, sizeof name - 1);
  return name;
}

std::string content_of(int fd) {
  char text[512];
  const ssize_t n = ::pread(fd, text, sizeof text, 0);
  std::string content(text, n > 0 ? static_cast<size_t>(n) : 0);
  while (!content.empty() && content.back() == '\n') content.pop_back();
  return content.empty() ? "another process" : content;
}
}  // namespace

DirectoryLock::DirectoryLock(const std::string& directory) {
  const std::string path = directory + "/lock";
  fd_ = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  if (fd_ < 0)
    fail(path, fmt::format("cannot create: {}", std::strerror(errno)),
         "a run writes into its directory; check the permissions");
  if (::flock(fd_, LOCK_EX | LOCK_NB) != 0) {
    const int error = errno;
    const std::string holder = content_of(fd_);
    ::close(fd_);
    if (error == EWOULDBLOCK) fail(directory, "is in use by " + holder, "wait until it ends, or stop it");
    fail(path, fmt::format("cannot be locked: {}", std::strerror(error)),
         "the run directory must lie on a file system with locks");
  }
  const std::string holder = fmt::format("process {} on {}\n", ::getpid(), host_name());
  // On a full disk the name is missing; the lock holds.
  if (::ftruncate(fd_, 0) != 0 || ::pwrite(fd_, holder.data(), holder.size(), 0) < 0) errno = 0;
}

DirectoryLock::~DirectoryLock() {
  if (::ftruncate(fd_, 0) != 0) errno = 0;  // the name of a process that has ended misleads nobody for long
  ::close(fd_);
}

bool is_locked(const std::string& directory) {
  const int fd = ::open((directory + "/lock").c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return false;
  const bool locked = ::flock(fd, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK;
  ::close(fd);
  return locked;
}

int lock_directory(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0)
    fail(path, fmt::format("cannot open directory: {}", std::strerror(errno)), "check the permissions");
  if (::flock(fd, LOCK_EX | LOCK_NB) != 0) {
    ::close(fd);
    fail(path, "is being written by another process", "wait for it, or write elsewhere");
  }
  return fd;
}

}  // namespace frugal
