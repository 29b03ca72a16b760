// The log of a run as scalars for TensorBoard, in DIR/tensorboard.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "report/tfevents.h"

namespace frugal::report {

// What a line of log.jsonl says in scalars; none for lines of other kinds. groups, moe_layers: RunLog's
// names.
std::vector<Scalar> scalars_of(std::string_view line, const std::vector<std::string>& groups,
                               const std::vector<std::string>& moe_layers, int64_t* step);

}  // namespace frugal::report
