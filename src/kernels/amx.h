// Whether level amx can run: the processor has AMX, the system lets this process use it, and products come out with
// the bits of level avx512.
#pragma once

namespace frugal::kernels {

// Of the processor: tiles, products of bf16 and of bytes, and what level amx needs of AVX-512 beside them.
bool processor_has_amx();
// Asks once; a warning says so if the bits differ.
bool amx_runs_here();

}  // namespace frugal::kernels
