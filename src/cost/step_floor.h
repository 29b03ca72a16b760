// The least time that a training step can take on a machine: what must be multiplied at its peak, and what
// must be moved at its memory's speed. The list is fixed, so that shares of it can be compared from commit to
// commit.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/dtype.h"
#include "kernels/level.h"
#include "model/config.h"

namespace frugal::cost {

struct FloorRow {
  std::string name;
  double flops = 0;  // at the peak of the products' type
  double bytes = 0;  // read and written in memory
};
// A step of `sequences` rows of `length` tokens, MTP module included: products and attention, forward and
// backward; AdamW (28 bytes per parameter with f32 moments, 20 with bf16); cross-entropy (two exponentials
// per logit, about 40 operations); every saved activation written once and read once.
std::vector<FloorRow> step_floor(const model::ModelConfig& config, kernels::Operand operand, Dtype moments,
                                 int64_t sequences, int64_t length);

// Each row at the slower of its two limits; rows do not overlap.
double floor_seconds(const std::vector<FloorRow>& rows, double flops_per_second, double bytes_per_second);

}  // namespace frugal::cost
