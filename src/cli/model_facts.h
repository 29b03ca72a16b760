// What `frugal inspect` tells of a model: gathered from headers and small files, without reading a weight.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "infer/engine.h"
#include "model/stored.h"

namespace frugal::cli {

struct ShardFacts {
  std::string file;
  int64_t tensors = 0, bytes = 0;
};

struct TokenizerFacts {
  std::string problem;  // why it cannot be used; then the rest is empty
  int64_t tokens = 0;
  int32_t bos = -1, eos = -1;
  std::string bos_text, eos_text, chat_format;
};

// Generating one text of `context` tokens with weights in `precision`: what `frugal generate` would ask for.
struct FitFacts {
  std::string precision, attention;
  int64_t context = 0, weight_bytes = 0, other_bytes = 0;
  bool fits = false;
};

struct TrainingFacts {
  int64_t step = 0;
  double best_validation = 0;  // bits per byte; 0: none
};

struct ModelFacts {
  std::string source;  // directory, config.json, recipe or preset
  model::ModelConfig config;
  std::vector<model::PartCount> parts;
  std::vector<ShardFacts> shards;  // none: a config without weights
  std::vector<model::TensorProblem> problems;
  bool checksums = false;  // it has a manifest of them
  std::optional<TokenizerFacts> tokenizer;
  std::optional<TrainingFacts> training;
  // The size of its tensors in each format of `frugal convert`, and the room where it lies (or here).
  std::vector<std::pair<std::string, int64_t>> as_files;
  int64_t free_disk = -1;
  int64_t available_memory = -1;
  std::vector<FitFacts> fits;
};

// path: a model directory, a run directory, a config.json, a recipe or the name of a preset.
ModelFacts gather_model_facts(const std::string& path);

// Sums over the parts. The MTP module is among the parameters.
int64_t total_parameters(const ModelFacts& facts);
int64_t mtp_parameters(const ModelFacts& facts);
int64_t total_active(const ModelFacts& facts);
int64_t total_bytes(const ModelFacts& facts);

std::string facts_as_text(const ModelFacts& facts);
std::string facts_as_json(const ModelFacts& facts);

}  // namespace frugal::cli
