// The parts of verify_model(): one golden case of a model, and what this build computed for it.
// Legend: B rows of the golden batch, T tokens of a row.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "eval/golden_file.h"
#include "model/model_files.h"
#include "model/objective.h"

namespace frugal::eval {

// The accept column of the golden data.
struct Accept {
  static constexpr double kActivation = 4e-5;  // logits, hidden states, branch outputs
  static constexpr double kFp8Logits = 2e-5;   // weights dequantised to f32
  static constexpr double kW8a8Logits = 1e-4;
  static constexpr double kScore = 6e-6, kWeight = 4e-6;  // router
  static constexpr double kLoss = 5e-6;
  static constexpr double kGradient = 2e-5;  // largest difference by largest value of the tensor
  static constexpr double kBias = 1.2e-7;    // one float32 step
  static constexpr double kBf16Logits = 0.03, kBf16Gradient = 0.05;
};

struct ModelCase {
  kernels::Ctx& ctx;
  std::string directory;
  GoldenFile& golden;
  CaseReport* report;
  model::ModelConfig config;
  int64_t rows = 0, length = 0;   // B, T
  std::vector<int32_t> tokens{};  // [B, T + 2]: two missing look-ahead tokens end every row
  double lambda = 0, alpha = 0;   // of the MTP loss and the balance loss in the case's gradients; 0: none
  bool gradients = false;         // the case holds some

  model::TokenRows input() const { return {tokens.data(), rows, length}; }
};

struct ModelRun {
  model::ObjectiveResult result;
  int64_t main_targets = 0, mtp_targets = 0;
  std::vector<float> grads;                          // flat, empty without gradients
  std::map<std::string, std::vector<float>> values;  // what the probe saw, by name
  double main_loss() const { return result.nll / static_cast<double>(main_targets); }
  double mtp_loss() const { return result.mtp_nll / static_cast<double>(mtp_targets); }
};
ModelRun run_objective(const ModelCase& c, model::Model& m, double alpha, bool gradients);

// Tensors whose name the probe knows: logits, hidden states, branch outputs, router, mtp.*, and the latent
// cache.
void verify_activations(const ModelCase& c, GoldenFile& golden, const std::string& prefix,
                        const ModelRun& run);
// nll and every loss but those of the balance.
void verify_losses(const ModelCase& c, const ModelRun& run);
// The other readings of the configuration that some cases hold (lora norm epsilon, MTP before the final
// norm).
void verify_other_readings(const ModelCase& c, model::Model& m, const ModelRun& run);

// grad.* (verify_gradients.cc)
void verify_gradients(const ModelCase& c, const model::Model& m, const ModelRun& run,
                      const std::string& prefix);
// Balance losses, expert counts, the bias update, and gradients of a second run with alpha 0.1.
void verify_balance(const ModelCase& c, model::Model& m, const ModelRun& run);
// Logits and gradients in bf16: median and norm, because a few tokens may be routed differently.
void verify_bf16(const ModelCase& c, const ModelRun& f32_run);

// gen.*, and logits again, with an expanded and with an absorbed cache (verify_generation.cc). With the first they are
// the bits of `run`.
void verify_generation(const ModelCase& c);
void verify_inference(const ModelCase& c, const ModelRun& run);

// dequant.*, *_dequant_bf16, *_w8a8* (verify_fp8.cc)
void verify_fp8(const ModelCase& c, model::Model& m);

}  // namespace frugal::eval
