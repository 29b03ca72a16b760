#include "cost/energy.h"

#include <cstdio>
#include <filesystem>

namespace frugal::cost {

namespace {
// A number in a file of /sys; -1 if it cannot be read.
double read_number(const std::string& path) {
  FILE* f = std::fopen(path.c_str(), "r");
  if (f == nullptr) return -1;
  double value = -1;
  if (std::fscanf(f, "%lf", &value) != 1) value = -1;
  std::fclose(f);
  return value;
}
}  // namespace

EnergyMeter::EnergyMeter(int cores, const std::string& powercap)
    : cores_(cores), start_(std::chrono::steady_clock::now()) {
  std::error_code none;
  // intel-rapl:N are the packages; intel-rapl:N:M lie inside them.
  for (int package = 0; package < 64; ++package) {
    const std::string directory = powercap + "/intel-rapl:" + std::to_string(package);
    if (!std::filesystem::is_directory(directory, none)) break;
    const double now = read_number(directory + "/energy_uj"),
                 range = read_number(directory + "/max_energy_range_uj");
    if (now >= 0 && range > 0) domains_.push_back({directory + "/energy_uj", now, range});
  }
}

double EnergyMeter::joules() {
  if (domains_.empty())
    return kWattsPerCore * cores_ *
           std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
  for (Domain& d : domains_) {
    const double now = read_number(d.file);
    if (now < 0) continue;
    microjoules_ += now >= d.last ? now - d.last : now + d.range - d.last;
    d.last = now;
  }
  return microjoules_ * 1e-6;
}

}  // namespace frugal::cost
