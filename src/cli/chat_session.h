// A conversation with a model: its messages, the cache kept from turn to turn, and the check that every
// sampled log-probability is what a training forward computes.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "infer/engine.h"
#include "text/chat.h"
#include "text/tokenizer.h"

namespace frugal::cli {

struct ChatPiece {
  std::string text;
  float logprob = 0;  // of the token that completed it
};

struct ChatAnswer {
  std::string text;
  int64_t prompt_tokens = 0, reused_tokens = 0, tokens = 0;
  double prefill_seconds = 0, decode_seconds = 0;
  bool stopped = false;   // by the caller
  bool cut = false;       // the context was full
  int64_t forgotten = 0;  // exchanges that were dropped to make room
};

struct Exactness {
  int64_t bits = 0, different = 0, answers = 0;
};

class ChatSession {
 public:
  // The model must outlive the session. context: 0 is the model's max_position_embeddings.
  ChatSession(kernels::Ctx& ctx, model::Model& model, const text::Tokenizer& tokenizer, int64_t context,
              const infer::CacheForm& cache);
  static int64_t memory_bytes(const model::ModelConfig& config, kernels::Operand operand, int64_t context,
                              const infer::CacheForm& cache);

  infer::SamplingParams sampling;
  text::Thinking thinking = text::Thinking::kDefault;
  int64_t max_tokens = 0;  // of an answer; 0: what the context has room for

  void set_system(const std::string& text);  // starts anew
  void clear();                              // forgets everything but the system message
  // Takes the last answer and its question back; the question, or "" if there is none.
  std::string take_back();

  // Asks and streams: on_piece is called per token and returns false to stop. Throws Error for a question
  // that does not fit the context; the conversation is then as before. When the context is full the oldest
  // exchanges are dropped.
  ChatAnswer ask(const std::string& question, const std::function<bool(const ChatPiece&)>& on_piece);

  // Compares the log-probabilities of all answers of this session with training forwards over the same
  // tokens. Throws Error with an absorbed cache, whose sampled tokens have bits of their own.
  Exactness check_exactness();

  const std::vector<text::Message>& messages() const { return messages_; }

 private:
  struct Record {  // one answer: the tokens up to its end, and what sampling said of the last ones
    std::vector<int32_t> tokens;
    std::vector<float> logprobs;
  };
  std::vector<int32_t> fitting_prompt(int64_t* forgotten);

  kernels::Ctx& ctx_;
  model::Model& model_;
  const text::Tokenizer& tokenizer_;
  text::ChatTemplate template_;
  int64_t context_;
  bool absorbed_;
  infer::Engine engine_;
  std::vector<text::Message> messages_;
  std::vector<Record> records_;
  uint64_t turn_ = 0;
};

}  // namespace frugal::cli
