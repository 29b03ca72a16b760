// What the machine at hand can do, measured: the ceiling against which speeds are shown.
#pragma once

#include <string>

#include "kernels/ctx.h"

namespace frugal::kernels {

struct Machine {
  std::string cpu;          // "AMD EPYC 9R14", or "unknown"
  double memory_bytes = 0;  // of the machine; 0: unknown
  double flops = 0;         // products of operands in cache, all threads of the pool together, per second
  double read_bytes = 0;    // sequential reading from memory, all threads, per second
};
// Takes about a quarter of a second.
Machine measure_machine(Ctx& ctx, Operand operand);

}  // namespace frugal::kernels
