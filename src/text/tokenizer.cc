#include "text/tokenizer.h"

#include <algorithm>
#include <filesystem>
#include <utility>

#include "base/error.h"
#include "base/files.h"
#include "text/added_tokens.h"
#include "text/bpe.h"
#include "text/pretokenizer.h"
#include "text/tiktoken.h"
#include "text/tokenizer_json.h"
#include "text/utf8.h"

namespace frugal::text {

namespace {
constexpr const char* kTokenizerJson = "tokenizer.json";

std::vector<AddedToken> with_normalized(const std::vector<AddedToken>& tokens, bool normalized) {
  std::vector<AddedToken> chosen;
  std::ranges::copy_if(tokens, std::back_inserter(chosen),
                       [&](const AddedToken& token) { return token.normalized == normalized; });
  return chosen;
}

int32_t id_of(const TokenizerSpec& spec, const std::string& token, const std::string& where) {
  if (token.empty()) return -1;
  for (const AddedToken& added : spec.added) {
    if (added.content == token) return added.id;
  }
  const auto found = std::ranges::find(spec.tokens, token);
  if (found == spec.tokens.end()) {
    fail(where, fmt::format("\"{}\" is not in the vocabulary", token), "name a token of the tokenizer");
  }
  return static_cast<int32_t>(found - spec.tokens.begin());
}
}  // namespace

struct Tokenizer::Data {
  std::string file;  // its name
  std::string contents, config_json, chat_template_file;
  std::string chat_template;
  Bpe bpe;
  PreTokenizer pre_tokenizer;
  // Hugging Face looks for added tokens in the text as it is, then in the normalized rest. No normalizer does
  // anything here, but the order decides between overlapping tokens.
  AddedTokenScanner raw, normalized;
  std::vector<AddedToken> added;
  std::vector<bool> special;  // by id
  int32_t bos = -1, eos = -1;
  bool add_bos = false, add_eos = false;

  explicit Data(const TokenizerSpec& spec)
      : bpe(spec.tokens, spec.mergeable, spec.merges, spec.byte_ids, spec.ignore_merges,
            spec.rank_by_result),
        pre_tokenizer(spec.stages),
        raw(with_normalized(spec.added, false)),
        normalized(with_normalized(spec.added, true)),
        added(spec.added),
        special(spec.tokens.size(), false) {
    for (const AddedToken& token : added) special[static_cast<size_t>(token.id)] = token.special;
  }
};

Tokenizer Tokenizer::build(const TokenizerSpec& spec, const char* file, std::string_view contents,
                           std::string_view config_json, const std::string& config_name,
                           std::string_view chat_template_file) {
  auto data = std::make_shared<Data>(spec);
  data->file = file;
  data->contents = contents;
  data->config_json = config_json;
  if (!config_json.empty()) {
    const TokenizerConfig config = parse_tokenizer_config(config_json, config_name);
    data->bos = id_of(spec, config.bos_token, config_name + ": bos_token");
    data->eos = id_of(spec, config.eos_token, config_name + ": eos_token");
    data->add_bos = config.add_bos_token;
    data->add_eos = config.add_eos_token;
    data->chat_template = config.chat_template;
  }
  data->chat_template_file = chat_template_file;
  if (!chat_template_file.empty()) data->chat_template = chat_template_file;
  return Tokenizer(std::move(data));
}

Tokenizer Tokenizer::parse(std::string_view json, const std::string& name, std::string_view config_json,
                           const std::string& config_name, std::string_view chat_template_file) {
  return build(parse_tokenizer_json(json, name), kTokenizerJson, json, config_json, config_name,
               chat_template_file);
}

Tokenizer Tokenizer::parse_tiktoken(std::string_view ranks, const std::string& name,
                                    std::string_view config_json, const std::string& config_name,
                                    std::string_view chat_template_file) {
  return build(text::parse_tiktoken(ranks, name, config_json, config_name), kTiktokenFile, ranks, config_json,
               config_name, chat_template_file);
}

std::string Tokenizer::find(const std::string& directory) {
  for (const char* name : {kTokenizerJson, kTiktokenFile}) {
    const std::string path = (std::filesystem::path(directory) / name).string();
    if (file_exists(path)) return path;
  }
  return "";
}

Tokenizer Tokenizer::load(const std::string& path) {
  const std::filesystem::path given(path);
  std::string found = path;
  if (is_directory(path)) found = find(path);
  if (found.empty()) found = (given / kTokenizerJson).string();  // whose absence is then reported
  const std::filesystem::path file(found);
  const std::string config = (file.parent_path() / "tokenizer_config.json").string();
  const std::string jinja = (file.parent_path() / "chat_template.jinja").string();
  const MappedFile contents(file.string());
  return (file.extension() == ".model" ? parse_tiktoken : parse)(
      contents.text(), file.string(), file_exists(config) ? read_file(config) : "", config,
      file_exists(jinja) ? read_file(jinja) : "");
}

std::vector<int32_t> Tokenizer::encode(std::string_view text, bool parse_special) const {
  std::vector<int32_t> ids;
  ids.reserve(text.size() / 4 + 4);
  MatchScratch scratch;
  thread_local PieceCache thread_cache;
  PieceCache& cache = thread_cache;
  cache.serve(data_->bpe.number());
  const auto on_piece = [&](std::string_view piece) { data_->bpe.encode(piece, cache, &ids); };
  const auto on_text = [&](std::string_view part) { data_->pre_tokenizer.split(part, scratch, on_piece); };
  const auto on_token = [&](int32_t id) { ids.push_back(id); };
  if (parse_special) {
    data_->raw.split(
        text, [&](std::string_view part) { data_->normalized.split(part, on_text, on_token); }, on_token);
  } else {
    on_text(text);
  }
  return ids;
}

void Tokenizer::append_bytes(int32_t id, bool skip_special, std::string* out) const {
  if (id < 0) fail(fmt::format("token id {}", id), "is negative", "ids are 0 and up");
  if (has_token(id) && !(skip_special && is_special(id)))
    *out += data_->bpe.tokens()[static_cast<size_t>(id)];
}

std::string Tokenizer::decode(std::span<const int32_t> ids, bool skip_special) const {
  std::string bytes;
  for (const int32_t id : ids) append_bytes(id, skip_special, &bytes);
  if (well_formed_prefix(bytes) == bytes.size()) return bytes;
  std::string text;
  append_repaired(bytes, false, &text);
  return text;
}

int32_t Tokenizer::vocab_size() const { return static_cast<int32_t>(data_->bpe.tokens().size()); }
int32_t Tokenizer::bos_id() const { return data_->bos; }
int32_t Tokenizer::eos_id() const { return data_->eos; }
bool Tokenizer::add_bos_token() const { return data_->add_bos; }
bool Tokenizer::add_eos_token() const { return data_->add_eos; }
const std::string& Tokenizer::chat_template() const { return data_->chat_template; }
int64_t Tokenizer::file_bytes() const {
  return static_cast<int64_t>(vocabulary_file().size() + config_json().size() + data_->chat_template_file.size());
}
const std::string& Tokenizer::vocabulary_file() const { return data_->contents; }
const std::string& Tokenizer::config_json() const { return data_->config_json; }

bool Tokenizer::has_token(int32_t id) const {
  return id >= 0 && id < vocab_size() && !data_->bpe.tokens()[static_cast<size_t>(id)].empty();
}

bool Tokenizer::is_special(int32_t id) const {
  return id >= 0 && id < vocab_size() && data_->special[static_cast<size_t>(id)];
}

std::string Tokenizer::token_text(int32_t id) const {
  if (!has_token(id)) {
    fail(fmt::format("token id {}", id), "is not in the vocabulary",
         fmt::format("ids are 0 to {}", vocab_size() - 1));
  }
  return data_->bpe.tokens()[static_cast<size_t>(id)];
}

int32_t Tokenizer::find_added(std::string_view token) const {
  const auto found = std::ranges::find(data_->added, token, &AddedToken::content);
  return found != data_->added.end() ? found->id : -1;
}

void Tokenizer::save(const std::string& directory) const {
  make_directories(directory);
  const std::filesystem::path folder(directory);
  write_file_atomic((folder / data_->file).string(), data_->contents);
  if (!data_->config_json.empty()) {
    write_file_atomic((folder / "tokenizer_config.json").string(), data_->config_json);
  }
  if (!data_->chat_template_file.empty()) {
    write_file_atomic((folder / "chat_template.jinja").string(), data_->chat_template_file);
  }
}

StreamDecoder::StreamDecoder(Tokenizer tokenizer, bool skip_special)
    : tokenizer_(std::move(tokenizer)), skip_special_(skip_special) {}

std::string StreamDecoder::push(int32_t id) {
  tokenizer_.append_bytes(id, skip_special_, &held_);
  std::string text;
  held_.erase(0, append_repaired(held_, true, &text));
  return text;
}

std::string StreamDecoder::finish() {
  std::string text;
  append_repaired(held_, false, &text);
  held_.clear();
  return text;
}

}  // namespace frugal::text
