// Bytes of a file or of standard input, from front to back, unpacked where the name ends in .gz or .zst.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

namespace frugal::data {

// "-". It is not unpacked.
bool is_standard_input(const std::string& path);
// Without .gz or .zst: "a.jsonl.gz" is "a.jsonl".
std::string without_compression(const std::string& path);

class ByteReader {
 public:
  // Throws Error: cannot be opened, is no regular file or pipe.
  explicit ByteReader(const std::string& path);
  ~ByteReader();
  ByteReader(const ByteReader&) = delete;
  ByteReader& operator=(const ByteReader&) = delete;

  // The next bytes, at most `size`; 0 only at the end. Throws Error: cannot be read, damaged or cut
  // compressed data.
  size_t read(char* out, size_t size);

  // Bytes taken from the file itself so far, before unpacking.
  int64_t consumed() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace frugal::data
