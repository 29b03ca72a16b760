#include "text/tokenizer_json.h"

#include <optional>
#include <unordered_map>
#include <unordered_set>
#include <utility>

#include "base/error.h"
#include "text/byte_level.h"
#include "text/json_checked.h"

namespace frugal::text {

namespace {

// Four times the largest published vocabulary; arrays are indexed by id, and a stray id must not fill the
// memory.
constexpr int64_t kMaxId = (1 << 22) - 1;
// A Sequence of Sequences is allowed; every stage costs a level of recursion for each piece.
constexpr size_t kMaxStages = 64;
constexpr const char* kOther = "use a tokenizer without it";
constexpr const char* kRebuild = "the tokenizer is inconsistent: get the file again or rebuild it";

// openai/gpt-2, encoder.py; what ByteLevel splits with when use_regex is true.
constexpr const char* kGpt2Pattern =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";

using Ids = std::unordered_map<std::string_view, int32_t>;

void check_absent(const Field& object, const char* key) {
  if (object.has(key)) object.at(key).fail_here("is not implemented", "set it to null");
}

// Null, or a Sequence of nothing.
void check_normalizer(const Field& normalizer) {
  if (normalizer.is_null()) return;
  const std::string& type = normalizer.at("type").string();
  if (type != "Sequence") normalizer.fail_here(fmt::format("type \"{}\" is not implemented", type), kOther);
  const Field list = normalizer.at("normalizers").array();
  for (size_t i = 0; i < list.size(); ++i) check_normalizer(list.at(i));
}

void read_split(const Field& split, std::vector<SplitStage>* stages) {
  split.only({"type", "pattern", "behavior", "invert"});
  const Field behavior = split.at("behavior");
  if (behavior.string() != "Isolated") {
    behavior.fail_here(fmt::format("\"{}\" is not implemented, only \"Isolated\" is", behavior.string()),
                       kOther);
  }
  split.require_false("invert");
  const Field pattern = split.at("pattern").object();
  pattern.only({"Regex", "String"});
  const bool literal = pattern.has("String");
  if (literal == pattern.has("Regex")) pattern.fail_here("needs either \"Regex\" or \"String\"");
  const Field text = pattern.at(literal ? "String" : "Regex");
  if (text.string().empty()) text.fail_here("is empty");
  stages->push_back(
      {text.string(), literal ? Regex::Syntax::kLiteral : Regex::Syntax::kPattern, text.where()});
}

// Appends the stages of one pre-tokenizer; true once ByteLevel has been seen, which must come last.
bool read_pre_tokenizer(const Field& node, std::vector<SplitStage>* stages) {
  const std::string& type = node.at("type").string();
  if (stages->size() >= kMaxStages) node.fail_here(fmt::format("more than {} stages", kMaxStages), kOther);
  if (type == "Sequence") {
    const Field list = node.at("pretokenizers").array();
    bool bytes = false;
    for (size_t i = 0; i < list.size(); ++i) {
      if (bytes) list.at(i).fail_here("a stage after ByteLevel is not implemented", kOther);
      bytes = read_pre_tokenizer(list.at(i), stages);
    }
    return bytes;
  }
  if (type == "Split") {
    read_split(node, stages);
    return false;
  }
  if (type == "Digits") {  // one piece for each number character, or for each run of them
    const bool each = node.at("individual_digits").boolean();
    stages->push_back({each ? "\\p{N}" : "\\p{N}+", Regex::Syntax::kPattern, node.where()});
    return false;
  }
  if (type == "ByteLevel") {
    node.only({"type", "add_prefix_space", "trim_offsets", "use_regex"});
    node.require_false("add_prefix_space");
    if (!node.has("use_regex") || node.at("use_regex").boolean()) {
      stages->push_back({kGpt2Pattern, Regex::Syntax::kPattern, node.where()});
    }
    return true;
  }
  node.fail_here(fmt::format("type \"{}\" is not implemented", type), kOther);
}

// encode() never adds tokens by itself, so templates that add BOS or EOS in Hugging Face have nothing to say.
void check_post_processor(const Field& node) {
  if (node.is_null()) return;
  const std::string& type = node.at("type").string();
  if (type == "Sequence") {
    const Field list = node.at("processors").array();
    for (size_t i = 0; i < list.size(); ++i) check_post_processor(list.at(i));
  } else if (type != "ByteLevel" && type != "TemplateProcessing") {
    node.fail_here(fmt::format("type \"{}\" is not implemented", type), kOther);
  }
}

void check_decoder(const Field& node) {
  if (node.is_null()) node.fail_here("null is not implemented, only ByteLevel is", kOther);
  const std::string& type = node.at("type").string();
  if (type != "ByteLevel") node.fail_here(fmt::format("type \"{}\" is not implemented", type), kOther);
}

void check_model_options(const Field& model) {
  const std::string& type = model.has("type") ? model.at("type").string() : "BPE";  // old files leave it out
  if (type != "BPE")
    model.at("type").fail_here(fmt::format("\"{}\" is not implemented, only BPE is", type), kOther);
  model.only({"type", "dropout", "unk_token", "continuing_subword_prefix", "end_of_word_suffix", "fuse_unk",
              "byte_fallback", "ignore_merges", "vocab", "merges"});
  if (model.has("dropout")) {
    const Field dropout = model.at("dropout");
    if (!dropout.json().is_number() || dropout.json().get<double>() != 0) {
      dropout.fail_here("is not implemented", "set it to null");
    }
  }
  for (const char* key : {"continuing_subword_prefix", "end_of_word_suffix"}) {
    if (model.has(key) && !model.at(key).string().empty())
      model.at(key).fail_here("is not implemented", kOther);
  }
  // unk_token and fuse_unk say what happens to unknown symbols; with all 256 bytes present there are none.
  if (model.has("unk_token")) model.at("unk_token").string();
  if (model.has("fuse_unk")) model.at("fuse_unk").boolean();
  model.require_false("byte_fallback");
}

bool is_taken(const TokenizerSpec& spec, int32_t id) {
  return static_cast<size_t>(id) < spec.tokens.size() && !spec.tokens[static_cast<size_t>(id)].empty();
}

void place(TokenizerSpec* spec, int32_t id, const std::string& bytes, bool mergeable) {
  const auto i = static_cast<size_t>(id);
  if (i >= spec->tokens.size()) {
    spec->tokens.resize(i + 1);
    spec->mergeable.resize(i + 1, false);
  }
  spec->tokens[i] = bytes;
  spec->mergeable[i] = mergeable;
}

// These two loops see a quarter of a million entries: a Field, whose name costs a string, is made for errors
// only.
void read_vocab(const Field& vocab, TokenizerSpec* spec, Ids* ids) {
  vocab.object();
  ids->reserve(vocab.size());
  spec->byte_ids.fill(-1);
  for (const auto& [symbols, value] : vocab.json().get_ref<const nlohmann::json::object_t&>()) {
    const auto entry = [&vocab, &symbols = symbols, &value = value] {
      return Field(value, fmt::format("{}[\"{}\"]", vocab.where(), symbols));
    };
    const bool plain = value.is_number_unsigned() && value.get<uint64_t>() <= static_cast<uint64_t>(kMaxId);
    const auto id = plain ? value.get<int32_t>() : static_cast<int32_t>(entry().integer(0, kMaxId));
    if (symbols.empty()) entry().fail_here("an empty token", kRebuild);
    if (is_taken(*spec, id)) entry().fail_here(fmt::format("id {} is given to two tokens", id), kRebuild);
    // A token with other characters can be no result of merging bytes; it stands for its own text, as in
    // Hugging Face's ByteLevel decoder.
    const std::optional<std::string> bytes = from_byte_level(symbols);
    place(spec, id, bytes.value_or(symbols), bytes.has_value());
    if (bytes && bytes->size() == 1) spec->byte_ids[static_cast<uint8_t>((*bytes)[0])] = id;
    ids->emplace(symbols, id);
  }
  for (size_t byte = 0; byte < 256; ++byte) {
    if (spec->byte_ids[byte] < 0) {
      vocab.fail_here(
          fmt::format("there is no token for the byte 0x{:02X}", byte),
          "frugal needs all 256 bytes: use a byte-level tokenizer trained with the full alphabet");
    }
  }
}

// "a b" (all versions read it) or ["a", "b"] (since tokenizers 0.20).
std::pair<std::string_view, std::string_view> read_pair(const Field& merges, size_t i) {
  const nlohmann::json& merge = merges.json()[i];
  if (merge.is_array()) {
    const Field pair = merges.at(i);
    if (pair.size() != 2) pair.fail_here("a merge needs two parts", kRebuild);
    return {pair.at(size_t{0}).string(), pair.at(size_t{1}).string()};
  }
  const std::string_view text =
      merge.is_string() ? merge.get_ref<const std::string&>() : merges.at(i).string();
  const size_t space = text.find(' ');
  if (space == std::string_view::npos || text.find(' ', space + 1) != std::string_view::npos) {
    merges.at(i).fail_here("a merge needs two parts with one space between them", kRebuild);
  }
  return {text.substr(0, space), text.substr(space + 1)};
}

void read_merges(const Field& merges, const Ids& ids, TokenizerSpec* spec) {
  merges.array();
  spec->merges.reserve(merges.size());
  MergeTable seen;
  seen.reserve(merges.size());
  std::string joined;
  for (size_t i = 0; i < merges.size(); ++i) {
    const auto [left, right] = read_pair(merges, i);
    (joined = left) += right;
    const auto id_of = [&](std::string_view symbols) {
      const auto found = ids.find(symbols);
      if (found == ids.end()) {
        merges.at(i).fail_here(fmt::format("\"{}\" is not in model.vocab", symbols), kRebuild);
      }
      if (!spec->mergeable[static_cast<size_t>(found->second)]) {
        merges.at(i).fail_here(fmt::format("\"{}\" is not made of byte-level symbols", symbols), kRebuild);
      }
      return found->second;
    };
    const Merge m{id_of(left), id_of(right), id_of(joined)};
    if (!seen.insert(m.left, m.right, 0, 0)) merges.at(i).fail_here("the same merge occurs twice", kRebuild);
    spec->merges.push_back(m);
  }
}

void read_added_token(const Field& token, const Ids& ids, TokenizerSpec* spec) {
  token.object();
  for (const char* flag : {"single_word", "lstrip", "rstrip"}) token.require_false(flag);
  const Field content = token.at("content");
  const Field id_field = token.at("id");
  const auto id = static_cast<int32_t>(id_field.integer(0, kMaxId));
  if (content.string().empty()) content.fail_here("an empty token", kRebuild);
  const auto in_vocab = ids.find(content.string());
  if (in_vocab != ids.end() && in_vocab->second != id) {
    id_field.fail_here(
        fmt::format("{}, but model.vocab has {} for \"{}\"", id, in_vocab->second, content.string()),
        kRebuild);
  }
  const bool taken = is_taken(*spec, id);
  if (taken && in_vocab == ids.end())
    id_field.fail_here(fmt::format("id {} is given to two tokens", id), kRebuild);
  // Added tokens stand for their text. One that is also made of byte-level symbols stays what merges give.
  const bool mergeable = taken && spec->mergeable[static_cast<size_t>(id)];
  if (!taken) place(spec, id, content.string(), false);
  if (taken && mergeable && spec->tokens[static_cast<size_t>(id)] != content.string()) {
    content.fail_here("stands for other bytes in model.vocab than as an added token", kRebuild);
  }
  const bool special = token.has("special") && token.at("special").boolean();
  const bool normalized = token.has("normalized") ? token.at("normalized").boolean() : !special;
  spec->added.push_back({id, content.string(), special, normalized});
}

void read_added_tokens(const Field& added, const Ids& ids, TokenizerSpec* spec) {
  added.array();
  std::unordered_set<std::string_view> contents;
  std::unordered_set<int32_t> seen_ids;
  for (size_t i = 0; i < added.size(); ++i) {
    const Field token = added.at(i);
    if (!contents.insert(token.at("content").string()).second) {
      token.fail_here(fmt::format("added token \"{}\" occurs twice", token.at("content").string()), kRebuild);
    }
    const auto id = static_cast<int32_t>(token.at("id").integer(0, kMaxId));
    if (!seen_ids.insert(id).second)
      token.fail_here(fmt::format("id {} is given to two tokens", id), kRebuild);
    read_added_token(token, ids, spec);
  }
}

std::string config_token(const Field& config, const char* key) {
  if (!config.has(key)) return "";
  const Field token = config.at(key);
  return token.json().is_object() ? token.at("content").string() : token.string();
}

}  // namespace

TokenizerSpec parse_tokenizer_json(std::string_view json, const std::string& name) {
  const nlohmann::json document = parse_checked(json, name);
  const Field root = Field::root(document, name);
  root.object();
  root.only({"version", "truncation", "padding", "added_tokens", "normalizer", "pre_tokenizer",
             "post_processor", "decoder", "model"});
  if (root.has("version") && root.at("version").string() != "1.0") {
    root.at("version").fail_here("only version \"1.0\" is known", kOther);
  }
  check_absent(root, "truncation");
  check_absent(root, "padding");
  if (root.has("normalizer")) check_normalizer(root.at("normalizer"));
  if (root.has("post_processor")) check_post_processor(root.at("post_processor"));
  check_decoder(root.at("decoder"));
  TokenizerSpec spec;
  const Field pre_tokenizer = root.at("pre_tokenizer");
  if (pre_tokenizer.is_null() || !read_pre_tokenizer(pre_tokenizer, &spec.stages)) {
    pre_tokenizer.fail_here("has no ByteLevel stage; tokens that are not bytes are not implemented", kOther);
  }
  const Field model = root.at("model").object();
  check_model_options(model);
  spec.ignore_merges = model.has("ignore_merges") && model.at("ignore_merges").boolean();
  Ids ids;
  read_vocab(model.at("vocab"), &spec, &ids);
  read_merges(model.at("merges"), ids, &spec);
  if (root.has("added_tokens")) read_added_tokens(root.at("added_tokens"), ids, &spec);
  return spec;
}

namespace {
// A string, or a list of named templates, of which Hugging Face takes "default" when none is asked for.
std::string chat_template_of(const Field& value) {
  if (!value.json().is_array()) return value.string();
  for (size_t i = 0; i < value.size(); ++i)
    if (value.at(i).object().at("name").string() == "default") return value.at(i).at("template").string();
  return value.size() > 0 ? value.at(size_t{0}).at("template").string() : "";
}
}  // namespace

TokenizerConfig parse_tokenizer_config(std::string_view json, const std::string& name) {
  const nlohmann::json document = parse_checked(json, name);
  const Field root = Field::root(document, name);
  root.object();
  TokenizerConfig config;
  config.bos_token = config_token(root, "bos_token");
  config.eos_token = config_token(root, "eos_token");
  if (root.has("chat_template")) config.chat_template = chat_template_of(root.at("chat_template"));
  config.add_bos_token = root.has("add_bos_token") && root.at("add_bos_token").boolean();
  config.add_eos_token = root.has("add_eos_token") && root.at("add_eos_token").boolean();
  return config;
}

}  // namespace frugal::text
