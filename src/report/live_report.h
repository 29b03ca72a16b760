// The report of a run that goes on: takes the run's log lines, rewrites the page now and then, and writes
// TensorBoard's event files if the recipe asks for them.
#pragma once

#include <chrono>
#include <memory>

#include "report/run_data.h"
#include "report/tfevents.h"
#include "train/trainer.h"

namespace frugal::report {

class LiveReport {
 public:
  // Reads what a resumed run has logged already.
  explicit LiveReport(const train::Trainer& trainer);
  // Writes the page for the last time if the run has done anything.
  ~LiveReport();
  LiveReport(const LiveReport&) = delete;
  LiveReport& operator=(const LiveReport&) = delete;

  void logged(const std::string& line);

 private:
  void write(RunState state);
  void write_events(const std::string& line);

  train::Recipe recipe_;
  RunLog log_;
  std::unique_ptr<EventFile> events_;  // null: not wanted, or given up
  int64_t first_step_;
  std::chrono::steady_clock::time_point start_, last_;
  double interval_ = 0;  // seconds from the end of one writing to the next
  bool changed_ = false, failed_ = false;
};

}  // namespace frugal::report
