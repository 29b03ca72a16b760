// Floating-point operations of a model, counted from its shapes (multiply and add are two).
#pragma once

#include "model/config.h"

namespace frugal::model {

// Products of one forward pass per token at causal attention over `length` positions, MTP module included. A
// training step costs three times this. V3 at 4,096: 250 GFLOP per token forward and backward without MTP.
double forward_flops_per_token(const ModelConfig& config, int64_t length, bool with_mtp);

}  // namespace frugal::model
