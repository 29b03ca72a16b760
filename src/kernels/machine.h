// What the machine at hand can do, measured: the ceiling against which speeds are shown.
#pragma once

#include <string>
#include <vector>

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
// Operations on registers alone, one thread, per second: the level's peak in products of this operand, which
// is FMA's or, of bf16 at level amx, that of tiles.
double product_peak(const Level& level, Operand operand);

// Short runs of one thing, a few milliseconds each, to be taken among the work that is measured: what
// neighbours do to the one they do to the other. Sequential reading from memory, all threads of the pool
// together: memory of its own, larger than any cache. It reads in the way that is the faster one on this
// machine, which hardware that fetches ahead decides.
class ReadProbe {
 public:
  explicit ReadProbe(Ctx& ctx);
  double run();  // bytes per second; every run reads on behind the one before it

 private:
  Ctx& ctx_;
  AlignedPtr<float> memory_;
  std::vector<float> sums_;
  float (*read_)(const float* x, int64_t n) = nullptr;
  int64_t at_ = 0;
};
// Products of operands in cache, all threads.
class ProductProbe {
 public:
  ProductProbe(Ctx& ctx, Operand operand);
  double run();  // operations per second

 private:
  struct Work {
    std::vector<float> a, source;
    AlignedPtr<std::byte> b;
    AlignedPtr<float> c;
  };
  void multiply(Work& w) const;

  Ctx& ctx_;
  Operand operand_;
  int64_t k_;               // of integers 1,024: by less, some products of a model were faster than the peak
  std::vector<Work> work_;  // per thread
};

// The best of several runs: neighbours only ever slow it down.
double read_bandwidth(Ctx& ctx);
// Takes about a quarter of a second.
Machine measure_machine(Ctx& ctx, Operand operand);

}  // namespace frugal::kernels
