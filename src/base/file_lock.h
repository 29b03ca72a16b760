// A lock that keeps a second process out of a directory.
#pragma once

#include <string>

namespace frugal {

// Held while it lives: flock on directory/lock, which names the holder. A process that dies lets go of it.
class DirectoryLock {
 public:
  // Throws Error naming the process that has it.
  explicit DirectoryLock(const std::string& directory);
  ~DirectoryLock();  // leaves the file empty
  DirectoryLock(const DirectoryLock&) = delete;
  DirectoryLock& operator=(const DirectoryLock&) = delete;

 private:
  int fd_ = -1;
};

}  // namespace frugal
