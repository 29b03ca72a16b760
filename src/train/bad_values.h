// Where numbers of a training step went wrong.
#pragma once

#include <string>

#include "data/loader.h"
#include "model/objective.h"

namespace frugal::train {

// The first parameter with a value that is not finite, by name; empty: none.
std::string bad_weight(const model::ParamTable& table, const float* masters);

// In the order in which a step computes: a weight, else the first result of the forward pass
// ("layers.3.attn_out", found by running it again), else the gradient that backward reaches first. Empty:
// everything is finite.
std::string first_bad_value(kernels::Ctx& ctx, model::Model& model, model::Objective& objective,
                            const data::Batch& batch, int64_t rows, double mtp_lambda, const float* grads);

// The parameter whose gradient has the largest norm, with it.
std::string largest_gradient(kernels::Ctx& ctx, const model::ParamTable& table, const float* grads);

}  // namespace frugal::train
