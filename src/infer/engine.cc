#include "infer/engine.h"

#include <algorithm>
#include <cstring>

#include "base/error.h"
#include "model/mla.h"

namespace frugal::infer {

using model::ModelConfig;

namespace {
int64_t context_of(const ModelConfig& c, const EngineOptions& o) {
  return o.max_context > 0 ? std::min(o.max_context, c.max_position_embeddings) : c.max_position_embeddings;
}
int64_t pages_of(int64_t positions) { return (positions + kernels::kPageTokens - 1) / kernels::kPageTokens; }
int64_t arena_bytes(const ModelConfig& c, const EngineOptions& o) {
  const int64_t batch = batch_tokens(c, o);
  int64_t layer = 0;
  for (int64_t l = 0; l < c.num_hidden_layers; ++l)
    layer =
        std::max(layer, model::saved_bytes(c, c.is_moe_layer(l), batch, kernels::Operand::kF32));
  return layer +
         model::forward_scratch_bytes(c, batch, o.max_sequences, kernels::Operand::kF32) +
         batch * (2 * c.hidden_size + 1) * 4 +
         o.max_sequences * (c.vocab_size + c.hidden_size) * 4 + 64 * 16;
}
}  // namespace

int64_t batch_tokens(const ModelConfig& c, const EngineOptions& o) {
  if (o.max_batch_tokens > 0) return o.max_batch_tokens;
  return std::max<int64_t>(o.max_sequences, context_of(c, o) < 4096 ? 512 : 2048);
}

int64_t Engine::memory_bytes(const ModelConfig& c, kernels::Operand operand, const EngineOptions& o) {
  return o.max_sequences * pages_of(context_of(c, o)) *
             model::KvCache::page_bytes(c, o.cache.type.value_or(operand), o.cache.absorbed) +
         arena_bytes(c, o) + (o.cache.absorbed ? model::expanding_bytes(c, operand, context_of(c, o)) : 0);
}

Engine::Engine(kernels::Ctx& ctx, model::Model& m, const EngineOptions& options)
    : ctx_(ctx),
      model_(m),
      options_(options),
      cache_(m.config, options.cache.type.value_or(m.operand), options.cache.absorbed,
             options.max_sequences * pages_of(context_of(m.config, options))),
      arena_(arena_bytes(m.config, options)) {
  FRUGAL_ASSERT(options.cache.absorbed || !options.cache.type,
                "an expanded cache of another type than the model's");
  options_.max_context = context_of(m.config, options);
  options_.max_batch_tokens = batch_tokens(m.config, options);
  FRUGAL_ASSERT(options_.max_batch_tokens >= options_.max_sequences, "{} tokens a pass for {} sequences",
                options_.max_batch_tokens, options_.max_sequences);
}

int64_t Engine::add(Request request) {
  check_sampling(request.sampling);
  const int64_t n = static_cast<int64_t>(request.prompt.size());
  if (n == 0) fail("prompt", "is empty", "give at least one token");
  for (int32_t id : request.prompt)
    if (id < 0 || id >= model_.config.vocab_size)
      fail("prompt",
           fmt::format("token {} lies outside the model's vocabulary of {}", id, model_.config.vocab_size),
           "use the model's own tokenizer");
  if (n >= options_.max_context)
    fail("prompt",
         fmt::format("{} tokens do not fit the context of {} with at least one to generate", n,
                     options_.max_context),
         "shorten the prompt");
  const int64_t room = options_.max_context - n;
  request.max_tokens = request.max_tokens > 0 ? std::min(request.max_tokens, room) : room;
  Sequence s{next_id_++, std::move(request), {}, 0, {}, false};
  s.tokens = s.request.prompt;
  waiting_.push_back(std::move(s));
  return waiting_.back().id;
}

void Engine::cancel(int64_t id) {
  for (auto it = waiting_.begin(); it != waiting_.end(); ++it) {
    if (it->id != id) continue;
    waiting_.erase(it);
    pending_.push_back({id, -1, 0, Finish::kCancelled});
    return;
  }
  for (Sequence& s : running_)
    if (s.id == id) s.cancelled = true;
}

void Engine::admit() {
  while (!waiting_.empty() && static_cast<int64_t>(running_.size()) < options_.max_sequences) {
    running_.push_back(std::move(waiting_.front()));
    waiting_.pop_front();
    reuse_kept(&running_.back());
  }
}

void Engine::give_pages(Sequence* s, size_t keep) {
  for (; s->pages.size() > keep; s->pages.pop_back()) cache_.give(s->pages.back());
}

// What a position holds depends on the tokens up to it alone, so pages of equal tokens are those that prefill
// would write. In the absorbed form a sampled position has other bits than a prefilled one: only the prompt
// is taken over.
void Engine::reuse_kept(Sequence* next) {
  reused_ = 0;
  if (!kept_) return;
  int64_t most = std::min(kept_->computed, static_cast<int64_t>(next->tokens.size()) - 1);
  if (options_.cache.absorbed) most = std::min(most, static_cast<int64_t>(kept_->request.prompt.size()));
  while (reused_ < most &&
         kept_->tokens[static_cast<size_t>(reused_)] == next->tokens[static_cast<size_t>(reused_)])
    ++reused_;
  give_pages(&*kept_, static_cast<size_t>(pages_of(reused_)));
  next->pages = std::move(kept_->pages);
  next->computed = reused_;
  kept_.reset();
}

void Engine::finish(size_t index) {
  if (kept_) give_pages(&*kept_, 0);
  kept_.reset();
  if (options_.keep_last)
    kept_ = std::move(running_[index]);
  else
    give_pages(&running_[index], 0);
  running_.erase(running_.begin() + static_cast<std::ptrdiff_t>(index));
}

// Adds the next tokens of a sequence to the batch: a chunk of its prompt, or the token sampled last.
int64_t Engine::take_tokens(Sequence* s, int64_t budget, model::TokenBatch* batch) {
  const int64_t n = std::min(budget, static_cast<int64_t>(s->tokens.size()) - s->computed);
  if (n <= 0) return 0;
  while (static_cast<int64_t>(s->pages.size()) < pages_of(s->computed + n)) s->pages.push_back(cache_.take());
  const bool sampled = s->computed >= static_cast<int64_t>(s->request.prompt.size());
  batch->add(s->tokens.data() + s->computed, n, s->computed, s->pages.data(), options_.cache.absorbed && sampled);
  s->computed += n;
  return n;
}

std::vector<Event> Engine::step() {
  std::vector<Event> events = std::move(pending_);
  pending_.clear();
  for (size_t i = running_.size(); i-- > 0;) {
    if (!running_[i].cancelled) continue;
    events.push_back({running_[i].id, -1, 0, Finish::kCancelled});
    finish(i);
  }
  admit();
  if (running_.empty()) return events;

  model::TokenBatch batch;
  std::vector<std::pair<size_t, int64_t>> samplers;  // running index, batch row of its last token
  // Running sequences first, so that a long prompt delays nobody by more than one pass.
  int64_t budget = options_.max_batch_tokens;
  for (const bool prefill : {false, true}) {
    for (size_t i = 0; i < running_.size(); ++i) {
      Sequence& s = running_[i];
      if ((s.computed < static_cast<int64_t>(s.request.prompt.size())) != prefill ||
          (!prefill && s.computed == static_cast<int64_t>(s.tokens.size())))
        continue;
      budget -= take_tokens(&s, budget, &batch);
      if (s.computed == static_cast<int64_t>(s.tokens.size())) samplers.emplace_back(i, batch.size() - 1);
    }
  }
  const int64_t hidden = model_.config.hidden_size, T = batch.size(), vocab = model_.config.vocab_size;
  arena_.rewind(0);
  float* x = arena_.alloc<float>(T * hidden);
  float* h = arena_.alloc<float>(T * hidden);
  float* r = arena_.alloc<float>(T);
  model::forward(ctx_, model_, {batch, arena_, &cache_, nullptr, nullptr}, x, h, r);
  const int64_t n = static_cast<int64_t>(samplers.size());
  if (n == 0) return events;
  float* rows = arena_.alloc<float>(n * hidden);
  float* logits = arena_.alloc<float>(n * vocab);
  for (int64_t i = 0; i < n; ++i)
    std::memcpy(rows + i * hidden, h + samplers[static_cast<size_t>(i)].second * hidden,
                static_cast<size_t>(hidden) * sizeof(float));
  model::head_logits(ctx_, model_, rows, n, logits);
  std::vector<Sampled> drawn(static_cast<size_t>(n));
  {
    const kernels::ProfileScope timed(ctx_.profile, "sampling", {0, 4.0 * static_cast<double>(n * vocab)});
    ctx_.pool.run(n, [&](int64_t i, int) {
      const Sequence& s = running_[samplers[static_cast<size_t>(i)].first];
      drawn[static_cast<size_t>(i)] = sample(ctx_.level, logits + i * vocab, vocab, s.request.sampling,
                                             static_cast<int64_t>(s.tokens.size()));
    });
  }
  std::vector<size_t> done;
  for (int64_t i = 0; i < n; ++i) {
    Sequence& s = running_[samplers[static_cast<size_t>(i)].first];
    const Sampled& t = drawn[static_cast<size_t>(i)];
    s.tokens.push_back(t.token);
    const auto& stops = s.request.stop_tokens;
    const int64_t sampled = static_cast<int64_t>(s.tokens.size() - s.request.prompt.size());
    const Finish f = std::find(stops.begin(), stops.end(), t.token) != stops.end() ? Finish::kStop
                     : sampled >= s.request.max_tokens                             ? Finish::kLength
                                                                                   : Finish::kNone;
    events.push_back({s.id, t.token, t.logprob, f});
    if (f != Finish::kNone) done.push_back(samplers[static_cast<size_t>(i)].first);
  }
  std::sort(done.rbegin(), done.rend());
  for (size_t index : done) finish(index);
  return events;
}

}  // namespace frugal::infer
