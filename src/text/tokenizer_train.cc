#include "text/tokenizer_train.h"

#include <algorithm>
#include <array>
#include <optional>
#include <queue>
#include <set>
#include <unordered_map>
#include <unordered_set>
#include <utility>

#include "base/error.h"
#include "text/added_tokens.h"
#include "text/byte_level.h"
#include "text/pretokenizer.h"
#include "text/tokenizer_json.h"
#include "text/utf8.h"

namespace frugal::text {

namespace {

// DeepSeek-V3, tokenizer.json: pre_tokenizer. The first has its digit limit filled in.
constexpr const char* kCjkPattern = "[一-龥\u3040-ゟ゠-ヿ]+";
constexpr const char* kMainPattern =
    R"([!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+)"
    R"(| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

constexpr int32_t kMaxVocabSize = 1 << 22;

// The training text after cutting: each distinct piece once.
struct Word {
  std::vector<int32_t> symbols;
  int64_t count;
};

using Pair = std::pair<int32_t, int32_t>;

struct PairHash {
  size_t operator()(const Pair& pair) const {
    const uint64_t key =
        uint64_t{static_cast<uint32_t>(pair.first)} << 32 | static_cast<uint32_t>(pair.second);
    return key * 0x9E3779B97F4A7C15u >> 20;  // the upper bits of the product are the well mixed ones
  }
};

struct PairInfo {
  int64_t count = 0;
  std::vector<uint32_t> words;  // indices of words that have had the pair; may repeat, may be out of date
};

struct Candidate {
  int64_t count;
  Pair pair;
  // For a priority queue: the most frequent pair first, then the lowest ids.
  bool operator<(const Candidate& other) const {
    return count != other.count ? count < other.count : pair > other.pair;
  }
};

// Pairs and their counts, kept up to date merge by merge.
class PairCounts {
 public:
  explicit PairCounts(std::vector<Word> words) : words_(std::move(words)) {
    for (uint32_t w = 0; w < words_.size(); ++w) {
      const std::vector<int32_t>& symbols = words_[w].symbols;
      for (size_t i = 0; i + 1 < symbols.size(); ++i)
        change({symbols[i], symbols[i + 1]}, w, words_[w].count);
    }
    for (const auto& [pair, info] : pairs_) queue_.push({info.count, pair});
    grown_.clear();
  }

  // The most frequent pair, or false if none occurs `min_count` times.
  bool best(int64_t min_count, Pair* pair) {
    while (!queue_.empty()) {
      const Candidate top = queue_.top();
      const auto found = pairs_.find(top.pair);
      const int64_t now = found != pairs_.end() ? found->second.count : 0;
      if (now == top.count) {
        *pair = top.pair;
        return now >= min_count;
      }
      queue_.pop();
      // Counts that grew were pushed when they grew; counts that shrank come back here, at their place.
      if (now > 0 && now < top.count) queue_.push({now, top.pair});
    }
    return false;
  }

  void merge(Pair pair, int32_t result) {
    const auto found = pairs_.find(pair);
    std::vector<uint32_t> where = std::move(found->second.words);
    std::ranges::sort(where);
    where.erase(std::unique(where.begin(), where.end()), where.end());
    for (const uint32_t w : where) merge_in_word(w, pair, result);
    pairs_.erase(pair);
    for (const Pair& p : grown_) {
      const auto grown = pairs_.find(p);
      if (grown != pairs_.end() && grown->second.count > 0) queue_.push({grown->second.count, p});
    }
    grown_.clear();
  }

 private:
  void change(Pair pair, uint32_t word, int64_t delta) {
    PairInfo& info = pairs_[pair];
    info.count += delta;
    if (delta > 0) {
      if (info.words.empty() || info.words.back() != word) info.words.push_back(word);
      grown_.insert(pair);
    }
  }

  // Occurrences merge from left to right and do not overlap ("aaa" is "aa" "a"), as in encoding.
  void merge_in_word(uint32_t w, Pair pair, int32_t result) {
    std::vector<int32_t>& symbols = words_[w].symbols;
    const int64_t count = words_[w].count;
    size_t to = 0;
    for (size_t from = 0; from < symbols.size(); ++from, ++to) {
      if (from + 1 == symbols.size() || symbols[from] != pair.first || symbols[from + 1] != pair.second) {
        symbols[to] = symbols[from];
        continue;
      }
      if (to > 0) {
        change({symbols[to - 1], pair.first}, w, -count);
        change({symbols[to - 1], result}, w, count);
      }
      ++from;
      if (from + 1 < symbols.size()) {
        change({pair.second, symbols[from + 1]}, w, -count);
        change({result, symbols[from + 1]}, w, count);
      }
      symbols[to] = result;
    }
    symbols.resize(to);
  }

  std::vector<Word> words_;
  std::unordered_map<Pair, PairInfo, PairHash> pairs_;
  std::priority_queue<Candidate> queue_;
  std::unordered_set<Pair, PairHash> grown_;
};

void check_options(const TokenizerTrainOptions& o) {
  const char* where = "tokenizer training";
  std::set<std::string_view> seen;
  for (const auto* list : {&o.special_tokens, &o.added_tokens}) {
    for (const std::string& token : *list) {
      if (token.empty()) fail(where, "a special token is empty", "give it a name");
      if (well_formed_prefix(token) != token.size()) fail(where, "a special token is not UTF-8", "rename it");
      if (!seen.insert(token).second)
        fail(where, fmt::format("special token \"{}\" is given twice", token), "rename it");
      // Written in byte-level symbols it would be the entry of a byte, or of a merge that training may find.
      // (Text is cut at special tokens, so one that is written as its own bytes cannot come out of merges.)
      const std::optional<std::string> bytes = from_byte_level(token);
      if (bytes && (bytes->size() == 1 || *bytes != token)) {
        fail(where, fmt::format("special token \"{}\" could also be a token of ordinary text", token),
             "use a name such as <｜name｜>");
      }
    }
  }
  const size_t least = 256 + o.special_tokens.size() + o.added_tokens.size();
  if (o.vocab_size < 0 || static_cast<size_t>(o.vocab_size) < least || o.vocab_size > kMaxVocabSize) {
    fail(where, fmt::format("a vocabulary of {} is not possible", o.vocab_size),
         fmt::format("choose {} (256 bytes and {} special tokens) to {}", least, least - 256, kMaxVocabSize));
  }
  if (o.digits < 1 || o.digits > 9)
    fail(where, fmt::format("{} digits per piece", o.digits), "choose 1 to 9");
  if (o.min_count < 1) fail(where, fmt::format("min_count is {}", o.min_count), "choose 1 or more");
}

std::vector<Word> count_words(std::span<const std::string_view> texts, const TokenizerTrainOptions& options,
                              const std::vector<std::string>& patterns) {
  std::vector<SplitStage> stages;
  for (const std::string& pattern : patterns) {
    stages.push_back({pattern, Regex::Syntax::kPattern, "tokenizer training"});
  }
  std::vector<AddedToken> specials;
  for (const auto* list : {&options.special_tokens, &options.added_tokens}) {
    for (const std::string& token : *list) specials.push_back({0, token, true, false});
  }
  const PreTokenizer pre_tokenizer(stages);
  const AddedTokenScanner scanner(specials);
  MatchScratch scratch;
  std::unordered_map<std::string_view, int64_t> counts;  // the texts outlive it
  const auto on_piece = [&](std::string_view piece) { ++counts[piece]; };
  const auto on_text = [&](std::string_view part) { pre_tokenizer.split(part, scratch, on_piece); };
  for (const std::string_view text : texts) scanner.split(text, on_text, [](int32_t) {});
  if (counts.empty()) fail("tokenizer training", "there is no text", "give files that hold text");

  std::array<int32_t, 256> byte_ids{};
  for (size_t i = 0; i < 256; ++i) {
    byte_ids[bytes_by_character()[i]] = static_cast<int32_t>(options.special_tokens.size() + i);
  }
  std::vector<Word> words;
  words.reserve(counts.size());
  for (const auto& [piece, count] : counts) {
    Word word{{}, count};
    for (const char c : piece) word.symbols.push_back(byte_ids[static_cast<uint8_t>(c)]);
    if (piece.size() > 1) words.push_back(std::move(word));
  }
  return words;
}

}  // namespace

Tokenizer train_tokenizer(std::span<const std::string_view> texts, const TokenizerTrainOptions& options) {
  check_options(options);
  TrainedVocabulary v;
  v.special_tokens = options.special_tokens;
  v.added_tokens = options.added_tokens;
  v.split_patterns = {fmt::format("\\p{{N}}{{1,{}}}", options.digits), kCjkPattern, kMainPattern};
  if (options.digits == 1) v.split_patterns[0] = "\\p{N}";
  if (options.split_capitals) v.split_patterns.insert(v.split_patterns.begin(), "[A-Z](?![a-z])");
  PairCounts counts(count_words(texts, options, v.split_patterns));

  const auto first = static_cast<int32_t>(v.special_tokens.size());
  for (const uint8_t byte : bytes_by_character()) v.tokens.emplace_back(1, static_cast<char>(byte));
  const auto room = static_cast<size_t>(options.vocab_size) - v.special_tokens.size() - v.added_tokens.size();
  Pair pair;
  while (v.tokens.size() < room && counts.best(options.min_count, &pair)) {
    // Never a token that exists: wherever these bytes stand between two token boundaries, no merge has
    // crossed the boundaries, so all such places have been cut alike and merged together the first time.
    const auto result = first + static_cast<int32_t>(v.tokens.size());
    const auto bytes_of = [&](int32_t id) { return v.tokens[static_cast<size_t>(id - first)]; };
    v.tokens.push_back(bytes_of(pair.first) + bytes_of(pair.second));
    v.merges.push_back({pair.first, pair.second, result});
    counts.merge(pair, result);
  }
  return Tokenizer::parse(write_tokenizer_json(v), "trained tokenizer", write_tokenizer_config(v));
}

}  // namespace frugal::text
