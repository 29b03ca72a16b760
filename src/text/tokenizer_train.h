// Training a byte-level BPE tokenizer: Sennrich et al. (2016) on bytes, cut into pieces as DeepSeek-V3 cuts
// them.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/threads.h"
#include "text/tokenizer.h"

namespace frugal::text {

struct TokenizerTrainOptions {
  int32_t vocab_size = 0;  // all ids together: special tokens, 256 bytes, merges, added tokens
  // Digits of a number that may form one piece. DeepSeek-V3 has 3; with 1 a model can learn arithmetic by
  // place.
  int32_t digits = 3;
  // Capitals that no lower-case letter follows stand alone: a word in capitals is cut into letters, so that a
  // model can learn to spell it.
  bool split_capitals = false;
  // A pair seen less often than this does not become a token.
  int64_t min_count = 2;
  // Ids 0, 1, 2, ...: the first is BOS, the second EOS, the third padding, as in DeepSeek-V3.
  std::vector<std::string> special_tokens = {"<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>",
                                             "<｜▁pad▁｜>"};
  // The last ids; not special, so decode(skip_special) keeps them. DeepSeek-V3: "<｜User｜>",
  // "<｜Assistant｜>".
  std::vector<std::string> added_tokens;
  // Bytes for distinct pieces and for what is learnt from them; at least kLeastMemory.
  int64_t memory = int64_t{2} << 30;
  static constexpr int64_t kLeastMemory = 16 << 20;
};

// Learns merges from texts (any bytes) that need not be in memory all at once.
//
// Each text is cut at the special and added tokens it contains, then by DeepSeek-V3's three Split stages;
// merges never cross a cut.
//
// Ids: special tokens, the 256 bytes in the order of DeepSeek-V3's vocabulary (with its three special tokens,
// ids 0 to 258 are the same as there), merges in order, added tokens. In every step the most frequent pair
// merges; of equally frequent ones that with the lowest left id, then the lowest right id. The result depends
// on nothing but the texts' pieces and the options, never on threads.
//
// Memory: distinct pieces are kept, not texts. When they and what will be learnt from them would take more
// than options.memory, the rarest are forgotten until half is left (Manku and Motwani, "Approximate Frequency
// Counts over Data Streams", 2002); then the result depends on the order of the texts and on the calls of
// add(), too. On top come the tables of one round: at most 32 bytes for every byte of kRoundBytes, in
// ordinary text a fiftieth of that.
class TokenizerTrainer {
 public:
  // Called between rounds and merges, in the thread that called add() or finish().
  using OnProgress = std::function<void(int64_t bytes, int32_t vocab_size)>;
  static constexpr size_t kRoundBytes = 16 << 20;

  // Throws Error if vocab_size has no room for the special tokens, 256 bytes and added tokens (259 by
  // default), and for tokens that are empty, repeated or not UTF-8.
  TokenizerTrainer(TokenizerTrainOptions options, ThreadPool& pool, OnProgress on_progress = {});
  ~TokenizerTrainer();

  // Counts the pieces of the texts, which are not needed any more afterwards. Many texts in one call are
  // shared out among the threads; a long one is cut where that changes no piece.
  void add(std::span<const std::string_view> texts);

  // If no pair is frequent enough any more, the vocabulary stays smaller than asked for: see vocab_size().
  // Throws Error if there was no text. Called once.
  Tokenizer finish();

  int64_t bytes() const;      // of all texts
  int64_t tokens() const;     // after finish(): how many the texts become, without the forgotten pieces
  int64_t forgotten() const;  // pieces that were forgotten; 0: nothing was

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// The same for texts in memory, on one thread.
Tokenizer train_tokenizer(std::span<const std::string_view> texts, const TokenizerTrainOptions& options);

}  // namespace frugal::text
