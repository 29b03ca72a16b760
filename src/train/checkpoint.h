// Checkpoints of a run (docs/formats.md): checkpoints/step-N/ is a model directory plus trainer/ state,
// written beside, synced and renamed; trainer/manifest.json holds an XXH3 checksum of every tensor and file.
#pragma once

#include <set>
#include <string>
#include <vector>

#include "data/loader.h"
#include "model/model.h"
#include "text/tokenizer.h"
#include "train/optimizer.h"
#include "train/spike.h"

namespace frugal::train {

struct TrainerState {
  int64_t step = 0;  // steps done
  data::LoaderState loader;
  uint64_t data_fingerprint = 0;
  std::vector<uint64_t> source_hashes;  // RunData::source_hashes
  double best_validation = 0;           // bits per byte; 0: none yet
  double validation = 0;                // the same, measured after exactly this step; 0: not measured
  double tokens = 0;                    // of all steps done, those of batches left out not counted
  int64_t skipped = 0;                  // batches left out (on_spike)
  LossTrend trend;
};

// The values of a trainer, each flat in table order.
struct StateValues {
  const float* masters;
  const std::byte *exp_avg, *exp_avg_sq;
  Dtype moments;
};

// What all checkpoints of a run share. The model is read for its config and its table of parameters only.
struct CheckpointSource {
  std::string run;  // directory
  const model::Model* model;
  const text::Tokenizer* tokenizer;
};

std::string checkpoint_path(const std::string& run, int64_t step);

// Bytes of a checkpoint's files on disk, whose blocks may be 4 KiB; tokenizer_bytes: of its files.
int64_t checkpoint_bytes(const model::ParamTable& table, kernels::Operand operand, Dtype moments,
                         int64_t tokenizer_bytes);

// Writes a checkpoint of `values`; one of the same step that is undamaged stays. Throws Error: no room, a
// weight that is not finite, any failed write. Nothing that was saved before is touched. card: README.md;
// empty: none.
void write_checkpoint(const CheckpointSource& source, const TrainerState& state, const StateValues& values,
                      const std::string& card);

// Keeps the newest `keep` checkpoints and the best by validation, removes damaged ones. `verified`: names
// whose checksums need not be computed again; grows.
void remove_old_checkpoints(const std::string& run, int64_t keep, std::set<std::string>* verified);

// The newest checkpoint of a run whose checksums hold; damaged ones are named in a warning. Throws Error if
// none is left.
std::string newest_checkpoint(const std::string& run);

// The checkpoint with the lowest validation measured at its own step, and that; "" and 0: there is none.
std::pair<std::string, double> best_checkpoint(const std::string& run);

// Fills masters, moments and packed weights.
TrainerState load_checkpoint(kernels::Ctx& ctx, const std::string& directory, model::Model* model,
                             Optimizer* optimizer);

}  // namespace frugal::train
