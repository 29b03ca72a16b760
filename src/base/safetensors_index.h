// model.safetensors.index.json: which shard of a directory holds which tensor (Hugging Face's layout).
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>

namespace frugal {

using WeightMap = std::map<std::string, std::string>;  // tensor -> file name in the same directory

// Throws Error naming `name` (the file's path), the tensor and the rule that broke; a shard must be a file of
// the same directory.
WeightMap parse_safetensors_index(std::string_view text, const std::string& name);

// total_size: bytes of all tensors.
std::string safetensors_index_json(const WeightMap& weight_map, int64_t total_size);

// "model-00002-of-00010.safetensors"; a single file is "model.safetensors" and needs no index.
std::string shard_name(size_t shard, size_t shards);

}  // namespace frugal
