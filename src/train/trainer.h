// The trainer: data, model, optimizer, schedule, checkpoints and log of one run (docs/formats.md describes
// the run directory).
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/progress.h"
#include "data/loader.h"
#include "model/objective.h"
#include "text/tokenizer.h"
#include "train/checkpoint.h"
#include "train/gradient_groups.h"
#include "train/recipe.h"

namespace frugal::train {

struct Validation {
  double nll = 0, mtp_nll = 0;  // nats per target
  double bits_per_byte = 0, mtp_bits_per_byte = 0;
  double mtp_acceptance = 0;  // share of MTP drafts that equal the main head's own choice one token later
};

struct StepReport {
  double loss = 0, mtp_loss = 0, balance = 0, grad_norm = 0, learning_rate = 0;
  std::vector<double> grad_norms;                   // per gradient group (train/gradient_groups.h)
  std::vector<double> expert_load;                  // max / mean per MoE layer, MTP last
  std::vector<std::vector<int64_t>> expert_tokens;  // the tokens of each expert, in the same order
};

struct Progress {
  int64_t step = 0, steps = 0;
  double smooth_loss = 0;  // nats, mean over about 20 steps
  double tokens_per_second = 0, eta_seconds = 0;
  double peak_share = 0;  // of the cores' measured f32 peak; 0: unknown
  StepReport report;
};
// Who is told what a run does: after every step, of lines that should stay, and of every line of log.jsonl.
// Functions may be unset.
struct RunView {
  std::function<void(const Progress&)> progress;
  std::function<void(const std::string&)> line;
  std::function<void(const std::string&)> logged;
};

// Parameters, FLOPs per token and memory of a run, as text.
std::string plan_text(const Recipe& recipe);
// Bytes that a run of the recipe allocates, its data not counted.
int64_t training_bytes(const Recipe& recipe);

class Trainer {
 public:
  // A new run: makes the directory (which must not hold a run), reads the data, trains a tokenizer if the
  // recipe names none, initialises the model.
  static std::unique_ptr<Trainer> start(const Recipe& recipe);
  // Continues the run in `directory`; `settings` are key=value changes (steps=... extends it).
  static std::unique_ptr<Trainer> resume(const std::string& directory,
                                         const std::vector<std::string>& settings);

  // Until recipe.steps. False: SIGINT or SIGTERM ended it after a step, which is saved.
  bool run(const RunView& view = {});
  StepReport step();
  Validation validate();
  // Continues recipe.sample_prompt; seed and weights decide the text.
  std::string sample_text();
  void save();

  const Recipe& recipe() const { return recipe_; }
  const text::Tokenizer& tokenizer() const { return *tokenizer_; }
  const data::TokenizedDocuments& documents() const { return loader_->documents(); }
  int64_t steps_done() const { return state_.step; }
  model::Model& model() { return *model_; }
  kernels::Ctx& ctx() { return ctx_; }

 private:
  explicit Trainer(const Recipe& recipe);
  void load_data(const std::string& tokenizer_source);
  void build();
  void fit_steps_to_minutes();
  void log(const std::string& json_line, const RunView& view);
  void log_step(const StepReport& report, double seconds, const RunView& view);
  void log_experts(const StepReport& report, const RunView& view);
  double peak_share(double tokens_per_second) const;
  void report_validation(const RunView& view);
  void report_sample(const RunView& view);
  void write_receipt(double seconds, int64_t first_step, const RunView& view);
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
  std::vector<GradientGroup> gradient_groups_;
  double peak_flops_ = 0;  // measured when a run starts
  TrainerState state_;
  double smooth_loss_ = 0;
  int64_t saved_step_ = -1;
};

}  // namespace frugal::train
