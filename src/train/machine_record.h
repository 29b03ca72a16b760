// machine.json of a run directory: the machine and the program of the newest call, for the report.
#pragma once

#include "kernels/ctx.h"
#include "train/recipe.h"

namespace frugal::train {

// peak_flops: of all threads, f32.
void write_machine_record(const Recipe& recipe, kernels::Ctx& ctx, double peak_flops);

}  // namespace frugal::train
