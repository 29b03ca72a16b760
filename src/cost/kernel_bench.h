// Speeds of the engine's kernels at shapes that training and serving meet, beside the machine's peak of the
// same moment: neighbours on a shared machine slow both.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "kernels/ctx.h"
#include "kernels/profile.h"

namespace frugal::cost {

struct KernelRow {
  std::string kernel;  // "gemm bf16"
  std::string shape;   // "M 512, N 2048, K 512"
  int threads = 1;
  double seconds = 0;   // median of one call
  kernels::Work work;   // of one call; bytes: of what comes from memory, 0 where caches decide
  double peak = 0;      // kernels::product_peak, median over the same repetitions, operations per second
  double flops_per_second() const { return work.flops / seconds; }
  double share_of_peak() const { return flops_per_second() / (peak * threads); }
  double bytes_per_second() const { return work.bytes / seconds; }
};

// `one` has one thread, `all` as many as wanted. After every row `report` is called.
std::vector<KernelRow> bench_kernels(kernels::Ctx& one, kernels::Ctx& all,
                                     const std::function<void(const KernelRow&)>& report);

// Over the rows of a kernel: the geometric mean of their shares of the peak.
double mean_share(const std::vector<KernelRow>& rows, const std::string& kernel);

}  // namespace frugal::cost
