#include "cli/profile_table.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>

namespace frugal::cli {

std::vector<kernels::ProfileRow> without_details(const std::vector<kernels::ProfileRow>& rows) {
  std::vector<kernels::ProfileRow> sums;
  for (const kernels::ProfileRow& r : rows) {
    auto sum = std::find_if(sums.begin(), sums.end(), [&](const auto& s) { return s.name == r.name; });
    if (sum == sums.end())
      sum = sums.insert(sum, kernels::ProfileRow{.name = r.name, .detail = {}, .work = {}});
    sum->calls += r.calls;
    sum->seconds += r.seconds;
    sum->work.flops += r.work.flops;
    sum->work.bytes += r.work.bytes;
  }
  return sums;
}

void print_profile(std::vector<kernels::ProfileRow> rows, double total, int steps,
                   const kernels::Machine& m, double attention_flops) {
  std::printf("%-36s %6s %9s %6s %9s %8s %9s\n", "operation", "calls", "ms", "share", "GFLOP/s", "GB/s",
              "of floor");
  double known = 0;
  std::sort(rows.begin(), rows.end(), [](const auto& a, const auto& b) { return a.seconds > b.seconds; });
  for (const kernels::ProfileRow& r : rows) {
    known += r.seconds;
    std::printf("%-36s %6.0f %9.2f %4.1f %%", fmt::format("{} {}", r.name, r.detail).c_str(),
                static_cast<double>(r.calls) / steps, r.seconds / steps * 1e3, 100 * r.seconds / total);
    if (r.work.flops > 0)
      std::printf(" %9.1f", r.work.flops / r.seconds * 1e-9);
    else
      std::printf(" %9s", "");
    const double peak = r.name.starts_with("attention") ? attention_flops : m.flops;
    const double floor = std::max(r.work.flops / peak, r.work.bytes / m.read_bytes);
    if (floor > 0) std::printf(" %8.1f %7.0f %%", r.work.bytes / r.seconds * 1e-9, 100 * floor / r.seconds);
    std::printf("\n");
  }
  std::printf("%-36s %6s %9.2f %4.1f %%\n", "everything else", "", (total - known) / steps * 1e3,
              100 * (total - known) / total);
}

}  // namespace frugal::cli
