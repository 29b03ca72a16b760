// A golden model case through the inference path: prefill in chunks, then one token a step, through expanded and
// absorbed caches.
#include "base/error.h"
#include "eval/verify_model.h"
#include "infer/engine.h"
#include "kernels/loss.h"
#include "model/head.h"
#include "model/kv_cache.h"

namespace frugal::eval {

using kernels::Operand;
using model::Model;

namespace {
// Sequences in a cache of their own.
class Cached {
 public:
  Cached(kernels::Ctx& ctx, Model& m, const infer::CacheForm& form, int64_t sequences, int64_t positions)
      : ctx_(ctx),
        model_(m),
        absorbed_(form.absorbed),
        cache_(m.config, form.type.value_or(m.operand), form.absorbed, sequences * pages_of(positions)),
        arena_(model::Objective::memory_bytes(m.config, m.operand, sequences, positions, false)),
        tables_(static_cast<size_t>(sequences)) {
    for (auto& table : tables_)
      for (int64_t i = 0; i < pages_of(positions); ++i) table.push_back(cache_.take());
  }

  // The next n tokens of every sequence in one pass; tokens of sequence s at ids + s * stride. Logits [sequences, n, V].
  std::vector<float> forward(const int32_t* ids, int64_t stride, int64_t n, int64_t position, bool sampled) {
    const int64_t hidden = model_.config.hidden_size;
    model::TokenBatch batch;
    for (size_t s = 0; s < tables_.size(); ++s)
      batch.add(ids + static_cast<int64_t>(s) * stride, n, position, tables_[s].data(), absorbed_ && sampled);
    arena_.rewind(0);
    const int64_t rows = batch.size();
    float* x = arena_.alloc<float>(rows * hidden);
    float* h = arena_.alloc<float>(rows * hidden);
    float* r = arena_.alloc<float>(rows);
    model::forward(ctx_, model_, {batch, arena_, &cache_}, x, h, r);
    std::vector<float> logits(static_cast<size_t>(rows * model_.config.vocab_size));
    model::head_logits(ctx_, model_, h, rows, logits.data());
    return logits;
  }

 private:
  static int64_t pages_of(int64_t positions) { return (positions + kernels::kPageTokens - 1) / kernels::kPageTokens; }

  kernels::Ctx& ctx_;
  Model& model_;
  bool absorbed_;
  model::KvCache cache_;
  Arena arena_;
  std::vector<std::vector<int32_t>> tables_;
};

struct Continuation {
  std::vector<int64_t> tokens;
  std::vector<float> logits;  // [steps, V], each row produced the token beside it
};

Continuation continue_greedily(kernels::Ctx& ctx, Model& m, const std::vector<int32_t>& prompt, int64_t steps,
                               bool absorbed) {
  const int64_t vocab = m.config.vocab_size;
  Cached cached(ctx, m, {absorbed}, 1, static_cast<int64_t>(prompt.size()) + steps);
  Continuation c;
  std::vector<int32_t> chunk = prompt;
  for (int64_t step = 0, position = 0; step < steps; ++step) {
    const int64_t n = static_cast<int64_t>(chunk.size());
    const std::vector<float> logits = cached.forward(chunk.data(), n, n, position, step > 0);
    c.logits.insert(c.logits.end(), logits.end() - vocab, logits.end());
    chunk = {kernels::argmax(logits.data() + (n - 1) * vocab, vocab)};
    c.tokens.push_back(chunk[0]);
    position += n;
  }
  return c;
}

// Logits [B, T, V] of the case's rows side by side: a third of each as its prompt, in two chunks, the rest token by
// token.
std::vector<float> cached_logits(const ModelCase& c, Model& m, const infer::CacheForm& form) {
  const int64_t vocab = m.config.vocab_size, T = c.length, prompt = std::max<int64_t>(2, T / 3);
  Cached cached(c.ctx, m, form, c.rows, T);
  std::vector<float> all(static_cast<size_t>(c.rows * T * vocab));
  for (int64_t at = 0, n = 0; at < T; at += n) {
    n = at == 0 ? prompt / 2 : at < prompt ? prompt - at : 1;
    const std::vector<float> some = cached.forward(c.tokens.data() + at, T + 2, n, at, at >= prompt);
    for (int64_t b = 0; b < c.rows; ++b)
      std::copy_n(some.begin() + b * n * vocab, n * vocab, all.begin() + (b * T + at) * vocab);
  }
  return all;
}
}  // namespace

void verify_inference(const ModelCase& c, const ModelRun& run) {
  if (!c.golden.has("logits")) return;
  const std::vector<float> want = c.golden.f32("logits", {c.rows, c.length, c.config.vocab_size});
  for (const Operand operand : {Operand::kF32, Operand::kBF16}) {
    if (c.config.fp8 && operand == Operand::kBF16) continue;  // W8A16: verify_fp8
    const bool f32 = operand == Operand::kF32;
    const std::unique_ptr<Model> m = model::load_model(c.ctx, c.directory, {operand, false, true});
    const std::string name = f32 ? "logits" : "bf16.logits (median)";
    for (const bool absorbed : {false, true}) {
      const std::vector<float> got = cached_logits(c, *m, {absorbed});
      const std::string form = absorbed ? " [absorbed cache]" : " [expanded cache]";
      if (f32)
        check_absolute(c.report, name + form, got, want, c.config.fp8 ? Accept::kFp8Logits : Accept::kActivation);
      else
        add_check(c.report, name + form, median_distance(got, want),
                  {Accept::kBf16Logits, "median of the absolute error"});
      if (f32 && !absorbed) check_bits(c.report, name + form + " = training's", got, run.values.at("logits"));
    }
  }
}

void verify_generation(const ModelCase& c) {
  if (!c.golden.has("gen.tokens")) return;
  const int64_t length = c.golden.shape("gen.prompt", 1)[0], steps = c.golden.shape("gen.tokens", 1)[0];
  const std::vector<int64_t> ids = c.golden.i64("gen.prompt", {length}),
                             want = c.golden.i64("gen.tokens", {steps});
  const std::vector<float> want_logits = c.golden.f32("gen.step_logits", {steps, c.config.vocab_size});
  std::vector<int32_t> prompt;
  for (int64_t id : ids) {
    if (id < 0 || id >= c.config.vocab_size)
      fail(c.golden.path() + ": gen.prompt",
           fmt::format("token {} of a vocabulary of {}", id, c.config.vocab_size), "");
    prompt.push_back(static_cast<int32_t>(id));
  }
  if (prompt.empty() || length + steps > c.config.max_position_embeddings)
    fail(c.golden.path() + ": gen.prompt", fmt::format("{} tokens and {} steps do not fit", length, steps),
         "");
  const std::unique_ptr<Model> m =
      model::load_model(c.ctx, c.directory, {Operand::kF32, false, true});
  for (bool absorbed : {false, true}) {
    const Continuation got = continue_greedily(c.ctx, *m, prompt, steps, absorbed);
    const std::string form = absorbed ? " [absorbed cache]" : "";
    check_bits(c.report, "gen.tokens" + form, got.tokens, want);
    check_absolute(c.report, "gen.step_logits" + form, got.logits, want_logits, Accept::kActivation);
  }
}

}  // namespace frugal::eval
