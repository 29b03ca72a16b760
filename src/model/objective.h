// The training objective of one microbatch (DeepSeek-V3 report sections 2.1.2, 2.2):
//   mean nll of t_{i+1} + lambda * mean nll of t_{i+2} (MTP) + sequence-wise balance loss.
// Means run over the targets of the whole optimizer step, so that gradients of its microbatches add up.
#pragma once

#include "model/head.h"
#include "model/mtp.h"

namespace frugal::model {

// [rows, length + 2] tokens: inputs and two look-ahead tokens; -1: none (its input is read as token 0 and not
// a target).
struct TokenRows {
  const int32_t* tokens = nullptr;
  int64_t rows = 0, length = 0;
};

struct ObjectiveArgs {
  TokenRows input;
  int64_t main_targets = 0, mtp_targets = 0, sequences = 0;  // of the whole step
  double mtp_lambda = 0;                                     // 0: the MTP module is not run
  double balance_alpha = 0;
  float* grads = nullptr;  // flat, +=; null: loss only
  bool want_best = false;  // fill best / mtp_best
  const Probe* probe = nullptr;
};

struct ObjectiveResult {
  double nll = 0, mtp_nll = 0;   // sums over targets
  double balance = 0;            // with factor and mean, as it enters the loss; 0 without gradients
  std::vector<float> token_nll;  // [rows * length]
  std::vector<int32_t> best, mtp_best;
  std::vector<std::vector<int64_t>> expert_counts;  // per MoE layer, MTP last: tokens that chose each expert
};

// The objective owns its memory: one arena, sized for `rows` x `length`, allocated once.
class Objective {
 public:
  Objective(const ModelConfig& config, kernels::Operand operand, int64_t rows, int64_t length,
            bool gradients);
  static int64_t memory_bytes(const ModelConfig& config, kernels::Operand operand, int64_t rows,
                              int64_t length, bool gradients);
  // The result is overwritten by the next run.
  const ObjectiveResult& run(kernels::Ctx& ctx, Model& model, const ObjectiveArgs& args);

 private:
  Arena arena_;
  // Kept from run to run, so that they need no new memory.
  TokenBatch batch_, next_batch_;
  std::vector<LayerSaved> saved_;
  ObjectiveResult result_;
};

// Targets among the given rows: of the main head and of MTP.
void count_targets(const TokenRows& input, int64_t* main_targets, int64_t* mtp_targets);

}  // namespace frugal::model
