// trainer/manifest.json of a checkpoint: an XXH3 checksum (64 bits, seed 0, 16 hex digits) of every tensor,
// of every header of a safetensors file and of every other file, so of every byte but its own.
#pragma once

#include <cstdint>
#include <map>
#include <string>

namespace frugal::train {

using TensorSums = std::map<std::string, std::string>;
struct Manifest {
  std::map<std::string, TensorSums> tensors;  // by safetensors file, then by name
};

std::string checksum(const void* data, int64_t bytes);

// Adds the checksums of headers and other files of a directory that is complete otherwise, and writes.
void write_manifest(const std::string& directory, Manifest manifest);

// Empty when the checkpoint has everything that its manifest names, with its checksum; else what is wrong.
std::string checkpoint_damage(const std::string& directory);

}  // namespace frugal::train
