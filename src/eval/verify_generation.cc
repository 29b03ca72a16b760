// Greedy continuation of a golden model case: prefill, then one token a step, through a cache of its own.
#include "base/error.h"
#include "eval/verify_model.h"
#include "kernels/loss.h"
#include "model/head.h"
#include "model/kv_cache.h"

namespace frugal::eval {

using model::Model;

namespace {
struct Continuation {
  std::vector<int64_t> tokens;
  std::vector<float> logits;  // [steps, V], each row produced the token beside it
};

Continuation continue_greedily(kernels::Ctx& ctx, Model& m, const std::vector<int32_t>& prompt, int64_t steps,
                               bool absorbed) {
  const int64_t hidden = m.config.hidden_size, vocab = m.config.vocab_size;
  const int64_t positions = static_cast<int64_t>(prompt.size()) + steps;
  const int64_t pages = (positions + kernels::kPageTokens - 1) / kernels::kPageTokens;
  model::KvCache cache(m.config, m.operand, absorbed, pages);
  std::vector<int32_t> table;
  for (int64_t i = 0; i < pages; ++i) table.push_back(cache.take());
  Arena arena(
      model::Objective::memory_bytes(m.config, m.operand, 1, static_cast<int64_t>(prompt.size()), false));
  Continuation c;
  std::vector<int32_t> chunk = prompt;
  for (int64_t step = 0, position = 0; step < steps; ++step) {
    const int64_t n = static_cast<int64_t>(chunk.size());
    model::TokenBatch batch;
    batch.add(chunk.data(), n, position, table.data(),
              absorbed && step > 0);  // prompt tokens are always expanded
    arena.rewind(0);
    float* x = arena.alloc<float>(n * hidden);
    float* h = arena.alloc<float>(n * hidden);
    float* r = arena.alloc<float>(n);
    model::forward(ctx, m, {batch, arena, &cache}, x, h, r);
    c.logits.resize(c.logits.size() + static_cast<size_t>(vocab));
    float* logits = c.logits.data() + step * vocab;
    model::head_logits(ctx, m, h + (n - 1) * hidden, 1, logits);
    chunk = {kernels::argmax(logits, vocab)};
    c.tokens.push_back(chunk[0]);
    position += n;
  }
  return c;
}
}  // namespace

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
      model::load_model(c.ctx, c.directory, {kernels::Operand::kF32, false, true});
  for (bool absorbed : {false, true}) {
    const Continuation got = continue_greedily(c.ctx, *m, prompt, steps, absorbed);
    const std::string form = absorbed ? " [absorbed cache]" : "";
    check_bits(c.report, "gen.tokens" + form, got.tokens, want);
    check_absolute(c.report, "gen.step_logits" + form, got.logits, want_logits, Accept::kActivation);
  }
}

}  // namespace frugal::eval
