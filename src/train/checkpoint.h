// Checkpoints of a run (docs/formats.md): checkpoints/step-N/ is a model directory plus trainer/ state,
// written beside, synced and renamed; trainer/manifest.json holds an XXH3 checksum of every file.
#pragma once

#include <optional>
#include <string>

#include "data/loader.h"
#include "model/model.h"
#include "text/tokenizer.h"
#include "train/optimizer.h"

namespace frugal::train {

struct TrainerState {
  int64_t step = 0;  // steps done
  data::LoaderState loader;
  uint64_t data_fingerprint = 0;
  double best_validation = 0;  // bits per byte; 0: none yet
};

void save_checkpoint(const std::string& run, const TrainerState& state, const model::Model& model,
                     const Optimizer& optimizer, const text::Tokenizer& tokenizer, int64_t keep);

// The newest checkpoint of a run whose checksums hold; damaged ones are named in a warning. Throws Error if
// none is left.
std::string newest_checkpoint(const std::string& run);

// Fills masters, moments and packed weights.
TrainerState load_checkpoint(kernels::Ctx& ctx, const std::string& directory, model::Model* model,
                             Optimizer* optimizer);

}  // namespace frugal::train
