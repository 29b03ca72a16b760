// The line that tells how a training run is doing.
#pragma once

#include <string>
#include <vector>

#include "base/terminal.h"
#include "train/trainer.h"

namespace frugal::report {

// The losses of a run so far in at most 64 values, each the mean of as many steps.
class LossHistory {
 public:
  void add(double loss);
  const std::vector<double>& means() const { return means_; }

 private:
  std::vector<double> means_;
  double sum_ = 0;
  int count_ = 0, steps_per_value_ = 1;
};

// As much as fits into the terminal's columns, the most important first; a curve of the losses where a
// terminal can draw one. Without a terminal: everything but the curve.
std::string run_line(const train::Progress& progress, const LossHistory& losses, const Terminal& terminal);

}  // namespace frugal::report
