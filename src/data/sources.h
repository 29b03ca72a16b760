// Where data comes from. An entry of `data` is PATH or WEIGHT:PATH. A path is a text file, a folder, a
// directory of shards (data/shards.h), or standard input ("-"), which is text, or JSON lines if it begins
// with "{".
//
// Weights: all entries have one, or none has. Without weights an epoch sees every document once. With weights
// they are shares of the tokens: "0.7:code" beside "0.3:books" makes 70 % of an epoch's tokens code. An epoch
// then ends when the source that runs out first has been seen once; of the others it sees a part, and the
// next epoch goes on behind it (data/packing.h).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace frugal::data {

struct Source {
  std::string name;                // as it was given
  std::string path;                // without the weight
  double weight = 0;               // 0: none given
  bool shards = false;             // a directory that `frugal data build` made
  std::vector<std::string> files;  // text: the file itself, or those of a folder
};

// The kind of a file is that of its name: ".jsonl" is JSON lines, everything else text, both also packed as
// ".gz" or ".zst". Of a folder: the regular files of all levels, sorted, hidden ones left out; `extensions`
// (".md", ".jsonl"; empty: every file) chooses among them, ".gz" and ".zst" not counted.
//
// Throws Error: no entry, a path that does not exist, a folder without such a file, weights that are not
// positive or not everywhere, standard input twice.
std::vector<Source> find_sources(const std::vector<std::string>& data,
                                 const std::vector<std::string>& extensions = {});

bool is_jsonl(const std::string& path);  // by its name
// A directory that holds a manifest of shards.
bool is_shard_directory(const std::string& path);
// Bytes of the files on disk; -1 when standard input is among them.
int64_t bytes_on_disk(const std::vector<std::string>& files);

}  // namespace frugal::data
