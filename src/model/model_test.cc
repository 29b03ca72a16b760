// The model as a whole: gradients against finite differences, and one set of bits whatever the threads, the
// level, the neighbours, the chunks and the cache (docs/numerics.md).
#include <gtest/gtest.h>

#include <map>
#include <utility>

#include "base/error.h"
#include "model/mla.h"
#include "test_models.h"

namespace frugal::model {
namespace {

using kernels::Ctx;
using kernels::Operand;
using test::gradients_of;
using test::logits_of;
using test::make_model;
using test::same_bits;

constexpr Operand kOperands[] = {Operand::kF32, Operand::kBF16};
const char* name_of(Operand o) { return o == Operand::kF32 ? "f32" : "bf16"; }

// ---- gradients ----

// The gradient's direction, its largest element and one other element of a tensor.
std::vector<std::vector<double>> directions(const Param& p, const float* grad) {
  const auto n = static_cast<size_t>(p.elements());
  double norm = 0;
  size_t largest = 0;
  for (size_t i = 0; i < n; ++i) {
    norm += static_cast<double>(grad[i]) * static_cast<double>(grad[i]);
    if (std::abs(grad[i]) > std::abs(grad[largest])) largest = i;
  }
  std::vector<std::vector<double>> all(3, std::vector<double>(n));
  for (size_t i = 0; i < n; ++i) all[0][i] = norm > 0 ? static_cast<double>(grad[i]) / std::sqrt(norm) : 0;
  all[1][largest] = 1;
  all[2][static_cast<size_t>(test::integers(p.name, 1, p.elements())[0])] = 1;
  return all;
}

test::Gradients moved_along(Ctx& ctx, Model* m, const Param& p, const std::vector<double>& direction,
                            double step, const std::vector<int32_t>& tokens, int64_t rows, int64_t length) {
  const std::vector<float> before(p.data(), p.data() + p.elements());
  for (size_t i = 0; i < before.size(); ++i)
    p.data()[i] = static_cast<float>(static_cast<double>(before[i]) + step * direction[i]);
  m->pack_weight(ctx, p.weight->data, p.weight);
  test::Gradients g = gradients_of(ctx, m, tokens, rows, length);
  std::copy(before.begin(), before.end(), p.data());
  m->pack_weight(ctx, p.weight->data, p.weight);
  return g;
}

// Every tensor has an element of the gradient and its whole direction compared; a direction along which an
// expert's choice flips has no derivative within the step and is left out, which must stay rare.
TEST(ModelGradients, MatchFiniteDifferencesInEveryTensor) {
  Ctx ctx(1);
  constexpr int64_t kRows = 2, kLength = 9;
  constexpr double kStep = 4e-3;
  int64_t compared = 0, left_out = 0;
  for (const auto& [name, config] : test::family()) {
    SCOPED_TRACE(name);
    const auto m = make_model(ctx, config, Operand::kF32);
    std::vector<int32_t> tokens = test::integers("fd", kRows * (kLength + 2), config.vocab_size);
    tokens.back() = -1;  // a row that ends early
    const test::Gradients g = gradients_of(ctx, m.get(), tokens, kRows, kLength);
    for (const Param& p : m->table.params) {
      if (!p.has_gradient()) {
        for (int64_t i = 0; i < p.elements(); ++i)
          EXPECT_EQ(g.grads[static_cast<size_t>(p.offset() + i)], 0.0f) << p.name;
        continue;
      }
      const float* grad = g.grads.data() + p.offset();
      for (const std::vector<double>& d : directions(p, grad)) {
        double expected = 0;
        for (size_t i = 0; i < d.size(); ++i) expected += d[i] * static_cast<double>(grad[i]);
        // Four points: the error is of the fourth order, so that steps can be large against the loss's
        // float32 noise.
        double slope = 0;
        bool smooth = true;
        for (const auto& [steps, weight] : {std::pair{1.0, 8.0}, {-1.0, -8.0}, {2.0, -1.0}, {-2.0, 1.0}}) {
          const test::Gradients at = moved_along(ctx, m.get(), p, d, steps * kStep, tokens, kRows, kLength);
          slope += weight * at.loss / (12 * kStep);
          smooth = smooth && at.choices == g.choices;
        }
        (smooth ? compared : left_out) += 1;
        if (smooth) {
          EXPECT_NEAR(slope, expected, 1e-3 * std::abs(expected) + 3e-5 * g.loss)
              << p.name << ", loss " << g.loss;
        }
      }
    }
  }
  EXPECT_LT(left_out, compared / 5) << compared << " directions compared";
}

TEST(ModelGradients, EveryTensorButUnusedExpertsHasOne) {
  Ctx ctx(1);
  for (const auto& [name, config] : test::family()) {
    const auto m = make_model(ctx, config, Operand::kBF16);
    const auto g = gradients_of(ctx, m.get(), test::integers("every", 4 * 42, config.vocab_size), 4, 40);
    for (const Param& p : m->table.params) {
      if (!p.has_gradient()) continue;
      const float* d = g.grads.data() + p.offset();
      EXPECT_TRUE(std::any_of(d, d + p.elements(), [](float v) { return v != 0; })) << name << " " << p.name;
      EXPECT_TRUE(std::all_of(d, d + p.elements(), [](float v) { return std::isfinite(v); }))
          << name << " " << p.name;
    }
  }
}

TEST(ModelGradients, StayFiniteWithoutTargets) {
  Ctx ctx(1);
  const auto m = make_model(ctx, test::v3_config(), Operand::kF32);
  // One pair of tokens: a target for the main head, none for MTP. Then no target at all.
  for (const std::vector<int32_t>& tokens :
       {std::vector<int32_t>{5, 7, -1, -1, -1}, std::vector<int32_t>{5, -1, -1, -1, -1}}) {
    for (int i = 0; i < 3; ++i) {  // memory that is used again does not start out as zeros
      std::vector<float> dirt(1 << 18, std::nanf(""));
      const auto g = gradients_of(ctx, m.get(), tokens, 1, 3, 0.3, 0);
      EXPECT_TRUE(std::all_of(g.grads.begin(), g.grads.end(), [](float v) { return std::isfinite(v); }));
      if (tokens[1] < 0) {
        EXPECT_TRUE(std::all_of(g.grads.begin(), g.grads.end(), [](float v) { return v == 0; }));
      }
    }
  }
}

TEST(ModelGradients, MicrobatchesAddUp) {
  Ctx ctx(2);
  constexpr int64_t kRows = 4, kLength = 20;
  const auto m = make_model(ctx, test::v3_config(), Operand::kF32);
  const auto tokens = test::integers("micro", kRows * (kLength + 2), m->config.vocab_size);
  const auto whole = gradients_of(ctx, m.get(), tokens, kRows, kLength);
  std::vector<float> sum(whole.grads.size());
  Objective objective(m->config, m->operand, 1, kLength, true);
  ObjectiveArgs a;
  count_targets({tokens.data(), kRows, kLength}, &a.main_targets, &a.mtp_targets);
  a.sequences = kRows;
  a.mtp_lambda = 0.3;
  a.balance_alpha = 0.05;
  a.grads = sum.data();
  double nll = 0, balance = 0;
  for (int64_t r = 0; r < kRows; ++r) {
    a.input = {tokens.data() + r * (kLength + 2), 1, kLength};
    const auto result = objective.run(ctx, *m, a);
    nll += result.nll;
    balance += result.balance;
    EXPECT_TRUE(same_bits(result.token_nll.data(), whole.result.token_nll.data() + r * kLength, kLength));
  }
  EXPECT_NEAR(nll, whole.result.nll, 1e-9 * nll);
  EXPECT_NEAR(balance, whole.result.balance, 1e-9);
  double difference = 0, norm = 0;
  for (size_t i = 0; i < sum.size(); ++i) {
    difference += std::pow(static_cast<double>(sum[i]) - static_cast<double>(whole.grads[i]), 2);
    norm += std::pow(static_cast<double>(whole.grads[i]), 2);
  }
  EXPECT_GT(norm, 0);
  EXPECT_LT(std::sqrt(difference / norm), 1e-6);
}

// ---- one set of bits ----

TEST(ModelBits, ThreadsAndLevelsChangeNothing) {
  constexpr int64_t kRows = 2, kLength = 83;  // more than one page of keys and one block of 128 tokens
  for (const auto& [name, config] : test::family()) {
    const auto tokens = test::integers("bits", kRows * (kLength + 2), config.vocab_size);
    for (const Operand operand : kOperands) {
      test::Gradients first;
      for (const std::string& level : kernels::available_levels()) {
        for (const int threads : {1, 2, 3}) {
          if (threads == 2 && level != kernels::default_level().name)
            continue;  // two cores, six models: keep it short
          SCOPED_TRACE(fmt::format("{} {} {} {} threads", name, name_of(operand), level, threads));
          Ctx ctx(threads, kernels::level_by_name(level));
          const auto m = make_model(ctx, config, operand);
          test::Gradients g = gradients_of(ctx, m.get(), tokens, kRows, kLength);
          if (first.grads.empty()) {
            first = std::move(g);
            continue;
          }
          EXPECT_TRUE(same_bits(g.result.token_nll, first.result.token_nll));
          EXPECT_TRUE(same_bits(g.grads, first.grads));
          EXPECT_TRUE(same_bits(&g.loss, &first.loss, 1));
          EXPECT_EQ(g.result.expert_counts, first.result.expert_counts);
        }
      }
    }
  }
}

TEST(ModelBits, SavedOrNotGivesTheSameLogits) {
  Ctx ctx(2);
  for (const auto& [name, config] : test::family()) {
    for (const Operand operand : kOperands) {
      const auto m = make_model(ctx, config, operand);
      const auto tokens = test::integers("saved", 70, config.vocab_size);
      TokenBatch batch;
      batch.add(tokens.data(), 70, 0);
      EXPECT_TRUE(same_bits(logits_of(ctx, m.get(), batch), logits_of(ctx, m.get(), batch, nullptr, true)))
          << name;
      // Evaluation and training see the same losses.
      auto row = tokens;
      row.insert(row.end(), {3, 4});
      Objective evaluation(config, m->operand, 1, 70, false);
      ObjectiveArgs a;
      a.input = {row.data(), 1, 70};
      a.mtp_lambda = 0.3;
      const auto r = evaluation.run(ctx, *m, a);
      const auto g = gradients_of(ctx, m.get(), row, 1, 70);
      EXPECT_TRUE(same_bits(r.token_nll, g.result.token_nll)) << name;
      EXPECT_EQ(r.mtp_nll, g.result.mtp_nll) << name;
    }
  }
}

TEST(ModelBits, NeighboursChangeNothing) {
  Ctx ctx(2);
  for (const auto& [name, config] : test::family()) {
    for (const Operand operand : kOperands) {
      const auto m = make_model(ctx, config, operand);
      const auto tokens = test::integers("alone", 90, config.vocab_size);
      TokenBatch alone, together;
      alone.add(tokens.data(), 90, 0);
      const std::vector<float> expected = logits_of(ctx, m.get(), alone);
      for (const int64_t n : {1, 17, 66})
        together.add(test::integers(fmt::format("{}", n), n, config.vocab_size).data(), n, 0);
      const int64_t first = together.size();
      together.add(tokens.data(), 90, 0);
      together.add(test::integers("after", 31, config.vocab_size).data(), 31, 0);
      const std::vector<float> all = logits_of(ctx, m.get(), together);
      EXPECT_TRUE(same_bits(all.data() + first * config.vocab_size, expected.data(), 90 * config.vocab_size))
          << name << " " << name_of(operand);
    }
  }
}

// ---- caches ----

struct Cached {
  Cached(const Model& m, bool absorbed, int64_t positions) : cache(m.config, m.operand, absorbed, 8) {
    for (int64_t t = 0; t < positions; t += kernels::kPageTokens) pages.push_back(cache.take());
  }
  KvCache cache;
  std::vector<int32_t> pages;
};
// Tokens [from, to) in chunks of `chunk`.
std::vector<float> run_chunks(Ctx& ctx, Model* m, Cached* c, const std::vector<int32_t>& tokens, int64_t from,
                              int64_t to, int64_t chunk, bool absorbed) {
  std::vector<float> logits;
  for (int64_t t = from; t < to; t += chunk) {
    TokenBatch batch;
    batch.add(tokens.data() + t, std::min(chunk, to - t), t, c->pages.data(), absorbed);
    const auto part = logits_of(ctx, m, batch, &c->cache);
    logits.insert(logits.end(), part.begin(), part.end());
  }
  return logits;
}

TEST(ModelCache, PrefillInChunksEqualsTraining) {
  Ctx ctx(1);
  for (const auto& [name, config] : test::family()) {
    const int64_t n = name == "v3" ? 135 : 70;  // two or one page boundaries
    const auto tokens = test::integers("prefill", n, config.vocab_size);
    for (const Operand operand : kOperands) {
      const auto m = make_model(ctx, config, operand);
      TokenBatch batch;
      batch.add(tokens.data(), n, 0);
      const std::vector<float> expected = logits_of(ctx, m.get(), batch);
      for (const bool absorbed : {false, true}) {
        for (const int64_t chunk : {int64_t{1}, int64_t{7}, int64_t{64}, n}) {
          Cached c(*m, absorbed, n);
          EXPECT_TRUE(same_bits(run_chunks(ctx, m.get(), &c, tokens, 0, n, chunk, false), expected))
              << name << " " << name_of(operand) << (absorbed ? " absorbed cache, chunks of " : " chunks of ")
              << chunk;
        }
      }
    }
  }
}

// However little memory there is to expand latents in. The family's heads are too narrow to be cut between
// panels of kv_b_proj: one model has heads that can be taken two at a time, one that can be taken singly.
TEST(ModelCache, PrefillFromLatentsInParts) {
  Ctx ctx(2);
  constexpr int64_t kTokens = 135;
  auto models = test::family();
  for (const int64_t v_head_dim : {6, 22}) {
    ModelConfig c = test::v3_config();
    c.v_head_dim = v_head_dim;
    ASSERT_EQ(kernels::kPanelCols % (c.qk_nope_head_dim + v_head_dim), 0);
    models.push_back({fmt::format("v3 with values of {}", v_head_dim), c});
  }
  for (const auto& [name, config] : models) {
    const auto tokens = test::integers("prefill", kTokens, config.vocab_size);
    for (const Operand operand : kOperands) {
      const auto m = make_model(ctx, config, operand);
      Cached whole(*m, true, kTokens);
      const std::vector<float> expected = run_chunks(ctx, m.get(), &whole, tokens, 0, kTokens, 50, false);
      const int64_t all = expanding_bytes(config, operand, kTokens),
                    least = expanding_bytes(config, operand, kTokens, 1);
      EXPECT_LT(least, all) << name;
      for (const int64_t limit : {int64_t{1}, 2 * least, all}) {
        Cached c(*m, true, kTokens);
        c.cache.expanding_limit = limit;
        EXPECT_TRUE(same_bits(run_chunks(ctx, m.get(), &c, tokens, 0, kTokens, 50, false), expected))
            << name << " " << name_of(operand) << " in " << limit << " bytes";
        EXPECT_LE(expanding_bytes(config, operand, kTokens, limit), std::max(limit, least)) << name;
      }
    }
  }
}

TEST(ModelCache, AbsorbedTokensAreCloseToExpandedOnes) {
  constexpr int64_t kPrompt = 60, kTokens = 100;
  Ctx ctx(1);
  for (const auto& [name, config] : test::family()) {
    const auto tokens = test::integers("absorbed", kTokens, config.vocab_size);
    for (const Operand operand : kOperands) {
      const auto m = make_model(ctx, config, operand);
      TokenBatch batch;
      batch.add(tokens.data(), kTokens, 0);
      std::vector<float> expected = logits_of(ctx, m.get(), batch);
      expected.erase(expected.begin(), expected.begin() + kPrompt * config.vocab_size);
      std::vector<float> first;
      for (const int64_t chunk : {1, 7, 40}) {
        Cached c(*m, true, kTokens);
        run_chunks(ctx, m.get(), &c, tokens, 0, kPrompt, kPrompt, false);
        const auto logits = run_chunks(ctx, m.get(), &c, tokens, kPrompt, kTokens, chunk, true);
        if (first.empty()) first = logits;
        EXPECT_TRUE(same_bits(logits, first)) << name << " " << name_of(operand) << " chunks of " << chunk;
      }
      std::vector<double> errors;
      for (size_t i = 0; i < first.size(); ++i)
        errors.push_back(std::abs(static_cast<double>(first[i]) - static_cast<double>(expected[i])));
      std::sort(errors.begin(), errors.end());
      const double median = errors[errors.size() / 2];
      // Relative to the logits' size: a tied head has larger ones.
      double squares = 0;
      for (float x : expected) squares += static_cast<double>(x) * static_cast<double>(x);
      const double size = std::sqrt(squares / static_cast<double>(expected.size()));
      EXPECT_LT(median / size, operand == Operand::kF32 ? 1e-6 : 1e-2)
          << name << " " << name_of(operand) << " " << size;
      EXPECT_GT(errors.back(), 0) << name;  // the other form was taken indeed
      if (operand == Operand::kF32) {
        EXPECT_LT(errors.back(), 1e-4) << name;
      }
    }
  }
}

TEST(ModelCache, ManySequencesInOnePass) {
  Ctx ctx(2);
  const auto m = make_model(ctx, test::v3_config(), Operand::kBF16);
  const int64_t vocab = m->config.vocab_size;
  for (const bool absorbed : {false, true}) {
    KvCache cache(m->config, m->operand, absorbed, 8);
    std::vector<std::vector<int32_t>> tokens, pages(3);
    for (int i = 0; i < 3; ++i) tokens.push_back(test::integers(fmt::format("many {}", i), 100, vocab));
    for (int page = 0; page < 2; ++page)  // pages of the sequences alternate
      for (auto& p : pages) p.push_back(cache.take());
    std::vector<std::vector<float>> logits(3);
    for (int64_t at = 0; at < 100; at += 20) {
      TokenBatch batch;
      for (size_t i = 0; i < 3; ++i) batch.add(tokens[i].data() + at, 20, at, pages[i].data(), false);
      const auto all = logits_of(ctx, m.get(), batch, &cache);
      for (size_t i = 0; i < 3; ++i)
        logits[i].insert(logits[i].end(), all.begin() + static_cast<int64_t>(i) * 20 * vocab,
                         all.begin() + static_cast<int64_t>(i + 1) * 20 * vocab);
    }
    for (size_t i = 0; i < 3; ++i) {
      TokenBatch batch;
      batch.add(tokens[i].data(), 100, 0);
      EXPECT_TRUE(same_bits(logits[i], logits_of(ctx, m.get(), batch))) << i << " absorbed " << absorbed;
    }
  }
}

TEST(ModelCache, HandsOutZeroedPages) {
  const ModelConfig c = test::v3_config();
  KvCache cache(c, Operand::kBF16, false, 2);
  const int32_t a = cache.take();
  cache.take();
  EXPECT_EQ(cache.free_pages(), 0);
  const int64_t bytes = cache.layout().page_bytes();
  for (int64_t layer = 0; layer < c.num_hidden_layers; ++layer)
    std::memset(cache.page(layer, a), 0xff, static_cast<size_t>(bytes));
  cache.give(a);
  ASSERT_EQ(cache.take(), a);
  for (int64_t layer = 0; layer < c.num_hidden_layers; ++layer) {
    const std::byte* p = cache.page(layer, a);
    EXPECT_TRUE(std::all_of(p, p + bytes, [](std::byte b) { return b == std::byte{0}; })) << layer;
  }
}

// ---- parameters ----

TEST(ModelParameters, InitDependsOnSeedAndNameOnly) {
  const ModelConfig c = test::v3_config();
  Ctx one(1), three(3);
  Model a(c, Operand::kF32, true), b(c, Operand::kBF16, true), other(c, Operand::kF32, true);
  a.init(one, 5);
  b.init(three, 5);
  other.init(one, 6);
  EXPECT_TRUE(same_bits(a.masters(), b.masters(), a.table.elements));
  EXPECT_FALSE(same_bits(a.masters(), other.masters(), a.table.elements));
  const Param& p = *a.table.find("model.embed_tokens.weight");
  double sum = 0, squares = 0;
  for (int64_t i = 0; i < p.elements(); ++i) {
    sum += static_cast<double>(p.data()[i]);
    squares += std::pow(static_cast<double>(p.data()[i]), 2);
  }
  const auto n = static_cast<double>(p.elements());
  EXPECT_NEAR(std::sqrt(squares / n), 0.006 * std::sqrt(7168.0 / 36), 0.005);
  EXPECT_NEAR(sum / n, 0, 0.01);
}

TEST(ModelParameters, RangesFillTheFlatBufferOnce) {
  for (const auto& [name, config] : test::family()) {
    Weights weights;
    const ParamTable table = build_param_table(config, &weights);
    std::vector<int> owners(static_cast<size_t>(table.elements));
    std::map<std::string, int> names;
    for (const Param& p : table.params) {
      EXPECT_EQ(++names[p.name], 1) << p.name;
      for (int64_t i = 0; i < p.elements(); ++i) ++owners[static_cast<size_t>(p.offset() + i)];
    }
    EXPECT_TRUE(std::all_of(owners.begin(), owners.end(), [](int n) { return n == 1; })) << name;
  }
}

void run_with_stale_panels() {
  Ctx ctx(1);
  const auto m = make_model(ctx, test::v3_config(), Operand::kF32);
  ++m->version;
  const std::vector<int32_t> tokens = {1, 2, 3};
  TokenBatch batch;
  batch.add(tokens.data(), 3, 0);
  logits_of(ctx, m.get(), batch);
}
TEST(ModelParametersDeathTest, StalePanelsAreAnAssertion) {
  testing::GTEST_FLAG(death_test_style) = "threadsafe";
  EXPECT_DEATH(run_with_stale_panels(), "stale");
}

}  // namespace
}  // namespace frugal::model
