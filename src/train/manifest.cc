#include "train/manifest.h"

#include <xxhash.h>

#include <cstring>
#include <nlohmann/json.hpp>

#include "base/disk.h"
#include "base/error.h"
#include "base/files.h"
#include "base/safetensors.h"

namespace frugal::train {

using nlohmann::json;

namespace {
const char* const kManifest = "trainer/manifest.json";

std::string file_checksum(const std::string& path) {
  const MappedFile file(path);
  return checksum(file.bytes().data(), static_cast<int64_t>(file.bytes().size()));
}

// Of the length and the header of a safetensors file.
std::string header_checksum(const std::string& path) {
  const MappedFile file(path);
  uint64_t length = 0;
  if (file.bytes().size() >= 8) std::memcpy(&length, file.bytes().data(), 8);
  const uint64_t bytes = file.bytes().size();
  return checksum(file.bytes().data(),
                  static_cast<int64_t>(bytes < 8 || length > bytes - 8 ? bytes : 8 + length));
}

// Relative names of all files of a checkpoint but the manifest.
std::vector<std::string> files_of(const std::string& directory) {
  std::vector<std::string> names;
  for (const std::string& name : list_directory(directory))
    if (name != "trainer") names.push_back(name);
  for (const std::string& name : list_directory(directory + "/trainer"))
    if ("trainer/" + name != kManifest) names.push_back("trainer/" + name);
  return names;
}

std::string damage_of_tensors(const std::string& directory, const std::string& name, const json& sums) {
  if (header_checksum(directory + "/" + name) != sums.at("header").get<std::string>())
    return "the header of " + name + " does not match its checksum";
  const SafetensorsFile file(directory + "/" + name);
  for (const auto& [tensor, expected] : sums.at("tensors").items()) {
    const Tensor& t = file.at(tensor);
    const std::string sum = checksum(t.data, t.bytes());
    forget_mapped(t.data, static_cast<size_t>(t.bytes()));
    if (sum != expected.get<std::string>())
      return fmt::format("{} in {} does not match its checksum", tensor, name);
  }
  return "";
}
}  // namespace

std::string checksum(const void* data, int64_t bytes) {
  return fmt::format("{:016x}", XXH3_64bits(data, static_cast<size_t>(bytes)));
}

void write_manifest(const std::string& directory, Manifest manifest) {
  json safetensors = json::object(), files = json::object();
  for (const std::string& name : files_of(directory)) {
    const auto found = manifest.tensors.find(name);
    if (found == manifest.tensors.end())
      files[name] = file_checksum(directory + "/" + name);
    else
      safetensors[name] = {{"header", header_checksum(directory + "/" + name)}, {"tensors", found->second}};
  }
  const json root = {{"xxh3_64", {{"safetensors", safetensors}, {"files", files}}}};
  write_file_atomic(directory + "/" + kManifest, root.dump(1) + "\n");
}

std::string checkpoint_damage(const std::string& directory) {
  try {
    const json sums = json::parse(read_file(directory + "/" + kManifest)).at("xxh3_64");
    for (const auto& [name, expected] : sums.at("files").items())
      if (file_checksum(directory + "/" + name) != expected.get<std::string>())
        return name + " does not match its checksum";
    for (const auto& [name, expected] : sums.at("safetensors").items()) {
      const std::string damage = damage_of_tensors(directory, name, expected);
      if (!damage.empty()) return damage;
    }
    return "";
  } catch (const json::exception& e) {
    return std::string(kManifest) + " cannot be read: " + e.what();
  } catch (const std::exception& e) {
    return e.what();
  }
}

}  // namespace frugal::train
