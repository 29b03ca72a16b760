// Checkpoints of any shape with random weights: what speed and memory are measured on where the published
// weights are not at hand.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "kernels/ctx.h"
#include "model/stored.h"

namespace frugal::model {

struct SynthReport {
  int64_t tensors = 0, bytes = 0;
  size_t shards = 0;
};

// Writes config.json, shards with index, and manifest.json to `to`, which must not exist. Memory for one
// piece of a tensor. Every byte is a function of config, format, seed and the tensor's name, not of threads.
// Matrices have the standard deviation of Model::init_std and are uniform rather than normal, norms are 1,
// router biases 0; scales vary. progress is told the bytes written and all.
SynthReport synthesise_model(kernels::Ctx& ctx, const ModelConfig& config, StoredFormat format, uint64_t seed,
                             const std::string& to, int64_t shard_bytes,
                             const std::function<void(int64_t, int64_t)>& progress);

}  // namespace frugal::model
