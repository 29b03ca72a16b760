// The trainer: data, model, optimizer, schedule, checkpoints and log of one run (docs/formats.md describes the run directory).
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/progress.h"
#include "data/loader.h"
#include "model/objective.h"
#include "text/tokenizer.h"
#include "train/checkpoint.h"
#include "train/recipe.h"

namespace frugal::train {

struct Validation {
  double nll = 0, mtp_nll = 0;  // nats per target
  double bits_per_byte = 0, mtp_bits_per_byte = 0;
  double mtp_acceptance = 0;    // share of MTP drafts that equal the main head's own choice one token later
};

struct StepReport {
  double loss = 0, mtp_loss = 0, balance = 0, grad_norm = 0, learning_rate = 0;
  std::vector<double> expert_load;  // max / mean per MoE layer, MTP last
};

// Parameters, FLOPs per token and memory of a run, as text.
std::string plan_text(const Recipe& recipe);

class Trainer {
 public:
  // A new run: makes the directory (which must not hold a run), reads the data, trains a tokenizer if the recipe names
  // none, initialises the model.
  static std::unique_ptr<Trainer> start(const Recipe& recipe);
  // Continues the run in `directory`; `settings` are key=value changes (steps=... extends it).
  static std::unique_ptr<Trainer> resume(const std::string& directory, const std::vector<std::string>& settings);

  void run();  // until recipe.steps
  StepReport step();
  Validation validate();
  void save();

  const Recipe& recipe() const { return recipe_; }
  int64_t steps_done() const { return state_.step; }
  model::Model& model() { return *model_; }
  kernels::Ctx& ctx() { return ctx_; }

 private:
  explicit Trainer(const Recipe& recipe);
  void load_data(const std::string& tokenizer_source);
  void build();
  void fit_steps_to_minutes();
  void log(const std::string& json_line);
  void log_step(const StepReport& report, double seconds);
  void report_validation(ProgressLine* progress);
  void report_sample(ProgressLine* progress);
  std::string sample_text();
  void write_receipt(double seconds, int64_t first_step);
  void truncate_log();

  Recipe recipe_;
  kernels::Ctx ctx_;
  std::unique_ptr<text::Tokenizer> tokenizer_;
  std::unique_ptr<data::Loader> loader_;
  data::Rows validation_rows_;
  double validation_bytes_ = 0;
  std::unique_ptr<model::Model> model_;
  std::unique_ptr<Optimizer> optimizer_;
  std::unique_ptr<model::Objective> objective_;
  AlignedPtr<float> grads_;
  TrainerState state_;
  double smooth_loss_ = 0;
};

}  // namespace frugal::train
