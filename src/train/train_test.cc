#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <cstring>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/files.h"
#include "data/course.h"
#include "test_models.h"
#include "test_runs.h"
#include "train/schedule.h"
#include "train/trainer.h"

namespace frugal::train {
namespace {

TEST(Schedule, HasV3sShape) {
  Recipe r;
  r.steps = 10000;
  r.warmup_steps = 100;
  r.learning_rate = 1;
  r.model.num_nextn_predict_layers = 1;
  EXPECT_DOUBLE_EQ(learning_rate_at(r, 0), 0.01);
  EXPECT_DOUBLE_EQ(learning_rate_at(r, 99), 1.0);
  EXPECT_DOUBLE_EQ(learning_rate_at(r, 6759), 1.0);
  EXPECT_NEAR(learning_rate_at(r, 8210), 0.55, 1e-3);  // half way down the cosine
  EXPECT_DOUBLE_EQ(learning_rate_at(r, 9660), 0.1);
  EXPECT_DOUBLE_EQ(learning_rate_at(r, 9886), 0.1);
  EXPECT_DOUBLE_EQ(learning_rate_at(r, 9887), 0.0332);
  EXPECT_DOUBLE_EQ(mtp_lambda_at(r, 6759), 0.3);
  EXPECT_DOUBLE_EQ(mtp_lambda_at(r, 6760), 0.1);
  EXPECT_DOUBLE_EQ(bias_update_speed_at(r, 9659), 0.001);
  EXPECT_DOUBLE_EQ(bias_update_speed_at(r, 9660), 0.0);
}

// Other alphabets stand in strings and comments; elsewhere the TOML library would be lost.
TEST(Recipe, CharactersBeyondAsciiStandInStringsAndComments) {
  const test::TemporaryDirectory d;
  const auto read = [&](const std::string& text) {
    write_file_atomic(d / "r.toml", text);
    return read_recipe(d / "r.toml", {});
  };
  const Recipe r = read(
      "# Ж\ndata = [\"тексты/а.txt\", 'б#']  # я \"\nsample_prompt = \"\"\"\\\"Привет\"\" \\\\мир\"\"\"\n");
  EXPECT_EQ(r.data, (std::vector<std::string>{"тексты/а.txt", "б#"}));
  EXPECT_EQ(r.sample_prompt, "\"Привет\"\" \\мир");
  EXPECT_EQ(read("sample_prompt = \"100 % \\u0416, %D0 %\"\n").sample_prompt, "100 % Ж, %D0 %");
  EXPECT_EQ(read("sample_prompt = \"\"\"a \\\n  Ж\"\"\"\n").sample_prompt, "a Ж");
  EXPECT_EQ(read("\xef\xbb\xbfsample_prompt = \"a\\\\u0025\"\n").sample_prompt, "a\\u0025");
  for (const char* bad :
       {"steps = 3 Ж", "шаги = 3", "sample_prompt = \"a\"Ж", "steps = 0x11_00Аb", "steps = 0[\"a\xef\xbb\xbf",
        "steps = 1979-05-s;", "sample_prompt = \"\xd0\"", "sample_prompt = \"\\u0025\""})
    EXPECT_THROW(read(bad), Error) << bad;
}

TEST(Recipe, ResolvedRecipeReadsBackTheSame) {
  const Recipe r = load_recipe(
      "nano", {"data=a b.txt", "out=x\"y", "learning_rate=0.0012345678901234567", "separator=\n\t\\"});
  const std::string file = "/tmp/frugal_recipe_" + std::to_string(getpid()) + ".toml";
  write_file_atomic(file, recipe_to_toml(r));
  EXPECT_EQ(recipe_to_toml(read_recipe(file, {})), recipe_to_toml(r));
  EXPECT_EQ(read_recipe(file, {}).out, "x\"y");
  EXPECT_EQ(read_recipe(file, {}).learning_rate, 0.0012345678901234567);
  remove_all(file);
}

TEST(Optimizer, StepEqualsADoubleReference) {
  kernels::Ctx ctx(3);
  auto m = test::make_model(ctx, test::v3_config(), kernels::Operand::kF32);
  const size_t n = static_cast<size_t>(m->table.elements);
  const std::vector<float> grads = test::normal("gradient", m->table.elements, 0.3);
  std::vector<double> p(m->masters(), m->masters() + n), avg(n, 0), sq(n, 0);
  Optimizer optimizer(*m, Dtype::kF32);
  double sum = 0;
  for (const float g : grads) sum += static_cast<double>(g) * static_cast<double>(g);
  for (int64_t t = 1; t <= 3; ++t) {
    const double norm = optimizer.step(ctx, *m, grads.data(), {}, 1e-2, t);
    EXPECT_NEAR(norm, std::sqrt(sum), 1e-5 * norm);
    const double clip = std::min(1.0, 1.0 / std::sqrt(sum));
    for (const model::Param& q : m->table.params) {
      for (int64_t k = 0; k < q.elements() && q.has_gradient(); ++k) {
        const size_t i = static_cast<size_t>(q.offset() + k);
        const double g = static_cast<double>(grads[i]) * clip;
        avg[i] = 0.9 * avg[i] + 0.1 * g;
        sq[i] = 0.95 * sq[i] + 0.05 * g * g;
        const double decay = q.kind == model::ParamKind::kNorm ? 0 : 0.1;
        p[i] -=
            1e-2 * (avg[i] / (1 - std::pow(0.9, t)) / (std::sqrt(sq[i] / (1 - std::pow(0.95, t))) + 1e-8) +
                    decay * p[i]);
      }
    }
    for (size_t i = 0; i < n; ++i)
      ASSERT_NEAR(static_cast<double>(m->masters()[i]), p[i], 2e-6) << i << " step " << t;
  }
}

// bf16 moments: every value of a step is the f32 step from the rounded moments, and the panels are those of
// the new weights.
TEST(Optimizer, Bf16MomentsAreRoundedOncePerStep) {
  kernels::Ctx ctx(2);
  auto wide = test::make_model(ctx, test::v3_config(), kernels::Operand::kBF16);
  auto half = test::make_model(ctx, test::v3_config(), kernels::Operand::kBF16);
  Optimizer reference(*wide, Dtype::kF32), optimizer(*half, Dtype::kBF16);
  const auto bytes = static_cast<size_t>(wide->table.elements) * sizeof(float);
  for (int64_t t = 1; t <= 4; ++t) {
    const auto grads = test::normal("gradient " + std::to_string(t), wide->table.elements, 0.3);
    reference.step(ctx, *wide, grads.data(), {}, 1e-2, t);
    optimizer.step(ctx, *half, grads.data(), {}, 1e-2, t);
    ASSERT_EQ(std::memcmp(wide->masters(), half->masters(), bytes), 0) << t;
    for (const model::Param& p : wide->table.params) {
      for (const auto& [f32, bf16] : {std::pair{reference.exp_avg(p), optimizer.exp_avg(p)},
                                      std::pair{reference.exp_avg_sq(p), optimizer.exp_avg_sq(p)}}) {
        for (int64_t i = 0; i < p.elements(); ++i) {
          float& x = f32.as<float>()[i];
          ASSERT_EQ(bf16.as<uint16_t>()[i], bf16_from_f32(x)) << p.name << " " << i;
          x = f32_from_bf16(bf16.as<uint16_t>()[i]);  // what the next step of the other starts from
        }
      }
    }
    if (t < 4) continue;
    for (const model::Param& p : half->table.params) {
      if (p.row != 0 || !half->needs_panels(*p.weight)) continue;
      const kernels::Matrix& m = p.weight->matrix;
      const auto size = static_cast<size_t>(kernels::packed_b_bytes(m.out, m.in, m.operand));
      const auto transposed_size = static_cast<size_t>(kernels::packed_b_bytes(m.in, m.out, m.operand));
      std::vector<char> panels(size), transposed(transposed_size);
      kernels::pack_b_rows(ctx, p.weight->data, m.in, m.out, m.in, m.operand, panels.data());
      kernels::pack_b_cols(ctx, p.weight->data, m.in, m.in, m.out, m.operand, transposed.data());
      ASSERT_EQ(std::memcmp(panels.data(), m.panels, size), 0) << p.name;
      ASSERT_EQ(std::memcmp(transposed.data(), m.panels_transposed, transposed_size), 0) << p.name;
      ASSERT_EQ(m.version, t);
    }
  }
}

TEST(Optimizer, RouterBiasFollowsTheLoad) {
  kernels::Ctx ctx(1);
  auto m = test::make_model(ctx, test::v3_config(), kernels::Operand::kF32);
  float* bias = m->weights.layers[1].experts.bias.data;
  const std::vector<float> before(bias, bias + 8);
  update_router_bias(*m, {{3, 3, 3, 3, 3, 3, 2, 4}, {1, 1, 1, 1, 1, 1, 1, 1}}, 0.5);
  for (size_t e = 0; e < 8; ++e)
    EXPECT_NEAR(bias[e] - before[e], e == 6 ? 0.5f : e == 7 ? -0.5f : 0.0f, 1e-6f) << e;
}

class TrainerTest : public ::testing::Test {
 protected:
  void SetUp() override { test::write_tasks(root); }
  void TearDown() override { remove_all(root); }
  Recipe recipe(const std::string& name, const std::vector<std::string>& more = {}) {
    return test::toy_recipe(root, name, more);
  }
  std::string root = "/tmp/frugal_trainer_" + std::to_string(getpid());
};

void expect_same_state(const std::string& a, const std::string& b) {
  for (const char* file :
       {"/model.safetensors", "/trainer/masters.safetensors", "/trainer/exp_avg.safetensors",
        "/trainer/exp_avg_sq.safetensors", "/trainer/state.json"})
    EXPECT_EQ(read_file(a + file), read_file(b + file)) << file;
}

TEST_F(TrainerTest, ResumedEqualsUninterrupted) {
  Trainer::start(recipe("whole"))->run();
  {
    auto t = Trainer::start(recipe("parts"));
    for (int i = 0; i < 5; ++i) t->step();
    t->validate();
    t->save();
  }  // as if it had been killed here
  auto t = Trainer::resume(root + "/parts", {});
  EXPECT_EQ(t->steps_done(), 5);
  while (t->steps_done() < 12) t->step();
  t->save();
  for (const char* file : {"/model.safetensors", "/trainer/masters.safetensors",
                           "/trainer/exp_avg.safetensors", "/trainer/exp_avg_sq.safetensors"})
    EXPECT_EQ(read_file(newest_checkpoint(root + "/whole") + file),
              read_file(newest_checkpoint(root + "/parts") + file))
        << file;
}

// A weight that is not a number: the step says where, and what was good stays.
TEST_F(TrainerTest, BadValuesAreNamedAndChangeNothing) {
  auto t = Trainer::start(recipe("run"));
  t->step();
  t->save();
  const model::Param& p = *t->model().table.find("model.layers.1.self_attn.o_proj.weight");
  const float good = p.data()[3];
  p.data()[3] = NAN;
  t->model().pack(t->ctx(), t->steps_done());
  try {
    t->step();
    ADD_FAILURE() << "not noticed";
  } catch (const Error& e) {
    const std::string message = e.what();
    for (const char* part : {"step 2: ", "not finite", "the weight model.layers.1.self_attn.o_proj.weight",
                             "the last good checkpoint is ", "checkpoints/step-00000001"})
      EXPECT_NE(message.find(part), std::string::npos) << part << " in " << message;
  }
  EXPECT_EQ(t->steps_done(), 1);
  EXPECT_THROW(t->save(), Error);  // never a checkpoint that cannot be used
  // With the weight as it was, the step is the one of an undisturbed run.
  p.data()[3] = good;
  t->model().pack(t->ctx(), t->steps_done());
  auto other = Trainer::start(recipe("other"));
  other->step();
  EXPECT_EQ(t->step().loss, other->step().loss);
  t->save();
  other->save();
  expect_same_state(newest_checkpoint(root + "/run"), newest_checkpoint(root + "/other"));
}

TEST_F(TrainerTest, TheBestCheckpointIsKeptBesideTheNewest) {
  auto t = Trainer::start(recipe("run", {"keep_checkpoints=2"}));
  for (int i = 1; i <= 5; ++i) {
    t->step();
    t->save();
  }
  EXPECT_EQ(list_directory(root + "/run/checkpoints"),
            (std::vector<std::string>{"step-00000004", "step-00000005"}));
  // As if the validation after step 4 had been the best one.
  Trainer::start(recipe("best", {"keep_checkpoints=1", "eval_every=2", "save_every=1", "steps=6"}))->run();
  const auto [best, bits] = best_checkpoint(root + "/best");
  EXPECT_GT(bits, 0);
  const auto left = list_directory(root + "/best/checkpoints");
  EXPECT_LE(left.size(), 2u);
  EXPECT_EQ(left.back(), "step-00000006");
  EXPECT_EQ(best, root + "/best/checkpoints/" + left.front());
}

TEST_F(TrainerTest, CheckpointsBesideTrainingAreThoseOfOneThatWaits) {
  Trainer::start(recipe("beside", {"save_every=3", "keep_checkpoints=9"}))->run();
  Trainer::start(recipe("waiting", {"save_every=3", "keep_checkpoints=9", "async_save=false"}))->run();
  const auto names = list_directory(root + "/beside/checkpoints");
  EXPECT_EQ(names.size(), 4u);
  for (const std::string& name : names)
    expect_same_state(root + "/beside/checkpoints/" + name, root + "/waiting/checkpoints/" + name);
}

TEST_F(TrainerTest, ThreadsChangeNoBit) {
  for (const char* n : {"1", "2", "3"})
    Trainer::start(recipe(std::string("t") + n, {std::string("threads=") + n}))->run();
  expect_same_state(newest_checkpoint(root + "/t1"), newest_checkpoint(root + "/t2"));
  expect_same_state(newest_checkpoint(root + "/t1"), newest_checkpoint(root + "/t3"));
}

TEST_F(TrainerTest, MicrobatchesAddUpToTheBatch) {
  const StepReport whole = Trainer::start(recipe("whole", {"precision=f32"}))->step();
  const StepReport parts = Trainer::start(recipe("parts", {"precision=f32", "microbatch=1"}))->step();
  EXPECT_NEAR(whole.loss, parts.loss, 1e-5);
  EXPECT_NEAR(whole.mtp_loss, parts.mtp_loss, 1e-5);
  EXPECT_NEAR(whole.balance, parts.balance, 1e-9);
  EXPECT_NEAR(whole.grad_norm, parts.grad_norm, 1e-4 * whole.grad_norm);
  EXPECT_EQ(whole.expert_load, parts.expert_load);
}

TEST_F(TrainerTest, LossFalls) {
  auto t = Trainer::start(recipe("run", {"steps=80", "learning_rate=5e-3"}));
  const double first = t->step().loss;
  double last = 0;
  while (t->steps_done() < 80) last = t->step().loss;
  EXPECT_LT(last, first - 1.5);
  EXPECT_LT(t->validate().bits_per_byte, 4.0);
}

}  // namespace
}  // namespace frugal::train
