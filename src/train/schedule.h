// V3's schedules (DeepSeek-V3 report section 4.2): functions of the step alone.
#pragma once

#include "train/recipe.h"

namespace frugal::train {

// Step 0 is the first. Linear warm-up, constant, cosine, constant, tail.
double learning_rate_at(const Recipe& recipe, int64_t step);
double mtp_lambda_at(const Recipe& recipe, int64_t step);
double bias_update_speed_at(const Recipe& recipe, int64_t step);

}  // namespace frugal::train
