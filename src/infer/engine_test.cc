#include "infer/engine.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <cstring>
#include <map>
#include <numeric>

#include "base/error.h"
#include "base/rng.h"
#include "kernels/loss.h"
#include "model/synth.h"
#include "test_models.h"

namespace frugal::infer {
namespace {

using test::make_model;
using test::v3_config;

Request request_of(std::vector<int32_t> prompt, int64_t max_tokens, uint64_t seed, float temperature = 1.0f) {
  Request r;
  r.prompt = std::move(prompt);
  r.max_tokens = max_tokens;
  r.sampling.seed = seed;
  r.sampling.temperature = temperature;
  return r;
}
std::vector<int32_t> prompt_of(int64_t n, int32_t first) {
  std::vector<int32_t> p;
  for (int64_t i = 0; i < n; ++i) p.push_back(static_cast<int32_t>((first + 7 * i) % 61));
  return p;
}

struct Output {
  std::vector<int32_t> tokens;
  std::vector<float> logprobs;
  Finish finish = Finish::kNone;
  friend bool operator==(const Output& a, const Output& b) {
    return a.tokens == b.tokens && a.finish == b.finish && a.logprobs.size() == b.logprobs.size() &&
           std::memcmp(a.logprobs.data(), b.logprobs.data(), a.logprobs.size() * sizeof(float)) == 0;
  }
};

std::map<int64_t, Output> drain(Engine* engine) {
  std::map<int64_t, Output> out;
  while (!engine->idle()) {
    for (const Event& e : engine->step()) {
      Output& o = out[e.request];
      o.finish = e.finish;
      if (e.token < 0) continue;
      o.tokens.push_back(e.token);
      o.logprobs.push_back(e.logprob);
    }
  }
  return out;
}
Output run_alone(kernels::Ctx& ctx, model::Model& m, const Request& r, EngineOptions options = {}) {
  Engine engine(ctx, m, options);
  const int64_t id = engine.add(r);
  return drain(&engine)[id];
}

class EngineTest : public ::testing::TestWithParam<kernels::Operand> {
 protected:
  kernels::Ctx ctx{2};
  std::unique_ptr<model::Model> m = make_model(ctx, v3_config(), GetParam());
};
INSTANTIATE_TEST_SUITE_P(Precisions, EngineTest,
                         ::testing::Values(kernels::Operand::kF32, kernels::Operand::kBF16),
                         [](const auto& info) {
                           return info.param == kernels::Operand::kF32 ? "f32" : "bf16";
                         });

// The promise: what the sampler reports is what training would compute, bit for bit. 80 tokens cross a page.
TEST_P(EngineTest, SampledLogProbabilitiesEqualATrainingForward) {
  const std::vector<int32_t> prompt = prompt_of(13, 5);
  const Output o = run_alone(ctx, *m, request_of(prompt, 80, 3));
  ASSERT_EQ(o.tokens.size(), 80u);
  std::vector<int32_t> row = prompt;
  row.insert(row.end(), o.tokens.begin(), o.tokens.end());
  const int64_t length = static_cast<int64_t>(row.size()) - 1;
  row.push_back(-1);  // [1, length + 2]
  model::Objective objective(m->config, m->operand, 1, length, false);
  model::ObjectiveArgs args;
  args.input = {row.data(), 1, length};
  const model::ObjectiveResult& r = objective.run(ctx, *m, args);
  for (size_t i = 0; i < o.tokens.size(); ++i) {
    const float trained = -r.token_nll[prompt.size() - 1 + i];
    EXPECT_EQ(std::memcmp(&trained, &o.logprobs[i], sizeof(float)), 0)
        << i << ": " << trained << " " << o.logprobs[i];
  }
}

// Every stored format with every form of the cache: alone, among others, in chunks of any size, on any level and
// number of threads.
TEST(EngineFormats, NeighboursChunksThreadsAndLevelsChangeNoBit) {
  model::ModelConfig c = v3_config();
  c.hidden_size = 64;
  c.intermediate_size = 96;
  c.moe_intermediate_size = 32;
  using model::StoredFormat;
  using kernels::Operand;
  for (const auto format : {StoredFormat::kF32, StoredFormat::kBF16, StoredFormat::kFP8, StoredFormat::kInt8,
                            StoredFormat::kInt4}) {
    const test::TemporaryDirectory d;
    kernels::Ctx ctx(2);
    model::synthesise_model(ctx, c, format, 1, d / "m", 1 << 20, {});
    const Operand operand = format == StoredFormat::kF32 ? Operand::kF32 : Operand::kBF16;
    std::vector<Output> outputs;
    for (const CacheForm& form : {CacheForm{false}, CacheForm{true}, CacheForm{true, Operand::kFP8},
                                  CacheForm{true, operand == Operand::kF32 ? Operand::kBF16 : Operand::kF32}}) {
      const Request r = request_of(prompt_of(75, 5), 12, 3);
      const auto load = [&](kernels::Ctx& at) {
        return model::load_model(at, d / "m", {.operand = operand, .absorbed = form.absorbed});
      };
      const auto m = load(ctx);
      const Output alone = run_alone(ctx, *m, r, {.cache = form});
      ASSERT_EQ(alone.tokens.size(), 12u);
      for (const Output& other : outputs) EXPECT_FALSE(alone.logprobs == other.logprobs);  // another form, other bits
      outputs.push_back(alone);
      EXPECT_TRUE(alone == run_alone(ctx, *m, r, {.max_batch_tokens = 7, .cache = form}));
      Engine engine(ctx, *m, {.max_sequences = 32, .max_batch_tokens = 64, .cache = form});
      for (int32_t i = 0; i < 31; ++i)
        engine.add(request_of(prompt_of(3 + i, i), 20, static_cast<uint64_t>(i)));
      const int64_t id = engine.add(r);
      EXPECT_TRUE(alone == drain(&engine)[id]);
      for (const std::string& level : kernels::available_levels()) {
        kernels::Ctx other(3, kernels::level_by_name(level));
        const auto again = load(other);
        EXPECT_TRUE(alone == run_alone(other, *again, r, {.cache = form})) << level;
      }
    }
  }
}

// A certain token: its loss is +0, its log-probability -0.
TEST(Sampler, CertainTokensHaveTheLossTooBitForBit) {
  std::vector<float> logits(50, -200.0f);
  logits[7] = 100.0f;
  const Sampled s = sample(kernels::default_level(), logits.data(), 50, {.temperature = 0}, 3);
  kernels::Ctx ctx(1);
  const int32_t target = 7;
  float nll = 1;
  kernels::cross_entropy(ctx, logits.data(), 50, 50, &target, 1, 0, &nll, nullptr);
  const float trained = -nll;
  EXPECT_EQ(s.token, 7);
  EXPECT_EQ(std::memcmp(&trained, &s.logprob, sizeof(float)), 0) << trained << " " << s.logprob;
}

// A chat: every turn's prompt begins with the turn before. The kept cache must change no bit, whatever part
// of it agrees.
TEST_P(EngineTest, KeptCacheChangesNoBit) {
  for (const bool absorbed : {false, true}) {
    EngineOptions options;
    options.cache.absorbed = absorbed;
    options.keep_last = true;
    Engine engine(ctx, *m, options);
    std::vector<int32_t> talk = prompt_of(70, 3);
    for (const int64_t cut : {0, 5, 60, 1}) {
      talk.resize(talk.size() - static_cast<size_t>(cut));  // the next turn departs from what was said
      for (const int32_t id : prompt_of(9, static_cast<int32_t>(cut) + 1)) talk.push_back(id);
      const Request r = request_of(talk, 20, 8);
      const int64_t id = engine.add(r);
      const Output kept = drain(&engine)[id];
      EngineOptions plain;
      plain.cache.absorbed = absorbed;
      EXPECT_EQ(kept, run_alone(ctx, *m, r, plain)) << cut;
      if (cut > 0) {
        EXPECT_GT(engine.reused(), 0);
      }
      talk.insert(talk.end(), kept.tokens.begin(), kept.tokens.end());
    }
  }
}

TEST_P(EngineTest, NeighboursChangeNoBit) {
  const Request r = request_of(prompt_of(70, 2), 20, 11);
  const Output alone = run_alone(ctx, *m, r);
  EngineOptions options;
  options.max_sequences = 6;
  options.max_batch_tokens = 48;
  Engine engine(ctx, *m, options);
  engine.add(request_of(prompt_of(3, 1), 30, 1));
  engine.add(request_of(prompt_of(100, 9), 5, 2));
  const int64_t id = engine.add(r);
  for (int32_t i = 0; i < 3; ++i) engine.add(request_of(prompt_of(1 + 20 * i, i), 10 + i, 4));
  EXPECT_EQ(drain(&engine)[id], alone);
}

TEST_P(EngineTest, PrefillInChunksChangesNoBit) {
  const Request r = request_of(prompt_of(130, 4), 8, 5);
  const Output whole = run_alone(ctx, *m, r);
  for (const int64_t chunk : {1, 7, 64}) {
    for (const bool absorbed : {false, true}) {
      EngineOptions options;
      options.max_batch_tokens = chunk;
      options.cache.absorbed = absorbed;
      const Output o = run_alone(ctx, *m, r, options);
      if (absorbed) {
        // The prompt is computed in the expanded form, so the first token is the same; later ones have their
        // own form.
        EXPECT_EQ(o.tokens[0], whole.tokens[0]);
        EXPECT_EQ(std::memcmp(&o.logprobs[0], &whole.logprobs[0], sizeof(float)), 0) << chunk;
      } else {
        EXPECT_EQ(o, whole) << chunk;
      }
    }
  }
}

TEST_P(EngineTest, AbsorbedTokensDoNotDependOnNeighboursEither) {
  EngineOptions options;
  options.cache.absorbed = true;
  const Request r = request_of(prompt_of(20, 3), 60, 8);
  const Output alone = run_alone(ctx, *m, r, options);
  options.max_sequences = 3;
  Engine engine(ctx, *m, options);
  engine.add(request_of(prompt_of(9, 1), 40, 1));
  const int64_t id = engine.add(r);
  engine.add(request_of(prompt_of(33, 2), 40, 2));
  EXPECT_EQ(drain(&engine)[id], alone);
}

TEST_P(EngineTest, RequestsWaitAndAreCancelled) {
  Engine engine(ctx, *m, {});  // one at a time
  const int64_t first = engine.add(request_of(prompt_of(5, 1), 4, 1));
  const int64_t second = engine.add(request_of(prompt_of(5, 2), 4, 1));
  const int64_t third = engine.add(request_of(prompt_of(5, 3), 4, 1));
  engine.cancel(third);
  const std::vector<Event> events = engine.step();
  ASSERT_EQ(events.size(), 2u);
  EXPECT_EQ(events[0].request, third);
  EXPECT_EQ(events[0].finish, Finish::kCancelled);
  EXPECT_EQ(events[1].request, first);
  engine.cancel(first);
  auto out = drain(&engine);
  EXPECT_EQ(out[first].finish, Finish::kCancelled);
  EXPECT_EQ(out.count(third), 0u);
  EXPECT_EQ(out[second].tokens.size(), 4u);
  EXPECT_EQ(out[second].finish, Finish::kLength);
  EXPECT_EQ(out[second], run_alone(ctx, *m, request_of(prompt_of(5, 2), 4, 1)));
}

TEST_P(EngineTest, StopsAtAStopToken) {
  Request r = request_of(prompt_of(5, 1), 30, 1, 0);
  const Output free = run_alone(ctx, *m, r);
  r.stop_tokens = {free.tokens[2]};
  const Output stopped = run_alone(ctx, *m, r);
  EXPECT_EQ(stopped.finish, Finish::kStop);
  const auto at = std::find(free.tokens.begin(), free.tokens.end(), free.tokens[2]);
  EXPECT_EQ(stopped.tokens.size(), static_cast<size_t>(at - free.tokens.begin()) + 1);
}

TEST_P(EngineTest, RefusesBadRequests) {
  EngineOptions options;
  options.max_context = 16;
  Engine engine(ctx, *m, options);
  EXPECT_THROW(engine.add(request_of({}, 4, 1)), Error);
  EXPECT_THROW(engine.add(request_of({61}, 4, 1)), Error);
  EXPECT_THROW(engine.add(request_of({-1}, 4, 1)), Error);
  EXPECT_THROW(engine.add(request_of(prompt_of(16, 1), 4, 1)), Error);
  Request r = request_of({1}, 4, 1);
  r.sampling.top_p = 0;
  EXPECT_THROW(engine.add(r), Error);
  EXPECT_TRUE(engine.idle());
  engine.add(request_of(prompt_of(15, 1), 100, 1));
  EXPECT_EQ(drain(&engine)[0].tokens.size(), 1u);  // the context's end
}

class SamplerTest : public ::testing::Test {
 protected:
  const kernels::Level& level = kernels::default_level();
  std::vector<float> logits = {1.0f, 3.0f, 2.5f, -1.0f, 3.0f, 0.0f};
  std::vector<int64_t> counts(const SamplingParams& p, int64_t draws = 4000) {
    std::vector<int64_t> n(logits.size(), 0);
    for (int64_t i = 0; i < draws; ++i) ++n[static_cast<size_t>(sample(level, logits.data(), 6, p, i).token)];
    return n;
  }
};

TEST_F(SamplerTest, TemperatureZeroIsTheLowestArgmax) {
  SamplingParams p;
  p.temperature = 0;
  EXPECT_EQ(sample(level, logits.data(), 6, p, 0).token, 1);
}
TEST_F(SamplerTest, FrequenciesFollowTheProbabilities) {
  double total = 0;
  for (const float x : logits) total += std::exp(static_cast<double>(x));
  const auto n = counts({}, 40000);
  for (size_t i = 0; i < logits.size(); ++i)
    EXPECT_NEAR(static_cast<double>(n[i]) / 40000, std::exp(static_cast<double>(logits[i])) / total, 0.01)
        << i;
}
TEST_F(SamplerTest, FiltersKeepWhatTheySay) {
  SamplingParams p;
  p.top_k = 3;
  EXPECT_EQ(counts(p)[0], 0);
  EXPECT_GT(counts(p)[2], 0);
  p = {};
  p.min_p = 0.5f;  // of the largest: e^-0.5 = 0.61 stays, e^-2 goes
  EXPECT_GT(counts(p)[2], 0);
  EXPECT_EQ(counts(p)[0], 0);
  p = {};
  p.top_p = 0.3f;  // the first of the two largest holds more than that
  EXPECT_EQ(counts(p)[1], 4000);
}

// docs/numerics.md, section 6, with the whole vocabulary sorted.
int32_t restated(const kernels::Level& level, const std::vector<float>& logits, const SamplingParams& params,
                 double u) {
  const int64_t n = static_cast<int64_t>(logits.size());
  std::vector<float> p(logits.size());
  level.scale(1.0f / params.temperature, logits.data(), n, p.data());
  level.exp_scaled(p.data(), kernels::log_sum_exp(level, p.data(), n), 1.0f, n, p.data());
  std::vector<size_t> ids(p.size());
  std::iota(ids.begin(), ids.end(), size_t{0});
  const auto sum_of = [&](size_t count) {
    double sum = 0;
    for (size_t i = 0; i < count; ++i) sum += static_cast<double>(p[ids[i]]);
    return sum;
  };
  std::map<uint32_t, double> parts;  // by leading eleven bits
  for (const float x : p) parts[std::bit_cast<uint32_t>(x) >> 20] += static_cast<double>(x);
  double total = 0;
  for (const auto& [bits, sum] : parts) total += sum;
  std::stable_sort(ids.begin(), ids.end(), [&](size_t a, size_t b) { return p[a] > p[b]; });
  if (params.top_k > 0) {
    ids.resize(std::min(ids.size(), static_cast<size_t>(params.top_k)));
    total = sum_of(ids.size());
  }
  size_t kept = 1;
  for (double sum = static_cast<double>(p[ids[0]]); kept < ids.size(); ++kept) {
    if (p[ids[kept]] < params.min_p * p[ids[0]]) break;
    if (params.top_p < 1 && sum >= static_cast<double>(params.top_p) * total) break;
    sum += static_cast<double>(p[ids[kept]]);
  }
  const double limit = u * sum_of(kept);
  double sum = 0;
  for (size_t i = 0; i < kept; ++i)
    if (limit < (sum += static_cast<double>(p[ids[i]]))) return static_cast<int32_t>(ids[i]);
  return static_cast<int32_t>(ids[kept - 1]);
}
TEST_F(SamplerTest, EqualsTheWholeVocabularySorted) {
  struct Shape {
    const char* name;
    int64_t vocab;
    double spread;
  };
  int64_t position = 0;  // another number for every draw
  // The flat one has many ties, the steep one probabilities that vanish, the large one sums that are rounded.
  for (const auto& [name, vocab, spread] :
       {Shape{"one", 1, 1}, Shape{"flat", 300, 0.05}, Shape{"usual", 400, 3}, Shape{"steep", 300, 60},
        Shape{"large", 30000, 2}}) {
    std::vector<float> x = test::normal(name, vocab, spread);
    if (vocab < 1000)
      for (float& v : x) v = std::round(v * 8) / 8;
    for (const float temperature : {0.3f, 1.0f})
      for (const int64_t top_k : {0, 1, 7, 250, 1000})
        for (const float top_p : {0.05f, 0.95f, 0.999999f, 1.0f})
          for (const float min_p : {0.0f, 0.02f, 0.9f}) {
            const SamplingParams p{temperature, top_k, top_p, min_p, 5, 2};
            if (top_k == 0 && top_p == 1 && min_p == 0) continue;  // drawn in the order of ids
            for (int64_t draw = 0; draw < (vocab < 1000 ? 20 : 1); ++draw, ++position) {
              const double u = rng_uniform(rng_key(p.seed, "sample") ^ rng_key(p.stream, "stream"),
                                           static_cast<uint64_t>(position));
              ASSERT_EQ(sample(level, x.data(), vocab, p, position).token, restated(level, x, p, u))
                  << name << " temperature " << temperature << " top_k " << top_k << " top_p " << top_p
                  << " min_p " << min_p;
            }
          }
  }
}
TEST_F(SamplerTest, LogitsThatAreNotNumbersDrawSomeId) {
  logits[2] = NAN;
  for (const int64_t top_k : {0, 3})
    for (const float top_p : {0.5f, 1.0f})
      for (const float min_p : {0.0f, 0.5f}) {
        const int32_t token = sample(level, logits.data(), 6, {1.0f, top_k, top_p, min_p, 0, 0}, 0).token;
        EXPECT_TRUE(token >= 0 && token < 6) << token;
      }
}
TEST_F(SamplerTest, OneNumberPerSeedStreamAndPosition) {
  SamplingParams p;
  std::vector<int32_t> a, b, c;
  for (int64_t i = 0; i < 200; ++i) a.push_back(sample(level, logits.data(), 6, p, i).token);
  for (int64_t i = 0; i < 200; ++i) b.push_back(sample(level, logits.data(), 6, p, i).token);
  p.stream = 1;
  for (int64_t i = 0; i < 200; ++i) c.push_back(sample(level, logits.data(), 6, p, i).token);
  EXPECT_EQ(a, b);
  EXPECT_NE(a, c);
}

}  // namespace
}  // namespace frugal::infer
