#include "text/tiktoken.h"

#include <charconv>
#include <optional>
#include <unordered_map>

#include "base/error.h"
#include "text/json_checked.h"

namespace frugal::text {

namespace {
// moonshotai, tokenization_kimi.py and tokenization_moonshot.py: pat_str. PCRE2 has no intersection of classes, so
// what is there [..&&[^\p{Han}]] is a class behind a negative look-ahead here; and its \p{Han} alone would mean the
// script extensions.
constexpr const char* kPattern =
    R"([\p{Han}]+)"
    R"(|[^\r\n\p{L}\p{N}]?(?:(?!\p{Han})[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}])*)"
    R"((?:(?!\p{Han})[\p{Ll}\p{Lm}\p{Lo}\p{M}])+(?i:'s|'t|'re|'ve|'m|'ll|'d)?)"
    R"(|[^\r\n\p{L}\p{N}]?(?:(?!\p{Han})[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}])+)"
    R"((?:(?!\p{Han})[\p{Ll}\p{Lm}\p{Lo}\p{M}])*(?i:'s|'t|'re|'ve|'m|'ll|'d)?)"
    R"(|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr int32_t kReserved = 256;             // special tokens behind the ranked ones, named or not
// Every split of every token is tried. Published files have 2.8 MB, tokens of up to 128 bytes and a few merges each.
constexpr size_t kMaxFileBytes = size_t{1} << 26, kMaxTokenBytes = 256, kMaxMerges = size_t{1} << 23;
constexpr const char* kRemedy = "get the file again: it is not as published";

int base64_value(char c) {
  if (c >= 'A' && c <= 'Z') return c - 'A';
  if (c >= 'a' && c <= 'z') return c - 'a' + 26;
  if (c >= '0' && c <= '9') return c - '0' + 52;
  return c == '+' ? 62 : c == '/' ? 63 : -1;
}

// RFC 4648 with its padding; nothing for what is not.
std::optional<std::string> from_base64(std::string_view text) {
  if (text.empty() || text.size() % 4 != 0) return {};
  std::string bytes;
  const size_t padding = text.ends_with("==") ? 2 : text.ends_with("=") ? 1 : 0;
  uint32_t bits = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    const int value = i >= text.size() - padding ? 0 : base64_value(text[i]);
    if (value < 0) return {};
    bits = bits << 6 | static_cast<uint32_t>(value);
    if (i % 4 == 3)
      for (const int shift : {16, 8, 0}) bytes += static_cast<char>(bits >> shift & 0xFF);
  }
  bytes.resize(bytes.size() - padding);
  return bytes;
}

// One line: "BASE64 RANK".
void read_line(std::string_view line, const std::string& where, TokenizerSpec* spec) {
  const size_t space = line.find(' ');
  const std::string_view digits = space == std::string_view::npos ? "" : line.substr(space + 1);
  size_t rank = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), rank);
  if (digits.empty() || error != std::errc() || end != digits.data() + digits.size())
    fail(where, "is not a token in base64 and its rank", kRemedy);
  const std::optional<std::string> bytes = from_base64(line.substr(0, space));
  if (!bytes || bytes->size() > kMaxTokenBytes)
    fail(where, fmt::format("the token is not base64 of 1 to {} bytes", kMaxTokenBytes), kRemedy);
  if (rank >= spec->tokens.size()) fail(where, fmt::format("rank {} in a file of {} tokens", rank, spec->tokens.size()), kRemedy);
  if (!spec->tokens[rank].empty()) fail(where, fmt::format("rank {} occurs twice", rank), kRemedy);
  spec->tokens[rank] = *bytes;
}

using Ids = std::unordered_map<std::string_view, int32_t>;

// Calls f(line, number) for the lines that are not empty.
template <class F>
void for_lines(std::string_view text, F f) {
  for (size_t number = 1; !text.empty(); ++number) {
    const size_t end = text.find('\n');
    std::string_view line = text.substr(0, end);
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (!line.empty()) f(line, number);
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
  }
}

Ids read_ranks(std::string_view ranks, const std::string& name, TokenizerSpec* spec) {
  if (ranks.size() > kMaxFileBytes)
    fail(name, fmt::format("{} bytes are more than {}", ranks.size(), kMaxFileBytes), kRemedy);
  size_t lines = 0;
  for_lines(ranks, [&](std::string_view, size_t) { ++lines; });
  spec->tokens.resize(lines);
  for_lines(ranks, [&](std::string_view line, size_t number) {
    read_line(line, fmt::format("{}: line {}", name, number), spec);
  });
  Ids ids;
  ids.reserve(lines);
  for (size_t id = 0; id < lines; ++id)
    if (!ids.emplace(spec->tokens[id], static_cast<int32_t>(id)).second)
      fail(name, fmt::format("ranks {} and {} have the same token", ids[spec->tokens[id]], id), kRemedy);
  for (int byte = 0; byte < 256; ++byte) {
    const char c = static_cast<char>(byte);
    const auto found = ids.find(std::string_view(&c, 1));
    if (found == ids.end()) fail(name, fmt::format("there is no token for the byte 0x{:02X}", byte), kRemedy);
    spec->byte_ids[static_cast<size_t>(byte)] = found->second;
  }
  return ids;
}

// Two neighbours merge wherever their bytes together are a token; the lowest of these goes first.
void find_merges(const Ids& ids, const std::string& name, TokenizerSpec* spec) {
  spec->rank_by_result = true;
  for (size_t id = 0; id < spec->tokens.size(); ++id) {
    const std::string_view bytes = spec->tokens[id];
    for (size_t at = 1; at < bytes.size(); ++at) {
      const auto left = ids.find(bytes.substr(0, at)), right = ids.find(bytes.substr(at));
      if (left != ids.end() && right != ids.end())
        spec->merges.push_back({left->second, right->second, static_cast<int32_t>(id)});
    }
    if (spec->merges.size() > kMaxMerges) fail(name, fmt::format("gives more than {} merges", kMaxMerges), kRemedy);
  }
}

void add_special_tokens(const Field& config, TokenizerSpec* spec) {
  const auto first = static_cast<int64_t>(spec->tokens.size());
  std::unordered_map<int64_t, std::pair<std::string, bool>> named;
  const Field decoder = config.at("added_tokens_decoder").object();
  for (const auto& [key, value] : decoder.json().items()) {
    const Field token(value, fmt::format("{}[\"{}\"]", decoder.where(), key));
    int64_t id = -1;
    const auto [end, error] = std::from_chars(key.data(), key.data() + key.size(), id);
    if (error != std::errc() || end != key.data() + key.size() || id < first || id >= first + kReserved)
      token.fail_here(fmt::format("is no id of a special token: these are {} to {}", first, first + kReserved - 1),
                      kRemedy);
    const Field content = token.object().at("content");
    if (content.string().empty()) content.fail_here("an empty token", kRemedy);
    const bool special = !token.has("special") || token.at("special").boolean();
    if (!named.emplace(id, std::pair{content.string(), special}).second) token.fail_here("is given twice", kRemedy);
  }
  std::unordered_map<std::string, int64_t> seen;
  for (int64_t id = first; id < first + kReserved; ++id) {
    const auto found = named.find(id);
    const auto [content, special] =
        found != named.end() ? found->second : std::pair{fmt::format("<|reserved_token_{}|>", id), true};
    if (!seen.emplace(content, id).second)
      decoder.fail_here(fmt::format("\"{}\" is both {} and {}", content, seen[content], id), kRemedy);
    spec->tokens.push_back(content);
    spec->added.push_back({static_cast<int32_t>(id), content, special, false});
  }
}
}  // namespace

TokenizerSpec parse_tiktoken(std::string_view ranks, const std::string& name, std::string_view config_json,
                             const std::string& config_name) {
  if (config_json.empty()) fail(config_name, "is missing: it names the special tokens of " + name, "put it beside that file");
  const nlohmann::json document = parse_checked(config_json, config_name);
  const Field config = Field::root(document, config_name).object();
  const Field kind = config.at("tokenizer_class");
  if (kind.string() != "TikTokenTokenizer")
    kind.fail_here(fmt::format("\"{}\": {} is read as Moonlight's and Kimi-K2's \"TikTokenTokenizer\" reads it", kind.string(), name),
                   "use the directory of a Moonlight or Kimi-K2 model as published");
  TokenizerSpec spec;
  find_merges(read_ranks(ranks, name, &spec), name, &spec);
  spec.mergeable.assign(spec.tokens.size(), true);
  spec.ignore_merges = true;
  spec.stages.push_back({kPattern, Regex::Syntax::kPattern, name});
  add_special_tokens(config, &spec);
  spec.mergeable.resize(spec.tokens.size(), false);
  return spec;
}

}  // namespace frugal::text
