// Reading and writing tokenizer.json and tokenizer_config.json, Hugging Face's files for a tokenizer
// (huggingface/tokenizers, tokenizers/src/tokenizer/serialization.rs and models/bpe/serialization.rs).
// Everything is checked here: what these functions return can be used without further looks.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "text/bpe.h"
#include "text/pretokenizer.h"

namespace frugal::text {

struct AddedToken {
  int32_t id;
  std::string content;  // UTF-8, not empty
  bool special;         // left out by decode(skip_special)
  bool normalized;      // looked for after the ones that are not (Hugging Face searches in two passes)
};

struct TokenizerSpec {
  std::vector<std::string> tokens;  // bytes by id; empty for an id without a token
  std::vector<bool> mergeable;      // by id: a token of byte-level symbols
  std::vector<Merge> merges;
  std::array<int32_t, 256> byte_ids;
  bool ignore_merges = false, rank_by_result = false;  // Bpe
  std::vector<SplitStage> stages;
  std::vector<AddedToken> added;
};

// name: what to call the file in messages. Throws Error for anything that is malformed, inconsistent or not
// implemented: models other than byte-level BPE, normalizers that change text, dropout, byte_fallback, ...
TokenizerSpec parse_tokenizer_json(std::string_view json, const std::string& name);

struct TokenizerConfig {
  std::string bos_token, eos_token;  // "" when there is none
  std::string chat_template;         // Jinja; "" when there is none
  bool add_bos_token = false, add_eos_token = false;
};

TokenizerConfig parse_tokenizer_config(std::string_view json, const std::string& name);

// What train_tokenizer() has found, to be written out. Tokens are bytes.
struct TrainedVocabulary {
  std::vector<std::string> special_tokens;  // ids from 0: BOS, EOS, padding, others
  std::vector<std::string> tokens;          // the ids after them; the first 256 are single bytes
  std::vector<Merge> merges;
  std::vector<std::string> added_tokens;  // the ids after those; not special
  std::vector<std::string> split_patterns;
};

std::string write_tokenizer_json(const TrainedVocabulary& vocabulary);
std::string write_tokenizer_config(const TrainedVocabulary& vocabulary);

}  // namespace frugal::text
