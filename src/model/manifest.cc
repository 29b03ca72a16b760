#include "model/manifest.h"

#include <xxhash.h>

#include <algorithm>
#include <new>
#include <nlohmann/json.hpp>

#include "base/disk.h"
#include "base/error.h"
#include "base/files.h"
#include "base/json_strict.h"
#include "model/model_files.h"

namespace frugal::model {

using nlohmann::json;

Checksum::Checksum() : state_(XXH3_createState()) {
  if (state_ == nullptr) throw std::bad_alloc();
  XXH3_64bits_reset(state_);
}
Checksum::~Checksum() { XXH3_freeState(state_); }
void Checksum::add(const void* data, size_t bytes) { XXH3_64bits_update(state_, data, bytes); }
std::string Checksum::hex() const { return fmt::format("{:016x}", XXH3_64bits_digest(state_)); }

std::string manifest_json(const Manifest& m) {
  return json{{"xxh3_64", {{"tensors", m.tensors}, {"files", m.files}}}}.dump(2) + "\n";
}

namespace {
const char* const kRemedy = "convert the model again";

std::map<std::string, std::string> checksums(const json& parent, const char* key, const std::string& path) {
  const auto found = parent.find(key);
  if (found == parent.end() || !found->is_object())
    fail(path, fmt::format("has no object xxh3_64.{}", key), kRemedy);
  std::map<std::string, std::string> sums;
  for (const auto& [name, hex] : found->items()) {
    if (!hex.is_string()) fail(path + ": " + name, "its checksum is " + shown(hex), kRemedy);
    if (name.find('/') != std::string::npos)
      fail(path + ": " + name, "is not a file of this directory", kRemedy);
    sums[name] = hex.get<std::string>();
  }
  return sums;
}

Manifest read_manifest(const std::string& directory) {
  const std::string path = directory + "/" + kManifestName;
  const json root =
      parse_json_object(read_file(path), path, {.max_bytes = 256 << 20, .max_depth = 8, .remedy = kRemedy});
  const auto sums = root.find("xxh3_64");
  if (sums == root.end() || !sums->is_object()) fail(path, "has no object xxh3_64", kRemedy);
  return {checksums(*sums, "tensors", path), checksums(*sums, "files", path)};
}

// In pieces, so that what was read need not stay in memory.
std::string checksum_of(const std::byte* data, int64_t bytes, int64_t* done,
                        const std::function<void(int64_t)>& progress) {
  constexpr int64_t kPiece = 16 << 20;
  Checksum sum;
  for (int64_t at = 0; at < bytes; at += kPiece) {
    const auto n = static_cast<size_t>(std::min(kPiece, bytes - at));
    sum.add(data + at, n);
    forget_mapped(data + at, n);
    *done += static_cast<int64_t>(n);
    if (progress) progress(*done);
  }
  return sum.hex();
}
}  // namespace

void verify_manifest(const std::string& directory, const std::function<void(int64_t)>& progress) {
  const Manifest manifest = read_manifest(directory);
  const CheckpointFiles files(directory);
  int64_t done = 0;
  for (const auto& [name, expected] : manifest.tensors) {
    const Tensor* t = files.find(name);
    if (t == nullptr) fail(directory, "tensor " + name + " of the manifest is missing", kRemedy);
    if (checksum_of(static_cast<const std::byte*>(t->data), t->bytes(), &done, progress) != expected)
      fail(files.file_of(name), "tensor " + name + " does not match its checksum", kRemedy);
  }
  for (const std::string& name : files.names())
    if (!manifest.tensors.contains(name))
      fail(files.file_of(name), "tensor " + name + " is not in the manifest", kRemedy);
  for (const auto& [name, expected] : manifest.files) {
    const MappedFile file(directory + "/" + name);
    if (checksum_of(file.bytes().data(), static_cast<int64_t>(file.bytes().size()), &done, progress) !=
        expected)
      fail(file.path(), "does not match its checksum", kRemedy);
  }
}

}  // namespace frugal::model
