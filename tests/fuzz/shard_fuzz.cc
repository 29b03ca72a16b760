// libFuzzer: parse_shard and verify_shard on any bytes, and as a manifest of shards. The checksums of header
// and contents are made to hold, or hardly any input would come past them.
#include <xxhash.h>

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "data/shards.h"

namespace {
constexpr size_t kHeader = 64;

// The bytes at an address that records can be read from.
std::vector<uint64_t> aligned(const uint8_t* data, size_t size) {
  std::vector<uint64_t> words((size + 7) / 8 + 1);
  if (size > 0) std::memcpy(words.data(), data, size);
  return words;
}

void read_shard(const uint8_t* data, size_t size, bool repair) {
  std::vector<uint64_t> words = aligned(data, size);
  if (repair && size >= kHeader) {
    words[4] = XXH3_64bits(reinterpret_cast<const char*>(words.data()) + kHeader, size - kHeader);
    words[7] = XXH3_64bits(words.data(), 56);
  }
  try {
    const frugal::data::ShardView view =
        frugal::data::parse_shard({reinterpret_cast<const std::byte*>(words.data()), size}, "fuzz");
    frugal::data::verify_shard(view, 1000, "fuzz");
    // What is accepted covers the tokens exactly.
    size_t tokens = 0;
    for (const frugal::data::DocumentRecord& r : view.records) tokens += size_t{r.tokens} + r.fim_tokens;
    if (tokens != view.tokens.size()) std::abort();
  } catch (const frugal::Error&) {
    // The right answer to a file that is wrong.
  }
}
}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  read_shard(data, size, false);
  read_shard(data, size, true);
  try {
    frugal::data::parse_manifest({reinterpret_cast<const char*>(data), size}, "fuzz");
  } catch (const frugal::Error&) {
  }
  return 0;
}
