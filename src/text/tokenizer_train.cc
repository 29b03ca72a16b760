#include "text/tokenizer_train.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <optional>
#include <queue>
#include <set>
#include <unordered_map>
#include <utility>

#include "base/error.h"
#include "text/added_tokens.h"
#include "text/byte_level.h"
#include "text/deepseek_split.h"
#include "text/piece_counts.h"
#include "text/pretokenizer.h"
#include "text/tokenizer_json.h"
#include "text/utf8.h"

namespace frugal::text {

namespace {

constexpr int32_t kMaxVocabSize = 1 << 22;

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
  bool grown = false;           // in the list of pairs that the present merge makes more frequent
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

// The pieces as symbols, and the pairs in them with their counts, kept up to date merge by merge.
class PairCounts {
 public:
  PairCounts(const PieceCounts& pieces, const std::array<int32_t, 256>& byte_ids) {
    size_t bytes = 0;
    pieces.for_each([&](const PieceTable::Entry& e) { bytes += e.piece.size(); });
    words_.reserve(static_cast<size_t>(pieces.distinct()));
    symbols_.reserve(bytes);
    pieces.for_each([&](const PieceTable::Entry& e) {
      words_.push_back({symbols_.size(), e.piece.size(), e.count});
      for (const char c : e.piece) symbols_.push_back(byte_ids[static_cast<uint8_t>(c)]);
    });
  }

  void count_pairs() {
    for (uint32_t w = 0; w < words_.size(); ++w) {
      const int32_t* symbols = &symbols_[words_[w].begin];
      for (size_t i = 0; i + 1 < words_[w].size; ++i)
        change({symbols[i], symbols[i + 1]}, w, words_[w].count);
    }
    queue_grown();
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
    queue_grown();
  }

  // Symbols of all pieces, as often as they occur.
  int64_t symbols() const {
    int64_t sum = 0;
    for (const Word& word : words_) sum += word.count * static_cast<int64_t>(word.size);
    return sum;
  }

 private:
  struct Word {
    size_t begin, size;  // in symbols_
    int64_t count;
  };

  void change(Pair pair, uint32_t word, int64_t delta) {
    PairInfo& info = pairs_[pair];
    info.count += delta;
    if (delta < 0) return;
    if (info.words.empty() || info.words.back() != word) info.words.push_back(word);
    if (!info.grown) grown_.push_back(pair);
    info.grown = true;
  }

  void queue_grown() {
    for (const Pair& pair : grown_) {
      const auto found = pairs_.find(pair);
      if (found == pairs_.end()) continue;
      found->second.grown = false;
      if (found->second.count > 0) queue_.push({found->second.count, pair});
    }
    grown_.clear();
  }

  // Occurrences merge from left to right and do not overlap ("aaa" is "aa" "a"), as in encoding.
  void merge_in_word(uint32_t w, Pair pair, int32_t result) {
    Word& word = words_[w];
    int32_t* symbols = &symbols_[word.begin];
    size_t to = 0;
    for (size_t from = 0; from < word.size; ++from, ++to) {
      if (from + 1 == word.size || symbols[from] != pair.first || symbols[from + 1] != pair.second) {
        symbols[to] = symbols[from];
        continue;
      }
      if (to > 0) {
        change({symbols[to - 1], pair.first}, w, -word.count);
        change({symbols[to - 1], result}, w, word.count);
      }
      ++from;
      if (from + 1 < word.size) {
        change({pair.second, symbols[from + 1]}, w, -word.count);
        change({result, symbols[from + 1]}, w, word.count);
      }
      symbols[to] = result;
    }
    word.size = to;
  }

  std::vector<int32_t> symbols_;
  std::vector<Word> words_;
  std::unordered_map<Pair, PairInfo, PairHash> pairs_;
  std::priority_queue<Candidate> queue_;
  std::vector<Pair> grown_;
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
  if (o.memory < TokenizerTrainOptions::kLeastMemory)
    fail(where, fmt::format("{} bytes of memory are too few", o.memory),
         fmt::format("allow {} or more", TokenizerTrainOptions::kLeastMemory));
  if (o.min_count < 1) fail(where, fmt::format("min_count is {}", o.min_count), "choose 1 or more");
}

std::vector<std::string> split_patterns(const TokenizerTrainOptions& options) {
  std::vector<std::string> patterns = {
      options.digits == 1 ? kOneDigitPattern : fmt::format(kDigitsPattern, options.digits), kCjkPattern,
      kMainPattern};
  if (options.split_capitals) patterns.insert(patterns.begin(), kCapitalsPattern);
  return patterns;
}

std::vector<SplitStage> split_stages(const TokenizerTrainOptions& options) {
  std::vector<SplitStage> stages;
  for (const std::string& pattern : split_patterns(options))
    stages.push_back({pattern, Regex::Syntax::kPattern, "tokenizer training"});
  return stages;
}

std::vector<AddedToken> tokens_to_find(const TokenizerTrainOptions& options) {
  std::vector<AddedToken> tokens;
  for (const auto* list : {&options.special_tokens, &options.added_tokens}) {
    for (const std::string& token : *list) tokens.push_back({0, token, true, false});
  }
  return tokens;
}

TokenizerTrainOptions checked(TokenizerTrainOptions options) {
  check_options(options);
  return options;
}

// A part is counted by one thread: long enough to be worth it, short enough for all to finish at once.
constexpr size_t kPartBytes = 1 << 20;
// Merges between two reports.
constexpr int kReportMerges = 256;

bool is_ascii_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

// Whether no pattern reaches over the boundary between the two characters: a word has ended, or a line before
// what is surely no white space (that is ASCII, or U+0085, U+00A0, U+1680, U+2000 and up, U+3000).
bool is_boundary(char before, char after) {
  const auto next = static_cast<uint8_t>(after);
  if (is_ascii_letter(before) && after == ' ') return true;
  return before == '\n' &&
         ((next > ' ' && next < 0x7F) || next == 0xE0 || next > 0xE3 || (next > 0xC2 && next < 0xE0));
}

}  // namespace

struct TokenizerTrainer::State {
  State(TokenizerTrainOptions o, ThreadPool& p, OnProgress f)
      : options(checked(std::move(o))),
        on_progress(std::move(f)),
        pre_tokenizer(split_stages(options)),
        to_find(tokens_to_find(options)),
        scanner(to_find),
        pieces(std::make_unique<PieceCounts>(p, options.memory)) {}

  // The first place after `from` where the text can be cut without changing a piece, or its end.
  size_t cut_after(std::string_view text, size_t from) const {
    for (size_t i = from + 1; i < text.size(); ++i) {
      if (is_boundary(text[i - 1], text[i]) && !inside_token(text, i)) return i;
    }
    return text.size();
  }

  bool inside_token(std::string_view text, size_t at) const {
    return std::ranges::any_of(to_find, [&](const AddedToken& token) {
      for (size_t before = 1; before < token.content.size(); ++before) {
        if (before <= at && text.substr(at - before).starts_with(token.content)) return true;
      }
      return false;
    });
  }

  void count(std::span<const std::string_view> texts) {
    std::atomic<int64_t> found = 0;
    // Parts of whole slices: part i is slices [starts[i], starts[i + 1]).
    const std::vector<size_t> starts = part_starts(texts);
    pieces->round(static_cast<int64_t>(starts.size()) - 1, [&](int64_t part, auto&& add) {
      MatchScratch scratch;
      int64_t tokens_found = 0;
      const auto on_text = [&](std::string_view t) { pre_tokenizer.split(t, scratch, add); };
      const auto on_token = [&](int32_t) { ++tokens_found; };
      for (size_t i = starts[static_cast<size_t>(part)]; i < starts[static_cast<size_t>(part) + 1]; ++i)
        scanner.split(texts[i], on_text, on_token);
      found += tokens_found;
    });
    special += found;
    for (const std::string_view text : texts) bytes += static_cast<int64_t>(text.size());
    if (on_progress) on_progress(bytes, 0);
  }

  static std::vector<size_t> part_starts(std::span<const std::string_view> slices) {
    std::vector<size_t> starts = {0};
    size_t size = 0;
    for (size_t i = 0; i < slices.size(); ++i) {
      size += slices[i].size();
      if (size < kPartBytes && i + 1 < slices.size()) continue;
      starts.push_back(i + 1);
      size = 0;
    }
    return starts;
  }

  TokenizerTrainOptions options;
  OnProgress on_progress;
  PreTokenizer pre_tokenizer;
  std::vector<AddedToken> to_find;
  AddedTokenScanner scanner;
  std::unique_ptr<PieceCounts> pieces;  // given back once they have become words
  int64_t bytes = 0, special = 0, tokens = 0, forgotten = 0;
};

TokenizerTrainer::TokenizerTrainer(TokenizerTrainOptions options, ThreadPool& pool, OnProgress on_progress)
    : state_(std::make_unique<State>(std::move(options), pool, std::move(on_progress))) {}

TokenizerTrainer::~TokenizerTrainer() = default;

int64_t TokenizerTrainer::bytes() const { return state_->bytes; }
int64_t TokenizerTrainer::tokens() const { return state_->tokens; }
int64_t TokenizerTrainer::forgotten() const { return state_->forgotten; }

void TokenizerTrainer::add(std::span<const std::string_view> texts) {
  std::vector<std::string_view> round;
  size_t size = 0;
  const auto end_round = [&] {
    if (!round.empty()) state_->count(round);
    round.clear();
    size = 0;
  };
  for (std::string_view text : texts) {
    while (!text.empty()) {
      const size_t n = text.size() <= kPartBytes ? text.size() : state_->cut_after(text, kPartBytes);
      round.push_back(text.substr(0, n));
      text.remove_prefix(n);
      size += n;
      if (size >= kRoundBytes) end_round();
    }
  }
  end_round();
}

Tokenizer TokenizerTrainer::finish() {
  State& s = *state_;
  s.forgotten = s.pieces->forgotten();
  if (s.pieces->distinct() == 0) {
    if (s.forgotten > 0)
      fail("tokenizer training", "all pieces of the text are equally rare and take more memory than allowed",
           "allow more memory");
    fail("tokenizer training", "there is no text", "give files that hold text");
  }
  TrainedVocabulary v;
  v.special_tokens = s.options.special_tokens;
  v.added_tokens = s.options.added_tokens;
  v.split_patterns = split_patterns(s.options);

  const auto first = static_cast<int32_t>(v.special_tokens.size());
  std::array<int32_t, 256> byte_ids{};
  for (size_t i = 0; i < 256; ++i) byte_ids[bytes_by_character()[i]] = first + static_cast<int32_t>(i);
  PairCounts counts(*s.pieces, byte_ids);
  s.pieces.reset();
  counts.count_pairs();

  for (const uint8_t byte : bytes_by_character()) v.tokens.emplace_back(1, static_cast<char>(byte));
  const auto room =
      static_cast<size_t>(s.options.vocab_size) - v.special_tokens.size() - v.added_tokens.size();
  Pair pair;
  while (v.tokens.size() < room && counts.best(s.options.min_count, &pair)) {
    // Never a token that exists: wherever these bytes stand between two token boundaries, no merge has
    // crossed the boundaries, so all such places have been cut alike and merged together the first time.
    const auto result = first + static_cast<int32_t>(v.tokens.size());
    const auto bytes_of = [&](int32_t id) { return v.tokens[static_cast<size_t>(id - first)]; };
    v.tokens.push_back(bytes_of(pair.first) + bytes_of(pair.second));
    v.merges.push_back({pair.first, pair.second, result});
    counts.merge(pair, result);
    if (s.on_progress && v.merges.size() % kReportMerges == 0)
      s.on_progress(s.bytes, result + 1 + static_cast<int32_t>(v.added_tokens.size()));
  }
  s.tokens = s.special + counts.symbols();
  return Tokenizer::parse(write_tokenizer_json(v), "trained tokenizer", write_tokenizer_config(v));
}

Tokenizer train_tokenizer(std::span<const std::string_view> texts, const TokenizerTrainOptions& options) {
  ThreadPool pool(1);
  TokenizerTrainer trainer(options, pool);
  trainer.add(texts);
  return trainer.finish();
}

}  // namespace frugal::text
