// Where the time of passes went, as a table.
#pragma once

#include <vector>

#include "kernels/machine.h"
#include "kernels/profile.h"

namespace frugal::cli {

// Rows of the same name added up.
std::vector<kernels::ProfileRow> without_details(const std::vector<kernels::ProfileRow>& rows);
// Per pass: `passes` took `total` seconds. The floor of an operation is what the machine's limits allow.
void print_profile(std::vector<kernels::ProfileRow> rows, double total, int passes,
                   const kernels::Machine& limits);

}  // namespace frugal::cli
