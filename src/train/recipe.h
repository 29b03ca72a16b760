// Recipe: everything that decides a training run. One option table feeds the TOML reader, `key=value`
// arguments, range checks, `frugal train --help` and the resolved recipe.toml of a run. Published values:
// DeepSeek-V3 report section 4.2.
#pragma once

#include <string>
#include <variant>
#include <vector>

#include "base/dtype.h"
#include "kernels/level.h"
#include "model/config.h"

namespace frugal::train {

struct Recipe {
  model::ModelConfig model;  // vocab_size included

  // data
  std::vector<std::string> data;
  std::string separator;
  std::string text_field = "text";
  std::vector<std::string> extensions;  // of files in folders; empty: all
  bool strict = false;
  std::string dedupe = "none";
  double fim_rate = 0;
  double validation_fraction = 0.1;
  std::string tokenizer;        // directory or tokenizer.json; empty: train one on the data
  int64_t digits = 3;           // digits per token of a tokenizer that is trained
  bool split_capitals = false;  // its words in capitals are cut into letters
  int64_t sequence_length = 256;

  // run
  std::string preset;   // what the recipe was made from; empty: a file
  std::string license;  // of the model, for its card
  std::string out;
  int64_t steps = 1000;
  double minutes = 0;      // > 0: steps are fitted to this much time on this machine
  int64_t batch = 8;       // sequences per optimizer step
  int64_t microbatch = 0;  // sequences per forward and backward; 0: all
  int64_t seed = 1;
  int64_t threads = 0;
  std::string precision = "bf16";
  std::string moments = "f32";
  int64_t save_every = 0, keep_checkpoints = 3, eval_every = 100, sample_every = 200, sample_tokens = 96;
  int64_t log_experts_every = 10;
  bool tensorboard = false;
  std::string sample_prompt;
  bool async_save = true;  // with save_every: training goes on while a checkpoint is written
  std::string on_spike = "stop";
  double spike_threshold = 10, watchdog_seconds = 60;

  // optimizer: AdamW
  double learning_rate = 2e-3, beta1 = 0.9, beta2 = 0.95, eps = 1e-8, weight_decay = 0.1, max_grad_norm = 1.0;
  // schedule, as fractions of all steps (V3: 14.8 T tokens)
  int64_t warmup_steps = 50;
  double constant_until = 0.676;  // 10 T
  double cosine_until = 0.966;    // + 4.3 T
  double min_learning_rate_ratio = 0.1;
  double tail_from = 0.9887;                 // the last 167 B
  double tail_learning_rate_ratio = 0.0332;  // 7.3e-6 / 2.2e-4
  // experts and MTP
  double bias_update_speed = 0.001;
  double bias_update_until = 0.966;  // 14.3 T
  double balance_alpha = 1e-4;
  double mtp_lambda = 0.3, mtp_lambda_late = 0.1;
  double mtp_lambda_switch = 0.676;  // 10 T
};

using RecipeField = std::variant<int64_t& (*)(Recipe&), double& (*)(Recipe&), std::string& (*)(Recipe&),
                                 std::vector<std::string>& (*)(Recipe&), bool& (*)(Recipe&)>;
struct RecipeOption {
  const char* name;
  RecipeField field;
  double low, high;  // numbers only
  const char* help;
};
const std::vector<RecipeOption>& recipe_options();

// Names of the built-in presets (configs/*.toml).
std::vector<std::string> preset_names();

// A file, or the name of a preset, then `key=value` settings. Throws Error naming file, line, key and what is
// allowed.
Recipe load_recipe(const std::string& file_or_preset, const std::vector<std::string>& settings);
// Reads a resolved recipe back.
Recipe read_recipe(const std::string& file, const std::vector<std::string>& settings);
void check_recipe(const Recipe& recipe);
// Rows that go through forward and backward at a time.
int64_t rows_per_pass(const Recipe& recipe);
// The type of the products' operands that a checked recipe's `precision` names.
kernels::Operand operand_of(const Recipe& recipe);
// The type of AdamW's moments.
Dtype moments_of(const Recipe& recipe);
// Paths of `data` and `tokenizer` that do not depend on the working directory; weights stay.
void make_paths_absolute(Recipe* recipe);
std::string recipe_to_toml(const Recipe& recipe);

}  // namespace frugal::train
