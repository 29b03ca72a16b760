// AdamW over several steps, from the first parameters on: errors accumulate as they do in training.
#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "base/files.h"
#include "base/math64.h"
#include "eval/verify_cases.h"
#include "text/json_checked.h"

namespace frugal::eval {

namespace {
struct Hyper {
  double beta1 = 0, beta2 = 0, eps = 0, weight_decay = 0, max_grad_norm = 0;
  std::vector<std::string> tensors, no_decay;
};

Hyper read_hyper(const std::string& path) {
  const nlohmann::json j = text::parse_checked(read_file(path), path);
  const text::Field file = text::Field::root(j, path);
  const auto number = [&](const char* key) {
    if (!file.at(key).json().is_number()) file.at(key).fail_here("is not a number");
    return file.at(key).json().get<double>();
  };
  const auto names = [&](const char* key) {
    const text::Field list = file.at(key).array();
    std::vector<std::string> v;
    for (size_t i = 0; i < list.size(); ++i) v.push_back(list.at(i).string());
    return v;
  };
  return {number("beta1"),         number("beta2"),  number("eps"),    number("weight_decay"),
          number("max_grad_norm"), names("tensors"), names("no_decay")};
}

// One parameter tensor: its state, and per step the expected values and the worst error so far.
struct Parameter {
  std::string name;
  size_t n = 0;
  bool decays = true;
  std::vector<float> param, exp_avg, exp_avg_sq, grad;           // grad: [steps, n]
  std::vector<float> want_param, want_exp_avg, want_exp_avg_sq;  // [steps, n]
  double param_error = 0, exp_avg_error = 0, exp_avg_sq_error = 0;
};

Parameter load_parameter(GoldenFile& g, const std::string& name, int64_t steps, const Hyper& hyper) {
  const Shape shape = g.shape(name + ".param");
  if (shape.rank >= Shape::kMaxRank) fail(g.path() + ": " + name, "has too many dimensions", "");
  Shape of_steps{steps};
  for (int i = 0; i < shape.rank; ++i) of_steps.dims[static_cast<size_t>(of_steps.rank++)] = shape[i];
  Parameter p;
  p.name = name;
  p.n = static_cast<size_t>(shape.elements());
  p.decays = std::find(hyper.no_decay.begin(), hyper.no_decay.end(), name) == hyper.no_decay.end();
  p.param = g.f32(name + ".param", shape);
  p.exp_avg.assign(p.n, 0.0f);
  p.exp_avg_sq.assign(p.n, 0.0f);
  p.grad = g.f32(name + ".grad", of_steps);
  p.want_param = g.f32(name + ".param_after", of_steps);
  p.want_exp_avg = g.f32(name + ".exp_avg", of_steps);
  p.want_exp_avg_sq = g.f32(name + ".exp_avg_sq", of_steps);
  return p;
}

// max |got - want| / max |want| of one step.
double error_of_step(const std::vector<float>& got, const std::vector<float>& want, size_t step) {
  double largest = 0, error = 0;
  for (size_t i = 0; i < got.size(); ++i) {
    const double w = static_cast<double>(want[step * got.size() + i]);
    largest = std::max(largest, std::fabs(w));
    error = std::max(error, distance(static_cast<double>(got[i]), w));
  }
  return error == 0 ? 0 : error / largest;
}

void run_step(kernels::Ctx& ctx, const Hyper& h, size_t step, double learning_rate, double clip,
              Parameter* p) {
  const double t = static_cast<double>(step + 1);
  ctx.level.adamw({.param = p->param.data(),
                   .exp_avg = p->exp_avg.data(),
                   .exp_avg_sq = p->exp_avg_sq.data(),
                   .grad = p->grad.data() + step * p->n,
                   .n = static_cast<int64_t>(p->n),
                   .grad_scale = static_cast<float>(clip),
                   .beta1 = static_cast<float>(h.beta1),
                   .beta2 = static_cast<float>(h.beta2),
                   .eps = static_cast<float>(h.eps),
                   .learning_rate = static_cast<float>(learning_rate),
                   .weight_decay = p->decays ? static_cast<float>(h.weight_decay) : 0.0f,
                   .bias_correction1 = static_cast<float>(1 - pow64(h.beta1, t)),
                   .bias_correction2 = static_cast<float>(1 - pow64(h.beta2, t))});
  p->param_error = std::max(p->param_error, error_of_step(p->param, p->want_param, step));
  p->exp_avg_error = std::max(p->exp_avg_error, error_of_step(p->exp_avg, p->want_exp_avg, step));
  p->exp_avg_sq_error = std::max(p->exp_avg_sq_error, error_of_step(p->exp_avg_sq, p->want_exp_avg_sq, step));
}
}  // namespace

void verify_adamw(kernels::Ctx& ctx, GoldenFile& g, const std::string& directory, CaseReport* report) {
  const Hyper hyper = read_hyper(directory + "/config.json");
  const int64_t steps = g.shape("lr", 1)[0];
  const std::vector<double> lr = g.f64("lr", {steps});
  std::vector<Parameter> parameters;
  for (const std::string& name : hyper.tensors) parameters.push_back(load_parameter(g, name, steps, hyper));
  std::vector<double> norms, clips;
  for (size_t step = 0; step < lr.size(); ++step) {
    double squares = 0;
    for (const Parameter& p : parameters)
      squares +=
          static_cast<double>(ctx.level.sum_squares(p.grad.data() + step * p.n, static_cast<int64_t>(p.n)));
    norms.push_back(std::sqrt(squares));
    clips.push_back(std::min(1.0, hyper.max_grad_norm / norms.back()));
    for (Parameter& p : parameters) run_step(ctx, hyper, step, lr[step], clips.back(), &p);
  }
  check_relative(report, "grad_norm", norms, g.f64("grad_norm", {steps}), 1e-6);
  check_relative(report, "clip_factor", clips, g.f64("clip_factor", {steps}), 1e-6);
  const char* note = "of the maximum, worst step";
  for (const Parameter& p : parameters) {
    add_check(report, p.name + ".param_after", p.param_error, {5e-7, note});
    add_check(report, p.name + ".exp_avg", p.exp_avg_error, {2e-6, note});
    add_check(report, p.name + ".exp_avg_sq", p.exp_avg_sq_error, {2e-6, note});
  }
}

}  // namespace frugal::eval
