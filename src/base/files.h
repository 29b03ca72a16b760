// Files: memory-mapped reading, atomic replacement, directories that appear whole or not at all.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/arena.h"
#include "base/threads.h"

namespace frugal {

// Read-only memory map of a regular file. Throws Error when it cannot be opened. An empty file is an empty
// span.
class MappedFile {
 public:
  explicit MappedFile(const std::string& path);
  ~MappedFile();
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  std::span<const std::byte> bytes() const { return {data_, size_}; }
  std::string_view text() const { return {reinterpret_cast<const char*>(data_), size_}; }
  const std::string& path() const { return path_; }
  // Reads the whole file into memory and maps its pages, so that nobody waits for the disk later.
  void populate() const;
  // Puts a copy of the file where the map was, in memory of the process's own: on huge pages where the kernel gives
  // them, and safe from whoever changes the file. Throws Error when it cannot be read, is another file by now or has
  // another size.
  void copy_to_memory(ThreadPool& pool);

 private:
  std::string path_;
  const std::byte* data_ = nullptr;
  size_t size_ = 0;
  uint64_t inode_ = 0;
};

bool file_exists(const std::string& path);
bool is_directory(const std::string& path);
// The path from the root of the file system.
std::string absolute_path(const std::string& path);
std::string read_file(const std::string& path);

// What becomes of written bytes in the kernel's page cache. kBypass (O_DIRECT) is for large files: the cache
// takes a core for seconds per gigabyte, which is another one's program or training step. Where the file
// system has no such thing (tmpfs), they are kept.
enum class PageCache { kKeep, kBypass };

// Sequential writer that reports every failed write (a full disk included) and syncs on close().
class FileWriter {
 public:
  explicit FileWriter(const std::string& path, PageCache cache = PageCache::kKeep);
  ~FileWriter();
  FileWriter(const FileWriter&) = delete;
  FileWriter& operator=(const FileWriter&) = delete;
  void write(const void* data, size_t bytes);
  void write(std::string_view text) { write(text.data(), text.size()); }
  void close();  // fsync and close; without it the destructor closes without syncing

 private:
  void write_out(const void* data, size_t bytes);

  std::string path_;
  int fd_ = -1;
  AlignedPtr<std::byte> block_;  // kBypass: what has not been written yet
  size_t in_block_ = 0;
};

// Writes path + ".tmp", syncs, renames over path, syncs the directory.
void write_file_atomic(const std::string& path, std::string_view data);

// Adds to the end of a file, in one write, so that a process killed there leaves all of it or nothing; makes
// the file.
void append_file(const std::string& path, std::string_view data, const char* remedy);

// Creates the directory and its parents.
void make_directories(const std::string& path);
// Syncs a fully written directory and renames it to `path`; its parent is synced too. `path` must not exist.
void publish_directory(const std::string& written, const std::string& path);
// What was written to a file so far survives a loss of power.
void sync_file(const std::string& path);
void remove_all(const std::string& path);
// Names (not paths) of the entries of a directory, sorted.
std::vector<std::string> list_directory(const std::string& path);

}  // namespace frugal
