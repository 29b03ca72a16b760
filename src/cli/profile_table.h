// Where the time of passes went, as a table.
#pragma once

#include <vector>

#include "kernels/machine.h"
#include "kernels/profile.h"

namespace frugal::cli {

// Rows of the same name added up.
std::vector<kernels::ProfileRow> without_details(const std::vector<kernels::ProfileRow>& rows);
// Per pass: `passes` took `total` seconds. The floor of an operation is what the limits allow;
// attention_flops: of products in the type that attention takes.
void print_profile(std::vector<kernels::ProfileRow> rows, double total, int passes,
                   const kernels::Machine& limits, double attention_flops);

}  // namespace frugal::cli
