// What a run will take, told before it begins.
#pragma once

#include <string>

#include "train/recipe.h"

namespace frugal::train {

// Bytes by part.
struct MemoryPlan {
  int64_t weights = 0;  // f32
  int64_t panels = 0;   // the same packed for products, forward and backward
  int64_t gradients = 0, moments = 0;
  int64_t activations = 0;  // of a microbatch, with all temporaries
  int64_t scratch = 0;      // of the threads
  int64_t copy = 0;         // of the state, while a checkpoint is written beside training
  int64_t present = 0;      // what the process has already: its data and itself
};
// present: resident_memory_bytes() once the data is read; 0: not known yet.
MemoryPlan memory_plan(const Recipe& recipe, int threads, int64_t present);
int64_t to_allocate(const MemoryPlan& plan);  // everything but `present`

// What to do when it does not fit.
inline constexpr const char* kLessMemory =
    "lower batch or microbatch, set async_save=false, or take a smaller model";

// Whether checkpoints are written beside training, from a copy.
bool saves_beside(const Recipe& recipe);
// Checkpoints that lie on disk at once: kept, the best, and the one being written.
int64_t most_checkpoints(const Recipe& recipe);

// Parameters, FLOPs per token, memory and disk, as text. checkpoint_bytes: train/checkpoint.h.
std::string plan_text(const Recipe& recipe, const MemoryPlan& plan, int64_t checkpoint_bytes);

}  // namespace frugal::train
