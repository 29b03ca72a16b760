#include "train/trainer.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/files.h"
#include "base/interrupt.h"
#include "base/log.h"
#include "base/memory.h"
#include "infer/engine.h"
#include "kernels/machine.h"
#include "model/flops.h"
#include "train/machine_record.h"
#include "train/run_data.h"
#include "train/schedule.h"

namespace frugal::train {

using nlohmann::json;

namespace {
int64_t rows_per_pass(const Recipe& r) { return r.microbatch > 0 ? r.microbatch : r.batch; }

std::vector<double> load_ratio(const std::vector<std::vector<int64_t>>& counts) {
  std::vector<double> ratios;
  for (const auto& c : counts) {
    int64_t total = 0;
    for (const int64_t n : c) total += n;
    const double mean = static_cast<double>(total) / static_cast<double>(c.size());
    ratios.push_back(static_cast<double>(*std::max_element(c.begin(), c.end())) / mean);
  }
  return ratios;
}
}  // namespace

namespace {
int64_t parameter_count(const model::ModelConfig& c) {
  model::Weights weights;
  return model::build_param_table(c, &weights).elements;
}
}  // namespace

// Weights and panels; gradients and two moments; activations.
int64_t training_bytes(const Recipe& r) {
  const int64_t parameters = parameter_count(r.model);
  return model::Model::memory_bytes(r.model, operand_of(r), true) + parameters * 4 +
         Optimizer::memory_bytes(parameters, moments_of(r)) +
         model::Objective::memory_bytes(r.model, operand_of(r), rows_per_pass(r), r.sequence_length, true);
}

std::string plan_text(const Recipe& r) {
  const model::ModelConfig& c = r.model;
  const double flops = 3 * model::forward_flops_per_token(c, r.sequence_length, true);
  return fmt::format(
      "model       {} parameters, {} active; {:.1f} MFLOP per token forward and backward\n"
      "memory      {:.2f} GiB for weights, optimizer and activations\n",
      format_count(static_cast<double>(parameter_count(c))),
      format_count(static_cast<double>(model::active_parameters(c))), flops * 1e-6,
      static_cast<double>(training_bytes(r)) / 1073741824.0);
}

Trainer::Trainer(const Recipe& recipe) : recipe_(recipe), ctx_(static_cast<int>(recipe.threads)) {}

std::unique_ptr<Trainer> Trainer::start(const Recipe& recipe) {
  check_recipe(recipe);
  if (file_exists(recipe.out + "/recipe.toml"))
    fail(recipe.out, "already holds a run",
         "continue it with `frugal train --resume " + recipe.out + "` or name another out=DIR");
  std::unique_ptr<Trainer> t(new Trainer(recipe));
  t->load_data(recipe.tokenizer);
  t->build();
  t->model_->init(t->ctx_, static_cast<uint64_t>(recipe.seed));
  if (recipe.minutes > 0) t->fit_steps_to_minutes();
  // Nothing is written before the data, the shapes and the memory have proved good.
  make_directories(recipe.out + "/checkpoints");
  make_directories(recipe.out + "/tokenizer");
  t->tokenizer_->save(recipe.out + "/tokenizer");
  write_file_atomic(recipe.out + "/recipe.toml", recipe_to_toml(t->recipe_));
  return t;
}

std::unique_ptr<Trainer> Trainer::resume(const std::string& directory,
                                         const std::vector<std::string>& settings) {
  if (!file_exists(directory + "/recipe.toml"))
    fail(directory, "is not a run directory", "it holds no recipe.toml");
  Recipe recipe = read_recipe(directory + "/recipe.toml", settings);
  recipe.out = directory;
  recipe.minutes = 0;
  check_recipe(recipe);
  std::unique_ptr<Trainer> t(new Trainer(recipe));
  const std::string checkpoint = newest_checkpoint(directory);
  t->load_data(directory + "/tokenizer");
  t->build();
  t->state_ = load_checkpoint(t->ctx_, checkpoint, t->model_.get(), t->optimizer_.get());
  if (t->state_.data_fingerprint != t->loader_->fingerprint())
    fail(directory, "the data, the sequence length or the seed differ from those the run started with",
         "restore the files and settings of " + directory + "/recipe.toml");
  t->loader_->restore(t->state_.loader);
  if (t->state_.step > recipe.steps)
    fail(directory, fmt::format("has done {} steps already", t->state_.step), "set steps= to more than that");
  info("resumed {} after step {}", checkpoint, t->state_.step);
  t->truncate_log();
  write_file_atomic(directory + "/recipe.toml", recipe_to_toml(recipe));
  return t;
}

void Trainer::load_data(const std::string& tokenizer_source) {
  RunData data = load_run_data(recipe_, tokenizer_source);
  tokenizer_ = std::move(data.tokenizer);
  loader_ = std::move(data.loader);
  validation_rows_ = std::move(data.validation_rows);
  validation_bytes_ = data.validation_bytes;
  recipe_.model.bos_token_id = tokenizer_->bos_id();
  recipe_.model.eos_token_ids.clear();
  if (tokenizer_->eos_id() >= 0) recipe_.model.eos_token_ids.push_back(tokenizer_->eos_id());
}

void Trainer::build() {
  info("{}machine     {} threads, level {}, {} products", plan_text(recipe_), ctx_.pool.size(),
       ctx_.level.name, recipe_.precision);
  require_memory(training_bytes(recipe_), "training", "lower batch or microbatch, or take a smaller model");
  const kernels::Operand operand = operand_of(recipe_);
  model_ = std::make_unique<model::Model>(recipe_.model, operand, true);
  optimizer_ = std::make_unique<Optimizer>(*model_, moments_of(recipe_));
  objective_ = std::make_unique<model::Objective>(recipe_.model, operand, rows_per_pass(recipe_),
                                                  recipe_.sequence_length, true);
  grads_ = aligned_array<float>(model_->table.elements);
  gradient_groups_ = gradient_groups(recipe_.model, model_->table);
}

StepReport Trainer::step() {
  const int64_t rows = rows_per_pass(recipe_), length = recipe_.sequence_length, width = length + 2;
  const data::Batch batch = loader_->next();
  model::ObjectiveArgs args;
  args.mtp_lambda = mtp_lambda_at(recipe_, state_.step);
  args.balance_alpha = recipe_.balance_alpha;
  args.grads = grads_.get();
  args.sequences = recipe_.batch;
  model::count_targets({batch.tokens.data(), batch.rows, length}, &args.main_targets, &args.mtp_targets);
  ctx_.pool.parallel_for(model_->table.elements, [&](int64_t begin, int64_t end, int) {
    std::memset(grads_.get() + begin, 0, static_cast<size_t>(end - begin) * sizeof(float));
  });
  StepReport report;
  std::vector<std::vector<int64_t>> counts;
  for (int64_t row = 0; row < recipe_.batch; row += rows) {
    args.input = {batch.tokens.data() + row * width, rows, length};
    const model::ObjectiveResult r = objective_->run(ctx_, *model_, args);
    report.loss += r.nll;
    report.mtp_loss += r.mtp_nll;
    report.balance += r.balance;
    if (counts.empty())
      counts = r.expert_counts;
    else
      for (size_t l = 0; l < counts.size(); ++l)
        for (size_t e = 0; e < counts[l].size(); ++e) counts[l][e] += r.expert_counts[l][e];
  }
  report.loss /= static_cast<double>(std::max<int64_t>(1, args.main_targets));
  report.mtp_loss /= static_cast<double>(std::max<int64_t>(1, args.mtp_targets));
  report.learning_rate = learning_rate_at(recipe_, state_.step);
  report.grad_norm = optimizer_->step(
      ctx_, *model_, grads_.get(),
      {recipe_.beta1, recipe_.beta2, recipe_.eps, recipe_.weight_decay, recipe_.max_grad_norm},
      report.learning_rate, state_.step + 1);
  if (!std::isfinite(report.loss) || !std::isfinite(report.grad_norm))
    fail(fmt::format("step {}", state_.step + 1),
         fmt::format("loss {} and gradient norm {} are not finite", report.loss, report.grad_norm),
         "lower learning_rate; the last checkpoint is unharmed");
  update_router_bias(*model_, counts, bias_update_speed_at(recipe_, state_.step));
  report.grad_norms = group_gradient_norms(ctx_, grads_.get(), gradient_groups_);
  report.expert_load = load_ratio(counts);
  report.expert_tokens = std::move(counts);
  ++state_.step;
  return report;
}

Validation Trainer::validate() {
  const int64_t rows = rows_per_pass(recipe_), length = recipe_.sequence_length;
  double nll = 0, mtp_nll = 0;
  int64_t targets = 0, mtp_targets = 0, drafts = 0, accepted = 0;
  for (int64_t first = 0; first < validation_rows_.count; first += rows) {
    const data::Batch batch = data::slice_rows(validation_rows_, first, rows);
    const model::TokenRows input{batch.tokens.data(), batch.rows, length};
    int64_t n = 0, n_mtp = 0;
    model::count_targets(input, &n, &n_mtp);
    model::ObjectiveArgs args;
    args.input = input;
    args.mtp_lambda = recipe_.mtp_lambda;
    args.want_best = true;
    const model::ObjectiveResult r = objective_->run(ctx_, *model_, args);
    nll += r.nll;
    mtp_nll += r.mtp_nll;
    targets += n;
    mtp_targets += n_mtp;
    if (r.mtp_best.empty()) continue;
    for (int64_t row = 0; row < batch.rows; ++row) {
      for (int64_t i = 0; i + 1 < length; ++i) {
        if (batch.tokens[static_cast<size_t>(row * (length + 2) + i + 2)] < 0) continue;
        ++drafts;
        accepted += r.mtp_best[static_cast<size_t>(row * length + i)] ==
                    r.best[static_cast<size_t>(row * length + i + 1)];
      }
    }
  }
  Validation v;
  if (targets == 0) return v;
  const double ln2 = 0.69314718055994530942;
  v.nll = nll / static_cast<double>(targets);
  v.bits_per_byte = nll / (validation_bytes_ * ln2);
  if (mtp_targets > 0) {
    v.mtp_nll = mtp_nll / static_cast<double>(mtp_targets);
    v.mtp_bits_per_byte = v.mtp_nll * static_cast<double>(targets) / (validation_bytes_ * ln2);
    v.mtp_acceptance = static_cast<double>(accepted) / static_cast<double>(std::max<int64_t>(1, drafts));
  }
  return v;
}

void Trainer::fit_steps_to_minutes() {
  // The first step pays for page faults; then the median of some seconds is taken, and everything starts
  // anew.
  constexpr double kTrialSeconds = 3;
  step();
  std::vector<double> times;
  for (double spent = 0; spent < kTrialSeconds || times.size() < 3; spent += times.back()) {
    const auto start = std::chrono::steady_clock::now();
    step();
    times.push_back(seconds_since(start));
  }
  std::nth_element(times.begin(), times.begin() + static_cast<std::ptrdiff_t>(times.size() / 2), times.end());
  const double seconds = times[times.size() / 2];
  const auto validation = std::chrono::steady_clock::now();
  if (recipe_.eval_every > 0) validate();
  const double per_step =
      seconds +
      (recipe_.eval_every > 0 ? seconds_since(validation) / static_cast<double>(recipe_.eval_every) : 0);
  constexpr double kReserve = 0.95;  // samples, checkpoints and a neighbour that takes a share of the machine
  recipe_.steps = std::max<int64_t>(10, static_cast<int64_t>(recipe_.minutes * 60 * kReserve / per_step));
  recipe_.warmup_steps = std::min(recipe_.warmup_steps, recipe_.steps / 10);
  info("plan        {:.0f} ms per step measured: {} steps in {:g} minutes", per_step * 1e3, recipe_.steps,
       recipe_.minutes);
  recipe_.minutes = 0;
  optimizer_->reset();
  loader_->restore({});
  state_ = {};
  model_->init(ctx_, static_cast<uint64_t>(recipe_.seed));
}

void Trainer::save() {
  state_.loader = loader_->state();
  state_.data_fingerprint = loader_->fingerprint();
  save_checkpoint(recipe_.out, state_, *model_, *optimizer_, *tokenizer_, recipe_.keep_checkpoints);
  saved_step_ = state_.step;
}

bool Trainer::run(const RunView& view) {
  const InterruptGuard interrupt(true);
  const auto start = std::chrono::steady_clock::now();
  const int64_t first_step = state_.step;
  const double tokens_per_step = static_cast<double>(recipe_.batch * recipe_.sequence_length);
  double step_seconds = 0, training_seconds = 0;
  if (state_.step < recipe_.steps) {
    peak_flops_ = kernels::fma_peak(ctx_.level) * ctx_.pool.size();
    write_machine_record(recipe_, ctx_, peak_flops_);
  }
  while (state_.step < recipe_.steps && !interrupt.interrupted()) {
    const auto step_start = std::chrono::steady_clock::now();
    const StepReport r = step();
    const double seconds = seconds_since(step_start);
    training_seconds += seconds;
    step_seconds = step_seconds == 0 ? seconds : 0.9 * step_seconds + 0.1 * seconds;
    smooth_loss_ = smooth_loss_ == 0 ? r.loss : 0.95 * smooth_loss_ + 0.05 * r.loss;
    log_step(r, seconds, view);
    const double eta = seconds_since(start) / static_cast<double>(state_.step - first_step) *
                       static_cast<double>(recipe_.steps - state_.step);
    const double rate = tokens_per_step / step_seconds;
    if (view.progress)
      view.progress({state_.step, recipe_.steps, smooth_loss_, rate, eta, peak_share(rate), r});
    const bool last = state_.step == recipe_.steps;
    if (recipe_.eval_every > 0 && (state_.step % recipe_.eval_every == 0 || last)) report_validation(view);
    if (recipe_.sample_every > 0 && (state_.step % recipe_.sample_every == 0 || last)) report_sample(view);
    if ((recipe_.save_every > 0 && state_.step % recipe_.save_every == 0) || last) save();
  }
  if (state_.step > first_step && saved_step_ != state_.step) save();
  if (state_.step > first_step) write_receipt(training_seconds, first_step, view);
  if (state_.step < recipe_.steps && view.line)
    view.line(fmt::format("interrupted after step {}, which is saved; `frugal train --resume {}` continues",
                          state_.step, recipe_.out));
  return state_.step == recipe_.steps;
}

void Trainer::log(const std::string& line, const RunView& view) {
  FILE* f = std::fopen((recipe_.out + "/log.jsonl").c_str(), "a");
  if (f == nullptr) fail(recipe_.out + "/log.jsonl", "cannot be opened", "check the permissions");
  const bool written = std::fprintf(f, "%s\n", line.c_str()) > 0;
  if (std::fclose(f) != 0 || !written)
    fail(recipe_.out + "/log.jsonl", "cannot be written", "free disk space and resume the run");
  if (view.logged) view.logged(line);
}

double Trainer::peak_share(double tokens_per_second) const {
  return tokens_per_second * 3 *
         model::forward_flops_per_token(recipe_.model, recipe_.sequence_length, true) / peak_flops_;
}

void Trainer::log_step(const StepReport& r, double seconds, const RunView& view) {
  json line = {{"step", state_.step}, {"loss", r.loss}, {"lr", r.learning_rate}, {"grad_norm", r.grad_norm}};
  if (r.mtp_loss > 0) line["mtp_loss"] = r.mtp_loss;
  if (r.balance > 0) line["balance_loss"] = r.balance;
  if (!r.expert_load.empty()) line["expert_load"] = r.expert_load;
  line["grad_norms"] = r.grad_norms;
  const double rate = static_cast<double>(recipe_.batch * recipe_.sequence_length) / seconds;
  line["seconds"] = seconds;
  line["tokens_per_second"] = rate;
  line["peak_share"] = peak_share(rate);
  log(line.dump(), view);
  if (recipe_.log_experts_every > 0 && state_.step % recipe_.log_experts_every == 0 &&
      !r.expert_tokens.empty())
    log_experts(r, view);
}

void Trainer::log_experts(const StepReport& r, const RunView& view) {
  json biases = json::array();
  for (const model::Param& p : model_->table.params) {
    if (p.kind != model::ParamKind::kBias) continue;
    json bias = json::array();
    // The shortest text of the float: 0.001, not 0.0010000000474974513.
    for (int64_t e = 0; e < p.elements(); ++e) bias.push_back(std::stod(fmt::format("{}", p.data()[e])));
    biases.push_back(std::move(bias));
  }
  log(json{{"step", state_.step}, {"expert_tokens", r.expert_tokens}, {"router_bias", biases}}.dump(), view);
}

void Trainer::report_validation(const RunView& view) {
  const Validation v = validate();
  if (v.bits_per_byte == 0) return;
  if (state_.best_validation == 0 || v.bits_per_byte < state_.best_validation)
    state_.best_validation = v.bits_per_byte;
  json line = {{"step", state_.step}, {"val_loss", v.nll}, {"val_bits_per_byte", v.bits_per_byte}};
  std::string text = fmt::format("step {}  validation {:.4f} nats, {:.4f} bits per byte (best {:.4f})",
                                 state_.step, v.nll, v.bits_per_byte, state_.best_validation);
  if (v.mtp_nll > 0) {
    line["val_mtp_loss"] = v.mtp_nll;
    line["val_mtp_bits_per_byte"] = v.mtp_bits_per_byte;
    line["mtp_acceptance"] = v.mtp_acceptance;
    text += fmt::format("; MTP {:.4f}, {:.0f} % of its drafts accepted", v.mtp_bits_per_byte,
                        100 * v.mtp_acceptance);
  }
  log(line.dump(), view);
  if (view.line) view.line(text);
}

std::string Trainer::sample_text() {
  infer::Request request;
  if (tokenizer_->bos_id() >= 0) request.prompt.push_back(tokenizer_->bos_id());
  for (const int32_t id : tokenizer_->encode(recipe_.sample_prompt)) request.prompt.push_back(id);
  if (request.prompt.empty()) return "";
  request.sampling.temperature = 0.8f;
  request.sampling.top_p = 0.95f;
  request.sampling.seed = static_cast<uint64_t>(recipe_.seed);
  request.max_tokens = recipe_.sample_tokens;
  request.stop_tokens = recipe_.model.eos_token_ids;
  infer::EngineOptions options;
  options.max_context = static_cast<int64_t>(request.prompt.size()) + recipe_.sample_tokens + 1;
  options.max_batch_tokens = static_cast<int64_t>(request.prompt.size()) + 1;
  infer::Engine engine(ctx_, *model_, options);
  engine.add(std::move(request));
  std::vector<int32_t> ids;
  while (!engine.idle())
    for (const infer::Event& e : engine.step())
      if (e.finish != infer::Finish::kStop) ids.push_back(e.token);
  return recipe_.sample_prompt + tokenizer_->decode(ids, true);
}

void Trainer::report_sample(const RunView& view) {
  const std::string text = sample_text();
  make_directories(recipe_.out + "/samples");
  write_file_atomic(fmt::format("{}/samples/step-{:08d}.txt", recipe_.out, state_.step), text + "\n");
  std::string indented;
  for (const char c : text) indented += c == '\n' ? std::string("\n  | ") : std::string(1, c);
  if (view.line) view.line(fmt::format("step {}  sample\n  | {}", state_.step, indented));
}

void Trainer::write_receipt(double seconds, int64_t first_step, const RunView& view) {
  const double steps = static_cast<double>(state_.step - first_step);
  const double tokens = steps * static_cast<double>(recipe_.batch * recipe_.sequence_length);
  const double flops =
      tokens * 3 * model::forward_flops_per_token(recipe_.model, recipe_.sequence_length, true);
  const json receipt = {{"first_step", first_step + 1},
                        {"last_step", state_.step},
                        {"tokens", tokens},
                        {"seconds", seconds},
                        {"tokens_per_second", tokens / seconds},
                        {"flop", flops},
                        {"threads", ctx_.pool.size()},
                        {"level", ctx_.level.name},
                        {"precision", recipe_.precision},
                        {"best_validation_bits_per_byte", state_.best_validation}};
  write_file_atomic(recipe_.out + "/receipt.json", receipt.dump(2) + "\n");
  if (!view.line) return;
  view.line(fmt::format(
      "receipt     {} tokens in {} of training ({} tok/s), {:.2f} TFLOP at {:.0f} GFLOP/s -> {}/receipt.json",
      format_count(tokens), format_seconds(seconds), format_count(tokens / seconds), flops * 1e-12,
      flops / seconds * 1e-9, recipe_.out));
}

// Lines of steps after the checkpoint would stand twice.
void Trainer::truncate_log() {
  const std::string path = recipe_.out + "/log.jsonl";
  if (!file_exists(path)) return;
  std::string kept;
  const std::string text = read_file(path);
  for (size_t at = 0; at < text.size();) {
    const size_t end = std::min(text.find('\n', at), text.size());
    const json line = json::parse(text.begin() + static_cast<std::ptrdiff_t>(at),
                                  text.begin() + static_cast<std::ptrdiff_t>(end), nullptr, false);
    if (line.is_object() && line.value("step", int64_t{0}) <= state_.step && line.contains("step"))
      kept += text.substr(at, end - at) + "\n";
    at = end + 1;
  }
  write_file_atomic(path, kept);
}

}  // namespace frugal::train
