// What a run reads before it trains: its texts as rows of tokens, and the tokenizer that made them.
#pragma once

#include <memory>
#include <string>

#include "data/corpus.h"
#include "data/loader.h"
#include "text/tokenizer.h"
#include "train/recipe.h"

namespace frugal::train {

struct RunData {
  std::unique_ptr<text::Tokenizer> tokenizer;
  std::unique_ptr<data::Loader> loader;  // of the training part
  data::Rows validation_rows;
  double validation_bytes = 0;  // UTF-8 bytes of the validation part
  int64_t validation_documents = 0, validation_tokens = 0;
  data::ReadReport report;              // of the texts
  std::vector<uint64_t> source_hashes;  // of all texts of every entry of recipe.data
};

data::CorpusOptions corpus_options(const Recipe& recipe);

// tokenizer_source: directory or tokenizer.json; empty: that of the shards, or one is trained on the training
// part of the texts. A run from shards is the run from the texts they were made of, bit for bit. Throws
// Error: data that cannot be used, a tokenizer that does not fit the recipe or made other tokens than the
// shards'.
RunData load_run_data(const Recipe& recipe, const std::string& tokenizer_source);

}  // namespace frugal::train
