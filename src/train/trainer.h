// The trainer: data, model, optimizer, schedule, checkpoints and log of one run (docs/formats.md describes
// the run directory).
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/file_lock.h"
#include "base/progress.h"
#include "data/loader.h"
#include "model/objective.h"
#include "text/tokenizer.h"
#include "train/checkpoint_writer.h"
#include "train/gradient_groups.h"
#include "train/recipe.h"
#include "train/run_log.h"
#include "train/validation.h"

namespace frugal::train {

// A batch that was not trained on (on_spike).
struct SkippedBatch {
  double loss = 0, grad_norm = 0;
  data::LoaderState loader;  // before it
  std::string reason;
};

using ExpertCounts = std::vector<std::vector<int64_t>>;  // tokens of every expert of every MoE layer

struct StepReport {
  double loss = 0, mtp_loss = 0, balance = 0, grad_norm = 0, learning_rate = 0;
  std::vector<double> grad_norms;     // per gradient group (train/gradient_groups.h)
  std::vector<double> expert_load;    // max / mean per MoE layer, MTP last
  ExpertCounts expert_tokens;         // in the same order
  std::vector<SkippedBatch> skipped;  // before the one that the step was made of
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
  // Throws Error when loss or gradients are bad (recipe.on_spike): then nothing has changed. The report is
  // valid until the next step. After the first steps it takes no memory from the system, the start of an
  // epoch apart.
  const StepReport& step();
  Validation validate();
  // Continues recipe.sample_prompt; seed and weights decide the text.
  std::string sample_text();
  // Writes a checkpoint; prune: older ones are removed.
  void save(bool prune = true);

  const Recipe& recipe() const { return recipe_; }
  const text::Tokenizer& tokenizer() const { return *tokenizer_; }
  const data::TokenizedDocuments& documents() const { return loader_->documents(); }
  int64_t steps_done() const { return state_.step; }
  model::Model& model() { return *model_; }
  kernels::Ctx& ctx() { return ctx_; }

 private:
  explicit Trainer(const Recipe& recipe);
  void load_data(const std::string& tokenizer_source);
  void check_same_data() const;
  void build();
  int64_t checkpoint_bytes_of_run() const;
  StateValues values() const;
  void fit_steps_to_minutes();
  void log(const std::string& json_line, const RunView& view);
  void log_step(const StepReport& report, double seconds, const RunView& view);
  void log_experts(const StepReport& report, const RunView& view);
  double peak_share(double tokens_per_second) const;
  void compute(const data::Batch& batch);
  std::string what_is_wrong(const data::Batch& batch, const StepReport& report, double limit);
  void refuse_or_skip(const std::vector<SkippedBatch>& skipped);
  std::string save_good_state();
  void fill_state();
  void save_beside();
  void log_skipped(const StepReport& report, const RunView& view);
  void report_validation(const RunView& view);
  void report_sample(const RunView& view);
  void write_receipt(const RunView& view);
  std::string card() const;

  Recipe recipe_;
  Watchdog watchdog_;
  std::optional<DirectoryLock> lock_;
  kernels::Ctx ctx_;
  std::unique_ptr<text::Tokenizer> tokenizer_;
  std::unique_ptr<data::Loader> loader_;
  data::Rows validation_rows_;
  double validation_bytes_ = 0;
  std::vector<uint64_t> source_hashes_;
  std::unique_ptr<model::Model> model_;
  std::unique_ptr<Optimizer> optimizer_;
  std::unique_ptr<model::Objective> objective_;
  AlignedPtr<float> grads_;
  StepReport report_;  // of the last step
  std::vector<GradientGroup> gradient_groups_;
  double peak_flops_ = 0;  // measured when a run starts, and again at validations; the highest
  RunLog log_;
  TrainerState state_;
  std::unique_ptr<CheckpointWriter> writer_;
  double smooth_loss_ = 0, last_loss_ = 0;
  Validation last_validation_;
  int64_t saved_step_ = -1;
  int64_t planned_bytes_ = 0;
  std::vector<double> save_seconds_;  // that training waited at each checkpoint between steps
};

}  // namespace frugal::train
