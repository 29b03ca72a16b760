// A golden case of a whole model: forward in f32, and the list of everything else that is checked.
#include "eval/verify_model.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "base/files.h"
#include "model/head.h"
#include "model/mtp.h"

namespace frugal::eval {

using model::Model;

ModelRun run_objective(const ModelCase& c, Model& m, double alpha, bool gradients) {
  ModelRun run;
  const model::Probe probe = [&](const std::string& name, const float* data, int64_t rows, int64_t columns) {
    std::vector<float>& v = run.values[name];
    v.insert(v.end(), data, data + rows * columns);
  };
  model::count_targets(c.input(), &run.main_targets, &run.mtp_targets);
  model::Objective objective(m.config, m.operand, c.rows, c.length, gradients);
  if (gradients) run.grads.assign(static_cast<size_t>(m.table.elements), 0.0f);
  run.result = objective.run(c.ctx, m,
                             {.input = c.input(),
                              .main_targets = run.main_targets,
                              .mtp_targets = run.mtp_targets,
                              .sequences = c.rows,
                              .mtp_lambda = c.lambda,
                              .balance_alpha = alpha,
                              .grads = gradients ? run.grads.data() : nullptr,
                              .probe = &probe});
  return run;
}

namespace {
// The first `kept` of every `length` rows.
std::vector<float> without_last_rows(const std::vector<float>& x, int64_t sequences, int64_t length,
                                     int64_t kept) {
  const size_t columns = x.size() / static_cast<size_t>(sequences * length);
  std::vector<float> y;
  for (int64_t s = 0; s < sequences; ++s) {
    const auto first = x.begin() + s * length * static_cast<int64_t>(columns);
    y.insert(y.end(), first, first + kept * static_cast<int64_t>(columns));
  }
  return y;
}

double tolerance_of(const ModelCase& c, const std::string& name) {
  if (name.ends_with(".router.scores")) return Accept::kScore;
  if (name.ends_with(".router.weights")) return Accept::kWeight;
  return name == "logits" && c.config.fp8 ? Accept::kFp8Logits : Accept::kActivation;
}

// [B, T, columns]; router rows are [B T, columns]. MTP rows 0 .. T - 2 of a sequence have an input.
struct Expected {
  std::vector<float> values;
  Shape shape;
};
Expected expected(const ModelCase& c, const std::string& name, const std::vector<float>& seen) {
  const int64_t length = name.starts_with("mtp.") ? c.length - 1 : c.length;
  const int64_t columns = static_cast<int64_t>(seen.size()) / (c.rows * c.length);
  Expected e{without_last_rows(seen, c.rows, c.length, length), {}};
  if (name.find("router.") != std::string::npos)
    e.shape = {c.rows * length, columns};
  else
    e.shape = {c.rows, length, columns};
  return e;
}
}  // namespace

void verify_activations(const ModelCase& c, GoldenFile& golden, const std::string& prefix,
                        const ModelRun& run) {
  for (const std::string& name : golden.unused()) {
    const auto seen = run.values.find(name);
    if (seen == run.values.end()) continue;
    const Expected e = expected(c, name, seen->second);
    if (name.ends_with(".router.indices")) {
      check_bits(c.report, prefix + name, std::vector<int32_t>(e.values.begin(), e.values.end()),
                 golden.i32(name, e.shape));
    } else {
      check_absolute(c.report, prefix + name, e.values, golden.f32(name, e.shape), tolerance_of(c, name));
    }
  }
}

namespace {
void check_scalar(const ModelCase& c, const std::string& name, double got) {
  if (c.golden.has(name))
    check_absolute(c.report, name, std::vector<double>{got}, c.golden.f64(name, {1}), Accept::kLoss);
}
}  // namespace

void verify_losses(const ModelCase& c, const ModelRun& run) {
  if (c.golden.has("nll")) {
    const int64_t n = c.length - 1;
    check_absolute(c.report, "nll", without_last_rows(run.result.token_nll, c.rows, c.length, n),
                   c.golden.f32("nll", {c.rows, n}), Accept::kLoss);
  }
  check_scalar(c, "loss", run.main_loss());
  check_scalar(c, "loss_main", run.main_loss());
  check_scalar(c, "loss_mtp", run.mtp_loss());
  if (!c.golden.has("loss_total")) return;
  const double mtp = c.lambda > 0 ? c.lambda * run.mtp_loss() : 0;
  check_scalar(c, "loss_total", run.main_loss() + mtp + run.result.balance);
}

namespace {
// Both readings of the low-rank norms' epsilon lie within the accept limit of each other. `where` the result
// lies on the line from the right one (0) to the other (1) tells them apart; a right float32 result is within
// 1e-5.
void verify_lora_norm_eps(const ModelCase& c, const ModelRun& run) {
  const std::string name = "logits_lowrank_norm_eps_from_config";
  if (!c.golden.has(name)) return;
  const Shape shape{c.rows, c.length, c.config.vocab_size};
  const std::vector<float>& got = run.values.at("logits");
  const std::vector<float> right = c.golden.f32("logits", shape), other = c.golden.f32(name, shape);
  constexpr double kCorrect = 1e-5;
  add_check(c.report, name, largest_distance(got, right),
            {kCorrect, "absolute, to `logits`: the reading with 1e-6"});
  double along = 0, length = 0;
  for (size_t i = 0; i < right.size(); ++i) {
    const double step = static_cast<double>(other[i]) - static_cast<double>(right[i]);
    along += (static_cast<double>(got[i]) - static_cast<double>(right[i])) * step;
    length += step * step;
  }
  add_check(c.report, name + " (where)", std::fabs(along / length), {0.1, "0: `logits`, 1: this tensor"});
}

// The MTP module on the hidden state before model.norm, forward only.
void verify_mtp_before_norm(const ModelCase& c, Model& m) {
  const std::string name = "mtp.logits_hidden_before_final_norm";
  if (!c.golden.has(name)) return;
  const int64_t n = c.rows * c.length, hidden = m.config.hidden_size;
  model::TokenBatch batch, next;
  std::vector<int32_t> row(static_cast<size_t>(c.length));
  for (int64_t shift = 0; shift < 2; ++shift) {
    for (int64_t b = 0; b < c.rows; ++b) {
      for (int64_t t = 0; t < c.length; ++t)
        row[static_cast<size_t>(t)] =
            std::max(0, c.tokens[static_cast<size_t>(b * (c.length + 2) + t + shift)]);
      (shift == 0 ? batch : next).add(row.data(), c.length, 0);
    }
  }
  Arena arena(model::Objective::memory_bytes(m.config, m.operand, c.rows, c.length, false));
  float* x = arena.alloc<float>(n * hidden);
  float* h = arena.alloc<float>(n * hidden);
  float* r = arena.alloc<float>(n);
  model::forward(c.ctx, m, {batch, arena}, x, h, r);
  const model::MtpSaved s = model::mtp_forward(c.ctx, m, {next, arena}, x);
  std::vector<float> logits(static_cast<size_t>(n * m.config.vocab_size));
  model::head_logits(c.ctx, m, s.out, n, logits.data());
  const Expected e = expected(c, name, logits);
  check_absolute(c.report, name, e.values, c.golden.f32(name, e.shape), Accept::kActivation);
}
}  // namespace

void verify_other_readings(const ModelCase& c, Model& m, const ModelRun& run) {
  verify_lora_norm_eps(c, run);
  verify_mtp_before_norm(c, m);
}

namespace {
void read_tokens(ModelCase* c) {
  const Shape shape = c->golden.shape("input_ids", 2);
  c->rows = shape[0];
  c->length = shape[1];
  const std::string where = c->golden.path() + ": input_ids";
  if (c->rows < 1 || c->length < 2 || c->length > c->config.max_position_embeddings)
    fail(where, "has shape " + to_string(shape), "a row needs 2 to max_position_embeddings tokens");
  const std::vector<int64_t> ids = c->golden.i64("input_ids", shape);
  for (int64_t i = 0; i < shape.elements(); ++i) {
    const int64_t id = ids[static_cast<size_t>(i)];
    if (id < 0 || id >= c->config.vocab_size)
      fail(where, fmt::format("token {} of a vocabulary of {}", id, c->config.vocab_size),
           "the case and config.json do not belong together");
    c->tokens.push_back(static_cast<int32_t>(id));
    if ((i + 1) % c->length == 0) c->tokens.insert(c->tokens.end(), {-1, -1});
  }
}

// Numbers of the case that are inputs of the loss.
double input_scalar(ModelCase* c, const char* name) {
  return c->golden.has(name) ? c->golden.f64(name, {1})[0] : 0;
}

void list_unchecked(const ModelCase& c, const GoldenFile* cache) {
  c.report->unchecked = c.golden.unused();
  if (cache)
    for (const std::string& name : cache->unused())
      c.report->unchecked.push_back("mla_cache.safetensors: " + name);
  for (const std::string& file : list_directory(c.directory))
    if (file.ends_with(".safetensors") && !file.starts_with("model") && file != "golden.safetensors" &&
        file != "mla_cache.safetensors")
      c.report->unchecked.push_back(file);
}
}  // namespace

CaseReport verify_model(kernels::Ctx& ctx, const std::string& directory) {
  CaseReport report{directory, {}, {}};
  GoldenFile golden(directory + "/golden.safetensors");
  ModelCase c{ctx, directory, golden, &report, model::load_config(directory)};
  read_tokens(&c);
  c.lambda = input_scalar(&c, "lambda");
  c.alpha = input_scalar(&c, "alpha");
  if (c.lambda > 0 && c.config.num_nextn_predict_layers == 0)
    fail(golden.path() + ": lambda", "is set for a model without an MTP module", "");
  for (const std::string& name : golden.unused()) c.gradients = c.gradients || name.starts_with("grad.");

  const std::unique_ptr<Model> m = model::load_model(ctx, directory, {kernels::Operand::kF32, true, false});
  const ModelRun run = run_objective(c, *m, c.alpha, c.gradients);
  verify_activations(c, golden, "", run);
  std::unique_ptr<GoldenFile> cache;
  if (file_exists(directory + "/mla_cache.safetensors")) {
    cache = std::make_unique<GoldenFile>(directory + "/mla_cache.safetensors");
    verify_activations(c, *cache, "mla_cache: ", run);
  }
  verify_losses(c, run);
  verify_other_readings(c, *m, run);
  verify_gradients(c, *m, run, "grad.");
  verify_balance(c, *m, run);
  verify_generation(c);
  verify_inference(c, run);
  if (c.config.fp8)
    verify_fp8(c, *m);
  else
    verify_bf16(c, run);
  list_unchecked(c, cache.get());
  return report;
}

}  // namespace frugal::eval
