// Engine: continuous batching over one model and one paged cache. Every step runs prefill chunks of new
// requests and one token of every running one in the same forward pass; a request's bits do not depend on its
// neighbours.
#pragma once

#include <deque>
#include <optional>

#include "infer/sampler.h"
#include "model/head.h"
#include "model/kv_cache.h"

namespace frugal::infer {

struct CacheForm {
  bool absorbed = false;  // --attention; otherwise expanded
  // What an absorbed cache holds (--cache); an expanded one always has the model's own type.
  std::optional<kernels::Operand> type = {};
  bool operator==(const CacheForm&) const = default;
};

struct EngineOptions {
  int64_t max_context = 0;         // positions of one sequence; 0: the model's max_position_embeddings
  int64_t max_sequences = 1;       // running at once; further requests wait
  // Tokens of one forward pass: longer prompts are prefilled in chunks. 0: 512, or 2048 for contexts of 4096 and more,
  // since with an absorbed cache every chunk expands the keys of all positions before it again.
  int64_t max_batch_tokens = 0;
  CacheForm cache = {};
  bool keep_last =
      false;  // the cache of the sequence that finished last serves the next one, as far as they agree
};

// What max_batch_tokens comes to.
int64_t batch_tokens(const model::ModelConfig& config, const EngineOptions& options);

struct Request {
  std::vector<int32_t> prompt;  // at least one token
  SamplingParams sampling;
  int64_t max_tokens = 0;            // to sample; 0: up to the context's end
  std::vector<int32_t> stop_tokens;  // end of text and others
};

enum class Finish { kNone, kStop, kLength, kCancelled };

struct Event {
  int64_t request = 0;
  int32_t token = -1;  // -1: none (cancelled)
  float logprob = 0;
  Finish finish = Finish::kNone;
};

class Engine {
 public:
  // The model must outlive the engine; with options.cache.absorbed it must have been loaded with its absorbed
  // matrices.
  Engine(kernels::Ctx& ctx, model::Model& model, const EngineOptions& options);
  static int64_t memory_bytes(const model::ModelConfig& config, kernels::Operand operand,
                              const EngineOptions& options);

  // Throws Error for an empty prompt, ids outside the vocabulary and a prompt that does not fit the context.
  int64_t add(Request request);
  void cancel(int64_t request);
  bool idle() const { return running_.empty() && waiting_.empty(); }
  // Positions of the newest request that keep_last found in the cache.
  int64_t reused() const { return reused_; }
  // One forward pass; the tokens sampled in it.
  std::vector<Event> step();

 private:
  struct Sequence {
    int64_t id;
    Request request;
    std::vector<int32_t> tokens;  // prompt and sampled
    int64_t computed = 0;         // positions in the cache
    std::vector<int32_t> pages;
    bool cancelled = false;
  };
  void admit();
  void reuse_kept(Sequence* next);
  void give_pages(Sequence* s, size_t keep);
  void finish(size_t index);
  int64_t take_tokens(Sequence* s, int64_t budget, model::TokenBatch* batch);

  kernels::Ctx& ctx_;
  model::Model& model_;
  EngineOptions options_;
  model::KvCache cache_;
  Arena arena_;
  std::vector<Sequence> running_;
  std::deque<Sequence> waiting_;
  std::vector<Event> pending_;
  int64_t next_id_ = 0;
  std::optional<Sequence> kept_;
  int64_t reused_ = 0;
};

}  // namespace frugal::infer
