// manifest.json of a converted model: an XXH3 checksum (64 bits) of every tensor's bytes and of every other
// file.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>

struct XXH3_state_s;

namespace frugal::model {

inline constexpr const char* kManifestName = "manifest.json";

// XXH3 of bytes that come in pieces.
class Checksum {
 public:
  Checksum();
  ~Checksum();
  Checksum(const Checksum&) = delete;
  Checksum& operator=(const Checksum&) = delete;
  void add(const void* data, size_t bytes);
  std::string hex() const;  // of all bytes since the start, 16 digits

 private:
  XXH3_state_s* state_;
};

struct Manifest {
  std::map<std::string, std::string> tensors, files;  // name -> 16 hex digits
};
std::string manifest_json(const Manifest& manifest);

// Reads every byte that directory/manifest.json names. Throws Error naming the first tensor or file that is
// missing, not listed, or has other bytes. `progress` is told the bytes read so far.
void verify_manifest(const std::string& directory, const std::function<void(int64_t)>& progress);

}  // namespace frugal::model
