#include "base/safetensors_index.h"

#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/json_strict.h"

namespace frugal {

using nlohmann::json;

namespace {
const char* const kRemedy = "the index is damaged or not of a model: fetch or write it again";
}

WeightMap parse_safetensors_index(std::string_view text, const std::string& name) {
  // DeepSeek-V3's index has 9 MB and 92 thousand tensors.
  const json root =
      parse_json_object(text, name, {.max_bytes = 256 << 20, .max_depth = 8, .remedy = kRemedy});
  const auto map = root.find("weight_map");
  if (map == root.end() || !map->is_object()) fail(name, "has no object weight_map", kRemedy);
  WeightMap weight_map;
  for (const auto& [tensor, shard] : map->items()) {
    if (!shard.is_string())
      fail(name + ": " + tensor, "its shard is " + shown(shard) + ", not a file name", kRemedy);
    const std::string& file = shard.get_ref<const std::string&>();
    if (file.empty() || file == "." || file == ".." || file.find('/') != std::string::npos ||
        file.find('\0') != std::string::npos)
      fail(name + ": " + tensor, "shard " + shown(shard) + " is not a file of this directory", kRemedy);
    weight_map[tensor] = file;
  }
  return weight_map;
}

std::string safetensors_index_json(const WeightMap& weight_map, int64_t total_size) {
  const json index = {{"metadata", {{"total_size", total_size}}}, {"weight_map", weight_map}};
  return index.dump(2) + "\n";
}

std::string shard_name(size_t shard, size_t shards) {
  if (shards == 1) return "model.safetensors";
  return fmt::format("model-{:05}-of-{:05}.safetensors", shard + 1, shards);
}

}  // namespace frugal
