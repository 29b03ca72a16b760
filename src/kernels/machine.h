// What the machine at hand can do, measured: the ceiling against which speeds are shown.
#pragma once

#include <string>

#include "kernels/ctx.h"

namespace frugal::kernels {

struct Machine {
  std::string cpu;          // cpu_name()
  double memory_bytes = 0;  // of the machine; 0: unknown
  double flops = 0;         // products of operands in cache, all threads of the pool together, per second
  double read_bytes = 0;    // sequential reading from memory, all threads, per second
};
// "AMD EPYC 9R14", or "unknown".
std::string cpu_name();
// FMAs on registers, one thread, operations per second: the peak of the level.
double fma_peak(const Level& level);
// Sequential reading from memory, all threads of the pool together, bytes per second.
double read_bandwidth(Ctx& ctx);
// Takes about a quarter of a second.
Machine measure_machine(Ctx& ctx, Operand operand);

}  // namespace frugal::kernels
