// Tokenised documents on disk, for corpora that memory does not hold: a directory of shards, read by memory
// map (docs/formats.md, "Shards").
//
//   build.json           what the build was asked to do
//   shards.json          what came of it; the shards with their sizes and checksums
//   tokenizer/           the tokenizer that made the tokens
//   shard-NNNNN.bin      header, one record per document, tokens
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/files.h"
#include "data/tokenize.h"

namespace frugal::data {

// One per document, in the order in which they were read. 32 bytes, as they lie in the file.
struct DocumentRecord {
  uint64_t hash = 0;           // text_hash
  uint32_t text_bytes = 0;     // of the text, which the split into training and validation counts
  uint32_t content_bytes = 0;  // tokenize.h
  uint32_t tokens = 0;         // framed
  uint32_t fim_tokens = 0;     // the same document with its middle last, behind it; 0: it was not chosen
  uint32_t is_conversation = 0;
  uint32_t unused = 0;
};
static_assert(sizeof(DocumentRecord) == 32);

// A view of a shard's bytes.
struct ShardView {
  std::span<const DocumentRecord> records;
  std::span<const int32_t> tokens;  // of document 0, its FIM form, document 1, ...
  uint64_t checksum = 0;            // XXH3 of records and tokens, as the header has it
};
// Checks header, sizes and that the records add up; not the checksum. `bytes` must be aligned to 8. Throws
// Error.
ShardView parse_shard(std::span<const std::byte> bytes, const std::string& name);
// Reads everything: checksum, and ids in [0, vocab_size). Throws Error.
void verify_shard(const ShardView& shard, int64_t vocab_size, const std::string& name);

// The file's bytes.
std::string shard_bytes(std::span<const DocumentRecord> records, std::span<const int32_t> tokens);

struct ShardEntry {
  std::string file;
  int64_t bytes = 0, documents = 0, tokens = 0;
  uint64_t checksum = 0;
};
struct ShardManifest {
  uint64_t tokenizer_hash = 0;  // tokenizer_hash() of the tokenizer
  std::string dedupe;           // data/dedupe.h
  double fim_rate = 0;
  std::vector<std::pair<std::string, int64_t>> left_out;  // kind and count
  int64_t documents = 0, tokens = 0, bytes = 0;           // bytes: of content
  std::vector<ShardEntry> shards;
};
std::string manifest_to_json(const ShardManifest& manifest);
// Throws Error for what is not such a manifest.
ShardManifest parse_manifest(std::string_view json, const std::string& name);

// XXH3 of tokenizer.json and tokenizer_config.json.
uint64_t tokenizer_hash(const text::Tokenizer& tokenizer);

// A mapped directory of shards.
struct ShardSet {
  std::string directory;
  ShardManifest manifest;
  std::shared_ptr<const std::vector<MappedFile>> files;
  std::vector<ShardView> shards;
};
// Maps and verifies every shard (one pass over all bytes, which do not stay in memory). Throws Error that
// names the shard that is missing, cut or changed.
ShardSet open_shards(const std::string& directory);

}  // namespace frugal::data
