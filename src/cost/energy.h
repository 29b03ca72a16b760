// Energy of this machine while something runs: measured where the processor tells (RAPL), otherwise an
// estimate.
#pragma once

#include <chrono>
#include <string>
#include <vector>

namespace frugal::cost {

// Assumptions of estimates, said wherever they are used.
constexpr double kWattsPerCore = 10;          // a busy server core with its share of memory and fans
constexpr double kDollarsPerCoreHour = 0.04;  // a core rented by the hour

class EnergyMeter {
 public:
  // cores: how many the estimate counts. powercap: where the kernel shows RAPL.
  explicit EnergyMeter(int cores, const std::string& powercap = "/sys/class/powercap");
  bool measured() const { return !domains_.empty(); }
  // Joules since construction. Call at least every few minutes: the counters wrap.
  double joules();

 private:
  struct Domain {
    std::string file;
    double last, range;  // microjoules
  };
  int cores_;
  std::chrono::steady_clock::time_point start_;
  std::vector<Domain> domains_;
  double microjoules_ = 0;
};

}  // namespace frugal::cost
