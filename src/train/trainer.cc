#include "train/trainer.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/disk.h"
#include "base/error.h"
#include "base/files.h"
#include "base/interrupt.h"
#include "base/log.h"
#include "base/memory.h"
#include "kernels/machine.h"
#include "train/bad_values.h"
#include "train/machine_record.h"
#include "train/plan.h"
#include "train/run_data.h"
#include "train/schedule.h"

namespace frugal::train {

namespace {
// Busiest expert / mean, per layer.
void load_ratios(const ExpertCounts& counts, std::vector<double>* ratios) {
  ratios->clear();
  for (const auto& c : counts) {
    int64_t total = 0;
    for (const int64_t n : c) total += n;
    const double mean = static_cast<double>(total) / static_cast<double>(c.size());
    ratios->push_back(static_cast<double>(*std::max_element(c.begin(), c.end())) / mean);
  }
}
}  // namespace

Trainer::Trainer(const Recipe& recipe)
    : recipe_(recipe),
      watchdog_(recipe.watchdog_seconds,
                [out = recipe.out](const std::string& text) { warn("{}: {}", out, text); }),
      ctx_(static_cast<int>(recipe.threads)),
      log_(recipe.out + "/log.jsonl") {}

namespace {
void refuse_existing_run(const std::string& directory) {
  if (file_exists(directory + "/recipe.toml"))
    fail(directory, "already holds a run",
         "continue it with `frugal train --resume " + directory + "` or name another out=DIR");
}
}  // namespace

std::unique_ptr<Trainer> Trainer::start(const Recipe& recipe) {
  check_recipe(recipe);
  refuse_existing_run(recipe.out);
  std::unique_ptr<Trainer> t(new Trainer(recipe));
  t->load_data(recipe.tokenizer);
  t->build();
  t->model_->init(t->ctx_, static_cast<uint64_t>(recipe.seed));
  if (recipe.minutes > 0) t->fit_steps_to_minutes();
  // Nothing is written before the data, the shapes, the memory and the disk have proved good.
  require_disk(recipe.out, most_checkpoints(t->recipe_) * t->checkpoint_bytes_of_run(),
               fmt::format("a run that keeps {} checkpoints", most_checkpoints(t->recipe_)));
  make_directories(recipe.out);
  t->lock_.emplace(recipe.out);
  refuse_existing_run(recipe.out);  // another process may have begun one meanwhile
  make_directories(recipe.out + "/checkpoints");
  t->tokenizer_->save(recipe.out + "/tokenizer");
  make_paths_absolute(&t->recipe_);
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
  t->lock_.emplace(directory);
  const std::string checkpoint = newest_checkpoint(directory);
  t->load_data(directory + "/tokenizer");
  t->build();
  t->state_ = load_checkpoint(t->ctx_, checkpoint, t->model_.get(), t->optimizer_.get());
  t->check_same_data();
  t->loader_->restore(t->state_.loader);
  t->writer_->found(checkpoint);
  if (t->state_.step > recipe.steps)
    fail(directory, fmt::format("has done {} steps already", t->state_.step), "set steps= to more than that");
  info("resumed {} after step {}", checkpoint, t->state_.step);
  t->log_.keep_until(t->state_.step);
  make_paths_absolute(&t->recipe_);
  write_file_atomic(directory + "/recipe.toml", recipe_to_toml(t->recipe_));
  return t;
}

// The data of the resumed run are those it started with.
void Trainer::check_same_data() const {
  const std::string remedy = "restore the files and settings of " + recipe_.out + "/recipe.toml";
  const std::vector<uint64_t>& before = state_.source_hashes;
  if (before.size() != source_hashes_.size())
    fail(recipe_.out,
         fmt::format("data names {} sources, the run started with {}", source_hashes_.size(), before.size()),
         remedy);
  std::string changed;
  for (size_t i = 0; i < before.size(); ++i)
    if (before[i] != source_hashes_[i]) changed += (changed.empty() ? "" : ", ") + recipe_.data[i];
  if (!changed.empty())
    fail(recipe_.out, "the data differ from those the run started with: " + changed, remedy);
  if (state_.data_fingerprint != loader_->fingerprint())
    fail(recipe_.out,
         "the tokenizer or settings of the data, the sequence length or the seed differ from those the run "
         "started with",
         remedy);
}

void Trainer::load_data(const std::string& tokenizer_source) {
  watchdog_.phase(Track::kMain, "reading the data");
  RunData data = load_run_data(recipe_, tokenizer_source);
  watchdog_.phase(Track::kMain, nullptr);
  tokenizer_ = std::move(data.tokenizer);
  loader_ = std::move(data.loader);
  validation_rows_ = std::move(data.validation_rows);
  validation_bytes_ = data.validation_bytes;
  source_hashes_ = std::move(data.source_hashes);
  recipe_.model.bos_token_id = tokenizer_->bos_id();
  recipe_.model.eos_token_ids.clear();
  if (tokenizer_->eos_id() >= 0) recipe_.model.eos_token_ids.push_back(tokenizer_->eos_id());
}

void Trainer::build() {
  const MemoryPlan plan = memory_plan(recipe_, ctx_.pool.size(), resident_memory_bytes());
  info("{}machine     {} threads, level {}, {} products", plan_text(recipe_, plan, checkpoint_bytes_of_run()),
       ctx_.pool.size(), ctx_.level.name, recipe_.precision);
  require_memory(to_allocate(plan), "training", kLessMemory);
  planned_bytes_ = to_allocate(plan) + plan.present;
  const kernels::Operand operand = operand_of(recipe_);
  model_ = std::make_unique<model::Model>(recipe_.model, operand, true);
  optimizer_ = std::make_unique<Optimizer>(*model_, moments_of(recipe_));
  objective_ = std::make_unique<model::Objective>(recipe_.model, operand, rows_per_pass(recipe_),
                                                  recipe_.sequence_length, true);
  grads_ = aligned_array<float>(model_->table.elements);
  gradient_groups_ = gradient_groups(recipe_.model, model_->table);
  writer_ = std::make_unique<CheckpointWriter>(CheckpointSource{recipe_.out, model_.get(), tokenizer_.get()},
                                               recipe_.keep_checkpoints, moments_of(recipe_),
                                               saves_beside(recipe_), &watchdog_);
}

int64_t Trainer::checkpoint_bytes_of_run() const {
  model::Weights weights;
  return checkpoint_bytes(model::build_param_table(recipe_.model, &weights), operand_of(recipe_),
                          moments_of(recipe_), tokenizer_->file_bytes());
}

StateValues Trainer::values() const {
  return {model_->masters(), optimizer_->exp_avg(), optimizer_->exp_avg_sq(), optimizer_->moments()};
}

// Loss and gradients of a batch, into report_; nothing of the model has changed yet.
void Trainer::compute(const data::Batch& batch) {
  const int64_t rows = rows_per_pass(recipe_), length = recipe_.sequence_length, width = length + 2;
  model::ObjectiveArgs args;
  args.mtp_lambda = mtp_lambda_at(recipe_, state_.step);
  args.balance_alpha = recipe_.balance_alpha;
  args.grads = grads_.get();
  args.sequences = recipe_.batch;
  model::count_targets({batch.tokens.data(), batch.rows, length}, &args.main_targets, &args.mtp_targets);
  ctx_.pool.parallel_for(model_->table.elements, [&](int64_t begin, int64_t end, int) {
    std::memset(grads_.get() + begin, 0, static_cast<size_t>(end - begin) * sizeof(float));
  });
  StepReport& report = report_;
  report.loss = report.mtp_loss = report.balance = 0;
  for (int64_t row = 0; row < recipe_.batch; row += rows) {
    args.input = {batch.tokens.data() + row * width, rows, length};
    const model::ObjectiveResult& r = objective_->run(ctx_, *model_, args);
    report.loss += r.nll;
    report.mtp_loss += r.mtp_nll;
    report.balance += r.balance;
    if (row == 0) {
      report.expert_tokens = r.expert_counts;
      continue;
    }
    for (size_t l = 0; l < report.expert_tokens.size(); ++l)
      for (size_t e = 0; e < report.expert_tokens[l].size(); ++e)
        report.expert_tokens[l][e] += r.expert_counts[l][e];
  }
  report.loss /= static_cast<double>(std::max<int64_t>(1, args.main_targets));
  report.mtp_loss /= static_cast<double>(std::max<int64_t>(1, args.mtp_targets));
}

const StepReport& Trainer::step() {
  StepReport& report = report_;
  report.skipped.clear();
  for (;;) {
    const data::LoaderState before = loader_->state();
    watchdog_.phase(Track::kMain, "reading the next batch of data");
    const data::Batch& batch = loader_->next();
    watchdog_.phase(Track::kMain, "computing a training step");
    compute(batch);
    const double limit = recipe_.on_spike == "ignore" ? spike_limit({}, 0)
                                                      : spike_limit(state_.trend, recipe_.spike_threshold);
    const bool good_loss =
        std::isfinite(report.loss) && std::isfinite(report.mtp_loss) && report.loss <= limit;
    report.learning_rate = learning_rate_at(recipe_, state_.step);
    // The weights change only here, and only if loss and gradients are good.
    report.grad_norm = good_loss ? optimizer_->step(ctx_, *model_, grads_.get(),
                                                    {recipe_.beta1, recipe_.beta2, recipe_.eps,
                                                     recipe_.weight_decay, recipe_.max_grad_norm},
                                                    report.learning_rate, state_.step + 1)
                                 : gradient_norm(ctx_, grads_.get(), model_->table.elements);
    if (!good_loss || !std::isfinite(report.grad_norm)) {
      report.skipped.push_back({report.loss, report.grad_norm, before, what_is_wrong(batch, report, limit)});
      refuse_or_skip(report.skipped);
      continue;
    }
    update_router_bias(*model_, report.expert_tokens, bias_update_speed_at(recipe_, state_.step));
    group_gradient_norms(ctx_, grads_.get(), gradient_groups_, &report.grad_norms);
    load_ratios(report.expert_tokens, &report.expert_load);
    ctx_.even_scratch();
    ++state_.step;
    state_.tokens += static_cast<double>(recipe_.batch * recipe_.sequence_length);
    state_.skipped += static_cast<int64_t>(report.skipped.size());
    state_.validation = 0;
    follow(&state_.trend, report.loss);
    watchdog_.phase(Track::kMain, nullptr);
    return report;
  }
}

std::string Trainer::what_is_wrong(const data::Batch& batch, const StepReport& r, double limit) {
  const std::string values = fmt::format("loss {:.6g}, gradient norm {:.6g}", r.loss, r.grad_norm);
  const std::string where = first_bad_value(ctx_, *model_, *objective_, batch, rows_per_pass(recipe_),
                                            mtp_lambda_at(recipe_, state_.step), grads_.get());
  if (!where.empty())
    return fmt::format("{}: the first value that is not finite stands in {}", values, where);
  if (!(r.loss <= limit))
    return fmt::format("{}: a spike, the limit is {:.6g} (running mean {:.6g}); the largest gradient is {}",
                       values, limit, state_.trend.mean, largest_gradient(ctx_, model_->table, grads_.get()));
  return values + ": a sum of finite values is too large";
}

// Returns if the batch is to be left out: the loader stands behind it, everything else as before it.
void Trainer::refuse_or_skip(const std::vector<SkippedBatch>& skipped) {
  constexpr size_t kMostInARow = 5;
  const SkippedBatch& last = skipped.back();
  if (recipe_.on_spike == "skip" && skipped.size() <= kMostInARow) {
    warn("step {}: {}; the batch is left out", state_.step + 1, last.reason);
    return;
  }
  loader_->restore(skipped.front().loader);
  const std::string saved = save_good_state();
  fail(fmt::format("step {}", state_.step + 1),
       last.reason +
           (skipped.size() > 1 ? fmt::format(", in {} batches one after the other", skipped.size()) : "") +
           (saved.empty() ? "; nothing was saved yet" : "; the last good checkpoint is " + saved),
       recipe_.on_spike == "skip"
           ? "lower learning_rate, and resume from an earlier checkpoint"
           : "resume with on_spike=skip to leave the batch out, or with a lower learning_rate");
}

// The state before a step that failed, unless it is what makes it fail. The newest good checkpoint.
std::string Trainer::save_good_state() {
  if (state_.step > 0 && is_directory(recipe_.out + "/checkpoints") &&
      bad_weight(model_->table, model_->masters()).empty()) {
    try {
      save(false);
    } catch (const Error& e) {
      warn("the state before the step cannot be saved: {}", e.what());
    }
  }
  return writer_->newest();
}

Validation Trainer::validate() {
  return train::validate(ctx_, *model_, *objective_, validation_rows_, validation_bytes_,
                         rows_per_pass(recipe_), recipe_.mtp_lambda);
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

void Trainer::fill_state() {
  state_.loader = loader_->state();
  if (state_.data_fingerprint != 0) return;
  state_.data_fingerprint = loader_->fingerprint();
  state_.source_hashes = source_hashes_;
}

void Trainer::save(bool prune) {
  fill_state();
  writer_->save(state_, values(), prune, state_.step == recipe_.steps ? card() : "");
  saved_step_ = state_.step;
}

void Trainer::save_beside() {
  fill_state();
  writer_->save_copy(ctx_, state_, values());
  saved_step_ = state_.step;
}

bool Trainer::run(const RunView& view) {
  const InterruptGuard interrupt(true);
  const auto start = std::chrono::steady_clock::now();
  const int64_t first_step = state_.step;
  const double tokens_per_step = static_cast<double>(recipe_.batch * recipe_.sequence_length);
  double step_seconds = 0;
  if (state_.step < recipe_.steps) {
    peak_flops_ = kernels::product_peak(ctx_.level, operand_of(recipe_)) * ctx_.pool.size();
    write_machine_record(recipe_, ctx_, peak_flops_);
  }
  while (state_.step < recipe_.steps && !interrupt.interrupted()) {
    const auto step_start = std::chrono::steady_clock::now();
    const StepReport& r = step();
    const double seconds = seconds_since(step_start);
    step_seconds = step_seconds == 0 ? seconds : 0.9 * step_seconds + 0.1 * seconds;
    smooth_loss_ = smooth_loss_ == 0 ? r.loss : 0.95 * smooth_loss_ + 0.05 * r.loss;
    last_loss_ = r.loss;
    watchdog_.phase(Track::kMain, "writing log.jsonl");
    log_skipped(r, view);
    log_step(r, seconds, view);
    watchdog_.phase(Track::kMain, nullptr);
    const double eta = seconds_since(start) / static_cast<double>(state_.step - first_step) *
                       static_cast<double>(recipe_.steps - state_.step);
    const double rate = tokens_per_step / step_seconds;
    if (view.progress)
      view.progress({state_.step, recipe_.steps, smooth_loss_, rate, eta, peak_share(rate), r});
    const bool last = state_.step == recipe_.steps;
    if (recipe_.eval_every > 0 && (state_.step % recipe_.eval_every == 0 || last)) report_validation(view);
    if (recipe_.sample_every > 0 && (state_.step % recipe_.sample_every == 0 || last)) report_sample(view);
    if (recipe_.save_every > 0 && state_.step % recipe_.save_every == 0 && !last) {
      const auto save_start = std::chrono::steady_clock::now();
      save_beside();
      save_seconds_.push_back(seconds_since(save_start));
    }
    writer_->check();
  }
  writer_->wait();
  if (state_.step > first_step && saved_step_ != state_.step) save();
  if (state_.step > first_step) write_receipt(view);
  if (state_.step < recipe_.steps && view.line)
    view.line(fmt::format("interrupted after step {}, which is saved; `frugal train --resume {}` continues",
                          state_.step, recipe_.out));
  return state_.step == recipe_.steps;
}

}  // namespace frugal::train
