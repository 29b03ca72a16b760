// What a program that writes much to disk asks of the system: room, pages that need not stay in memory, and a
// directory that appears whole or not at all.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace frugal {

// Free bytes of the file system that `path` (which may not exist yet) lies or will lie on; -1 when it cannot
// be told.
int64_t free_disk_bytes(const std::string& path);
// Throws Error when fewer than `bytes` are free there. what: "the converted model", ...
void require_disk(const std::string& path, int64_t bytes, const std::string& what);

// Memory-mapped bytes that were read and are not needed soon: they leave this process, and come back when
// read again.
void forget_mapped(const void* data, size_t bytes);

// PATH is written as PATH.writing beside it and renamed by publish(). A lock keeps two writers apart; what a
// killed one left is still there for the next, which goes on with it or clears it.
class WritingDirectory {
 public:
  // Throws Error if `path` exists, or another process writes it.
  explicit WritingDirectory(const std::string& path);
  ~WritingDirectory();  // removes what was not published, unless keep_unfinished() was called
  WritingDirectory(const WritingDirectory&) = delete;
  WritingDirectory& operator=(const WritingDirectory&) = delete;

  const std::string& path() const { return writing_; }  // where to write
  void clear();
  void keep_unfinished() { keep_ = true; }
  void publish();

 private:
  void refuse_existing() const;

  std::string final_, writing_;
  int lock_ = -1;
  bool keep_ = false;
};

}  // namespace frugal
