// Whether level amx can run: the processor has AMX, the system lets this process use it, and products come
// out with the bits of level avx512.
#pragma once

#include "kernels/level.h"

namespace frugal::kernels {

// x86-64 only.
// Of the processor: tiles, products of bf16 and of bytes, and the instruction that rounds to bf16.
bool processor_has_amx();
// Asks once; a warning says so if the bits differ.
bool amx_runs_here();
// Whether a product in bf16 and one with int8 weights, with edges on all sides, have the same bits at both
// levels.
bool same_products(const Level& a, const Level& b);

}  // namespace frugal::kernels
