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

// Whether a process holds the DirectoryLock of this directory.
bool is_locked(const std::string& directory);

// A lock on a directory itself, for one that must hold nothing but its content. The descriptor that is
// returned holds it until it is closed. Throws Error if it cannot be opened or another process has it.
int lock_directory(const std::string& path);

}  // namespace frugal
