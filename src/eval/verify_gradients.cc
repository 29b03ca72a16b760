// Gradients, balance losses and the bf16 run of a golden model case.
#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "eval/verify_model.h"

namespace frugal::eval {

using model::Model;

namespace {
double largest(const std::vector<float>& x) {
  double m = 0;
  for (float v : x) m = std::max(m, static_cast<double>(std::fabs(v)));
  return m;
}
double norm(const std::vector<float>& x) {
  double sum = 0;
  for (float v : x) sum += static_cast<double>(v) * static_cast<double>(v);
  return std::sqrt(sum);
}

const model::Param& parameter(const ModelCase& c, const Model& m, const std::string& tensor,
                              const std::string& name) {
  const model::Param* p = m.table.find(name);
  if (p == nullptr)
    fail(c.golden.path() + ": " + tensor, "is not a parameter of the model",
         "the case and config.json do not fit");
  return *p;
}
std::vector<float> gradient_of(const ModelRun& run, const model::Param& p) {
  const auto first = run.grads.begin() + p.offset();
  return {first, first + p.elements()};
}
}  // namespace

void verify_gradients(const ModelCase& c, const Model& m, const ModelRun& run, const std::string& prefix) {
  for (const std::string& tensor : c.golden.unused()) {
    if (!tensor.starts_with(prefix)) continue;
    const model::Param& p = parameter(c, m, tensor, tensor.substr(prefix.size()));
    const std::vector<float> got = gradient_of(run, p), want = c.golden.f32(tensor, p.shape);
    const double scale = largest(want);
    if (scale == 0) {
      check_bits(c.report, tensor, got, std::vector<float>(got.size(), 0.0f));  // an expert without tokens
      continue;
    }
    add_check(c.report, tensor, largest_distance(got, want) / scale,
              {Accept::kGradient, "of the largest value"});
  }
}

// ---- balance ----

namespace {
// What the router of one layer decided, from the probe's values.
struct Layer {
  std::string prefix;  // "layers.1."
  std::vector<float> scores;
  std::vector<int32_t> indices;
  kernels::Routing routing() {
    kernels::Routing r;
    r.scores = scores.data();
    r.indices = indices.data();
    return r;
  }
};
std::vector<Layer> router_layers(const ModelCase& c, const ModelRun& run) {
  std::vector<Layer> layers;
  for (int64_t l = 0; l < c.config.num_hidden_layers; ++l) {
    const std::string prefix = fmt::format("layers.{}.", l);
    const auto scores = run.values.find(prefix + "router.scores");
    if (scores == run.values.end()) continue;
    const std::vector<float>& ids = run.values.at(prefix + "router.indices");
    layers.push_back({prefix, scores->second, {ids.begin(), ids.end()}});
  }
  return layers;
}

double layer_balance(const ModelCase& c, Layer* layer, double alpha) {
  std::vector<float> f(static_cast<size_t>(c.rows * c.config.n_routed_experts));
  return kernels::balance_loss(c.ctx, c.config.route(), {alpha, c.length, c.rows}, layer->routing(),
                               c.rows * c.length, f);
}

void check_f64(const ModelCase& c, const std::string& name, double got) {
  check_absolute(c.report, name, std::vector<double>{got}, c.golden.f64(name, {1}), Accept::kLoss);
}

// m: everything about balancing of one layer.
void verify_layer_balance(const ModelCase& c, const Model& m, Layer* layer,
                          const std::vector<int64_t>& counts) {
  const int64_t experts = c.config.n_routed_experts, top_k = c.config.num_experts_per_tok,
                tokens = c.rows * c.length;
  const std::string balance = layer->prefix + "balance_loss", top = layer->prefix + "balance_topk_indices";
  const std::string count = layer->prefix + "router.counts",
                    bias = layer->prefix + "e_score_correction_bias_after";
  if (c.golden.has(balance)) check_f64(c, balance, layer_balance(c, layer, c.alpha));
  if (c.golden.has(top)) {
    std::vector<int32_t> got(static_cast<size_t>(tokens * top_k));
    for (int64_t t = 0; t < tokens; ++t)
      kernels::raw_top_k(layer->scores.data() + t * experts, experts, top_k, got.data() + t * top_k);
    check_bits(c.report, top, got, c.golden.i32(top, {tokens, top_k}));
  }
  if (c.golden.has(count))
    check_bits(c.report, count, std::vector<int32_t>(counts.begin(), counts.end()),
               c.golden.i32(count, {experts}));
  if (c.golden.has(bias)) {
    const std::string name = "model." + layer->prefix + "mlp.gate.e_score_correction_bias";
    const model::Param& p = parameter(c, m, bias, name);
    std::vector<float> values(p.data(), p.data() + experts);
    kernels::update_bias(counts.data(), experts, c.golden.f64("gamma", {1})[0], values.data());
    check_absolute(c.report, bias, values, c.golden.f32(bias, {experts}), Accept::kBias);
  }
}

// c: the auxiliary loss of V2's code, whose factor stands in the tensors' names, and gradients of loss + that
// loss.
void verify_auxiliary(const ModelCase& c, Model& m, std::vector<Layer>* layers) {
  constexpr double kAlpha = 0.1;
  const std::string loss = "seq_aux_loss_alpha0.1", gradient = "grad_with_aux0.1.";
  double sum = 0;
  for (Layer& layer : *layers) {
    if (!c.golden.has(layer.prefix + loss)) continue;
    const double value = layer_balance(c, &layer, kAlpha);
    check_f64(c, layer.prefix + loss, value);
    sum += value;
  }
  const std::vector<std::string> left = c.golden.unused();
  if (std::none_of(left.begin(), left.end(), [&](const std::string& n) { return n.starts_with(gradient); }))
    return;
  const ModelRun run = run_objective(c, m, kAlpha, true);
  add_check(c.report, loss + " (sum of the layers)", distance(run.result.balance, sum),
            {Accept::kLoss, "absolute"});
  verify_gradients(c, m, run, gradient);
}
}  // namespace

void verify_balance(const ModelCase& c, Model& m, const ModelRun& run) {
  std::vector<Layer> layers = router_layers(c, run);
  for (size_t l = 0; l < layers.size() && l < run.result.expert_counts.size(); ++l)
    verify_layer_balance(c, m, &layers[l], run.result.expert_counts[l]);
  if (c.golden.has("loss_balance")) check_f64(c, "loss_balance", run.result.balance);
  verify_auxiliary(c, m, &layers);
}

// ---- bf16 ----

namespace {
int64_t tokens_routed_differently(const ModelRun& a, const ModelRun& b, int64_t top_k) {
  int64_t differ = 0;
  for (const auto& [name, ids] : a.values) {
    if (!name.ends_with("router.indices")) continue;
    const std::vector<float>& other = b.values.at(name);
    for (size_t t = 0; t < ids.size(); t += static_cast<size_t>(top_k))
      differ += !std::equal(ids.begin() + static_cast<std::ptrdiff_t>(t),
                            ids.begin() + static_cast<std::ptrdiff_t>(t) + top_k,
                            other.begin() + static_cast<std::ptrdiff_t>(t));
  }
  return differ;
}
}  // namespace

void verify_bf16(const ModelCase& c, const ModelRun& f32_run) {
  if (!c.golden.has("logits")) return;
  const std::unique_ptr<Model> m =
      model::load_model(c.ctx, c.directory, {kernels::Operand::kBF16, true, false});
  const ModelRun run = run_objective(c, *m, c.alpha, c.gradients);
  const std::vector<float> want = c.golden.f32("logits", {c.rows, c.length, c.config.vocab_size});
  add_check(c.report, "bf16.logits (median)", median_distance(run.values.at("logits"), want),
            {Accept::kBf16Logits, "median of the absolute error"});
  if (!c.gradients) return;
  const int64_t differ = tokens_routed_differently(run, f32_run, c.config.num_experts_per_tok);
  if (differ > 0) {
    c.report->checks.back().note +=
        fmt::format("; {} tokens are routed differently, so gradients are not comparable", differ);
    return;
  }
  std::vector<float> got, golden;
  for (const model::Param& p : m->table.params) {
    const std::string tensor = "grad." + p.name;
    if (!c.golden.has(tensor)) continue;
    const std::vector<float> g = gradient_of(run, p), w = c.golden.f32(tensor, p.shape);
    got.insert(got.end(), g.begin(), g.end());
    golden.insert(golden.end(), w.begin(), w.end());
  }
  for (size_t i = 0; i < got.size(); ++i) got[i] -= golden[i];
  add_check(c.report, "bf16.grad (norm)", norm(got) / norm(golden),
            {Accept::kBf16Gradient, "norm of the error by norm"});
}

}  // namespace frugal::eval
