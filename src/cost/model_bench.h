// Speed of a model: prefill and decode by context and batch, beside the bytes that must be moved and the
// operations that must be made, at the limits measured in the same run.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "infer/engine.h"
#include "kernels/machine.h"
#include "model/model.h"

namespace frugal::cost {

struct ModelTest {
  bool prefill = false;
  int64_t tokens = 0;        // of the prompt, or sampled
  int64_t depth = 0;         // positions in the cache before
  int64_t batch = 1;         // sequences
  std::string name() const;  // "pp512", "tg64", "tg64@d8192", "tg64@b8"
};

// What the machine at hand does in the model's products and, whose operands have another type, in attention: of
// many short runs between the measured ones the rates that a quarter exceeds. Neighbours slow both alike.
struct ModelLimits {
  kernels::Machine machine;
  double attention_flops = 0;
};

struct ModelRow {
  ModelTest test;
  std::vector<double>
      rates;  // tokens per second: of every prompt, or of every step of all sequences together
  double flops_per_token = 0, bytes_per_token = 0;  // products and cache, each weight once per pass
  double floor_seconds_per_token = 0;               // max(bytes / bandwidth, operations / peaks)
  double joules_per_token = 0;
  bool joules_measured = false;
  ModelLimits limits;
  kernels::Profile profile;  // of the counted passes, which took `seconds`
  double seconds = 0;
  double average() const;
  double deviation() const;
  double share_of_limit() const { return floor_seconds_per_token * average(); }
};

struct ModelBenchOptions {
  std::vector<ModelTest> tests;
  int repeats = 3;  // prompts per prefill test
  infer::CacheForm cache = {};
};
// Positions that a test needs: sequences that have their prompt go on while others read theirs.
int64_t positions_of(const ModelTest& test);
// Bytes of the cache and the passes of these tests.
int64_t model_bench_bytes(const model::ModelConfig& config, kernels::Operand operand,
                          const ModelBenchOptions& options);
// Random tokens, greedy. After every row `report` is called.
void bench_model(kernels::Ctx& ctx, model::Model& model, const ModelBenchOptions& options,
                 const std::function<void(const ModelRow&)>& report);

}  // namespace frugal::cost
