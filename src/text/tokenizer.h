// Byte-level BPE tokenizers in Hugging Face's format (tokenizer.json), as DeepSeek-V3 and GPT-2 have them, or in
// Moonlight's and Kimi-K2's (tiktoken.model): the same ids as Hugging Face's tokenizers library or tiktoken for
// the same text. A file that asks for anything else is an Error that names it.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace frugal::text {

struct TokenizerSpec;

// Immutable; copies share their data. All const functions may be called from several threads at once.
class Tokenizer {
 public:
  // path: tokenizer.json, tiktoken.model or the directory that holds one of them. BOS, EOS and add_bos_token come from the
  // tokenizer_config.json beside it, if there is one, and the chat template from there or, before that, from
  // chat_template.jinja. Throws Error (missing, malformed, not implemented).
  static Tokenizer load(const std::string& path);

  // The same from the files' contents; the names are for messages. config_json may be empty: no BOS, no EOS.
  static Tokenizer parse(std::string_view json, const std::string& name, std::string_view config_json = {},
                         const std::string& config_name = "tokenizer_config.json",
                         std::string_view chat_template_file = {});
  // The same for tiktoken.model, whose special tokens are in config_json.
  static Tokenizer parse_tiktoken(std::string_view ranks, const std::string& name, std::string_view config_json,
                                  const std::string& config_name = "tokenizer_config.json",
                                  std::string_view chat_template_file = {});
  // The file of a directory that load() reads; "" if there is none.
  static std::string find(const std::string& directory);

  // Token ids of `text`. BOS and EOS are never added. With parse_special, added tokens written in the text
  // become their ids (also inside text that comes from a user: pass false for untrusted text).
  //
  // Takes any bytes: the token_text() of all ids, joined, is `text` again. Text that is not UTF-8 is cut at
  // its ill-formed bytes; a run of them is encoded as a piece of its own, by the byte-level merges. Throws
  // Error only if a pattern of the tokenizer exceeds the regular expression engine's limits.
  std::vector<int32_t> encode(std::string_view text, bool parse_special = true) const;

  // UTF-8 text of the ids: their bytes are joined, then each maximal ill-formed subpart becomes one U+FFFD.
  // With skip_special, ids for which is_special() holds are left out before joining. Ids without a token
  // (gaps, padding rows of an embedding) give no text, as in Hugging Face. Throws Error for a negative id.
  std::string decode(std::span<const int32_t> ids, bool skip_special = false) const;

  int32_t vocab_size() const;  // largest id + 1
  int32_t bos_id() const;      // -1 when there is none
  int32_t eos_id() const;
  bool add_bos_token() const;  // tokenizer_config.json: whether prompts should start with BOS
  bool add_eos_token() const;
  const std::string& chat_template() const;  // Jinja (text/chat.h tells what it is); "" when there is none

  bool has_token(int32_t id) const;          // false for ids in gaps and outside the vocabulary
  bool is_special(int32_t id) const;         // an added token with "special": true
  std::string token_text(int32_t id) const;  // its bytes, which need not be UTF-8; Error if !has_token(id)
  int32_t find_added(
      std::string_view token) const;  // id of an added token ("<｜User｜>"), -1 if there is none

  // Writes tokenizer.json or tiktoken.model, tokenizer_config.json and chat_template.jinja, creating the directory. Files that
  // were loaded are written back byte for byte.
  void save(const std::string& directory) const;

  // The files' contents.
  const std::string& vocabulary_file() const;  // tokenizer.json or tiktoken.model
  const std::string& config_json() const;  // "" when there is none
  int64_t file_bytes() const;

 private:
  friend class StreamDecoder;
  struct Data;
  static Tokenizer build(const TokenizerSpec& spec, const char* file, std::string_view contents,
                         std::string_view config_json, const std::string& config_name,
                         std::string_view chat_template_file);
  explicit Tokenizer(std::shared_ptr<const Data> data) : data_(std::move(data)) {}
  void append_bytes(int32_t id, bool skip_special, std::string* out) const;

  std::shared_ptr<const Data> data_;
};

// Decodes ids one at a time; all pieces together are decode() of all ids.
class StreamDecoder {
 public:
  explicit StreamDecoder(Tokenizer tokenizer, bool skip_special = false);

  // What can be said after one more id: well-formed UTF-8, often "". A character whose bytes have not all
  // arrived is held back. Throws Error for a negative id.
  std::string push(int32_t id);

  // The rest: U+FFFD for a character that was never completed. Afterwards the decoder starts anew.
  std::string finish();

 private:
  Tokenizer tokenizer_;
  bool skip_special_;
  std::string held_;  // at most 3 bytes
};

}  // namespace frugal::text
