#include "train/plan.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/progress.h"
#include "model/flops.h"
#include "model/objective.h"
#include "train/checkpoint_writer.h"

namespace frugal::train {

namespace {
int64_t parameter_count(const model::ModelConfig& c) {
  model::Weights weights;
  return model::build_param_table(c, &weights).elements;
}
std::string size(int64_t bytes) {
  const double mib = static_cast<double>(bytes) / 1048576.0;
  return mib < 1024 ? fmt::format("{:.1f} MiB", mib) : fmt::format("{:.2f} GiB", mib / 1024);
}
}  // namespace

MemoryPlan memory_plan(const Recipe& r, int threads, int64_t present) {
  constexpr int64_t kScratchPerThread = 2 << 20;  // packed blocks of both sides of a product
  const int64_t n = parameter_count(r.model), flat = n * static_cast<int64_t>(sizeof(float));
  MemoryPlan p;
  p.weights = flat;
  p.panels = model::Model::memory_bytes(r.model, operand_of(r), true) - flat;
  p.gradients = flat;
  p.moments = Optimizer::memory_bytes(n, moments_of(r));
  p.activations =
      model::Objective::memory_bytes(r.model, operand_of(r), rows_per_pass(r), r.sequence_length, true);
  p.scratch = threads * kScratchPerThread;
  p.copy = saves_beside(r) ? CheckpointWriter::copy_bytes(n, moments_of(r)) : 0;
  p.present = present;
  return p;
}

int64_t to_allocate(const MemoryPlan& p) {
  return p.weights + p.panels + p.gradients + p.moments + p.activations + p.scratch + p.copy;
}

bool saves_beside(const Recipe& r) { return r.async_save && r.save_every > 0 && r.save_every < r.steps; }

int64_t most_checkpoints(const Recipe& r) {
  const int64_t saves = r.save_every > 0 ? (r.steps + r.save_every - 1) / r.save_every : 1;
  return std::min(saves, r.keep_checkpoints + 2);
}

std::string plan_text(const Recipe& r, const MemoryPlan& m, int64_t checkpoint_bytes) {
  const model::ModelConfig& c = r.model;
  const double flops = 3 * model::forward_flops_per_token(c, r.sequence_length, true);
  std::string text = fmt::format(
      "model       {} parameters, {} active; {:.1f} MFLOP per token forward and backward\n"
      "memory      {}: weights {}, packed {}, gradients {}, moments {}, activations {}, threads {}",
      format_count(static_cast<double>(parameter_count(c))),
      format_count(static_cast<double>(model::active_parameters(c))), flops * 1e-6,
      size(to_allocate(m) + m.present), size(m.weights), size(m.panels), size(m.gradients), size(m.moments),
      size(m.activations), size(m.scratch));
  if (m.copy > 0) text += ", copy for checkpoints " + size(m.copy);
  text += m.present > 0 ? ", data and program " + size(m.present) : "; data not counted";
  const int64_t most = most_checkpoints(r);
  return text + fmt::format("\ndisk        {} per checkpoint, at most {} at once: {}\n",
                            size(checkpoint_bytes), most, size(most * checkpoint_bytes));
}

}  // namespace frugal::train
