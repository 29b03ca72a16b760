// libFuzzer: parse_safetensors_index on any bytes. What it accepts names files of one directory and survives
// being written and read again.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string_view>

#include "base/error.h"
#include "base/safetensors_index.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  try {
    const frugal::WeightMap map =
        frugal::parse_safetensors_index({reinterpret_cast<const char*>(data), size}, "fuzz");
    for (const auto& [tensor, shard] : map) {
      if (!shard.empty() && shard != ".." && shard.find('/') == std::string::npos) continue;
      std::fprintf(stderr, "a shard outside the directory\n");
      std::abort();
    }
    if (frugal::parse_safetensors_index(frugal::safetensors_index_json(map, 0), "again") != map) {
      std::fprintf(stderr, "the index changes when it is written and read\n");
      std::abort();
    }
  } catch (const frugal::Error&) {
    // The right answer to a file that is wrong.
  }
  return 0;
}
