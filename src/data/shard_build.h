// Texts to shards: in the order of the files, with any number of threads and any number of interruptions the
// same bytes.
//
// One of the threads reads while the others tokenise what it has read. Memory: batches of a few MiB of text,
// one shard, and what is remembered per document for removing duplicates. A shard is written when it has
// kShardTokens tokens, into DIR.building; at the end that is renamed to DIR. A build that finds shards there
// reads the texts again, compares their hashes with the records of these shards, and tokenises only what
// comes behind.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "data/corpus.h"
#include "data/shards.h"

namespace frugal::data {

inline constexpr int64_t kShardTokens = int64_t{1} << 23;  // 32 MiB

struct ShardBuild {
  std::vector<std::string> data;
  std::string out;
  CorpusOptions corpus;  // its split is not used: the run that reads the shards splits
  double fim_rate = 0;
  int threads = 0;  // 0: every core that the process may use
  int64_t shard_tokens = kShardTokens;
};
struct ShardBuildResult {
  ShardManifest manifest;
  ReadReport report;
  int64_t resumed_documents = 0;  // found in shards of an earlier, interrupted build
  double seconds = 0;
};
// Throws Error: unusable sources or weights, `out` exists, an interrupted build of something else, texts that
// changed since, no room on the disk. What was written stays and is used by the next call.
ShardBuildResult build_shards(const ShardBuild& build, const text::Tokenizer& tokenizer);

}  // namespace frugal::data
