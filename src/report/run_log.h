// log.jsonl of a run (docs/formats.md), read into what the page shows. Memory does not grow with the run.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "report/expert_history.h"
#include "report/series.h"
#include "train/recipe.h"

namespace frugal::report {

// Channels of RunLog::steps and RunLog::validations.
enum StepChannel {
  kLoss,
  kMtpLoss,
  kBalanceLoss,
  kLearningRate,
  kGradNorm,
  kTokensPerSecond,
  kPeakShare,
  kStepChannels
};
enum ValidationChannel { kValLoss, kValBits, kValMtpLoss, kValMtpBits, kAcceptance, kValidationChannels };

class RunLog {
 public:
  // points: buckets of a curve at most; heat maps get a share of it.
  RunLog(const train::Recipe& recipe, size_t points);

  // One line without its end. A line that is not what docs/formats.md says is counted and left out.
  void add(std::string_view line);
  // Every complete line of the file.
  void read(const std::string& file);

  Series steps, validations;
  Series grad_norms;      // one channel per gradient group
  ExpertHistory experts;  // MoE layers in order, the MTP module's last
  std::vector<std::string> group_names, moe_layers;

  int64_t first_step = 0, last_step = 0;  // 0: none yet
  double first_loss = kAbsent, last_loss = kAbsent;
  double last_bits = kAbsent, best_bits = kAbsent;
  int64_t best_step = 0;
  double seconds = 0;  // of all steps
  int64_t damaged = 0;
  std::vector<int64_t> damaged_lines;  // the first few, from 1

 private:
  bool add_checked(std::string_view line);
  int64_t line_ = 0, last_validation_ = 0, last_experts_ = 0;
  size_t experts_per_layer_;
};

}  // namespace frugal::report
