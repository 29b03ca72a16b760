#include "report/live_report.h"

#include <algorithm>

#include "base/error.h"
#include "base/files.h"
#include "base/log.h"
#include "base/progress.h"
#include "report/page.h"
#include "report/tensorboard.h"

namespace frugal::report {

namespace {
constexpr double kLeastInterval = 5;  // seconds
constexpr double kCostShare = 0.01;   // of a run's time that writing the page may take
}  // namespace

LiveReport::LiveReport(const train::Trainer& trainer)
    : recipe_(trainer.recipe()),
      log_(recipe_, points_per_run(1)),
      first_step_(trainer.steps_done()),
      start_(std::chrono::steady_clock::now()),
      last_(start_) {
  if (file_exists(recipe_.out + "/log.jsonl")) log_.read(recipe_.out + "/log.jsonl");
  if (recipe_.tensorboard && first_step_ < recipe_.steps)
    events_ = std::make_unique<EventFile>(recipe_.out + "/tensorboard", first_step_);
}

LiveReport::~LiveReport() {
  if (changed_) write(log_.last_step >= recipe_.steps ? RunState::kFinished : RunState::kStopped);
}

void LiveReport::logged(const std::string& line) {
  log_.add(line);
  if (events_ != nullptr) write_events(line);
  changed_ = true;
  if (seconds_since(last_) >= interval_) write(RunState::kRunning);
}

void LiveReport::write_events(const std::string& line) {
  int64_t step = 0;
  const std::vector<Scalar> scalars = scalars_of(line, log_.group_names, log_.moe_layers, &step);
  if (scalars.empty()) return;
  try {
    events_->add(step, scalars);
  } catch (const Error& e) {
    warn("no more TensorBoard events, training goes on: {}", e.what());
    events_.reset();
  }
}

// A report that cannot be written is no reason to end a run.
void LiveReport::write(RunState state) {
  const auto start = std::chrono::steady_clock::now();
  RunFacts facts;
  facts.directory = recipe_.out;
  facts.name = run_name(recipe_.out);
  facts.state = state;
  if (state == RunState::kRunning && log_.last_step > first_step_)
    facts.eta_seconds = seconds_since(start_) / static_cast<double>(log_.last_step - first_step_) *
                        static_cast<double>(recipe_.steps - log_.last_step);
  facts.refresh_seconds = std::max(kLeastInterval, interval_);
  try {
    write_page(facts, recipe_, log_);
  } catch (const std::exception& e) {
    if (!failed_) warn("the report is out of date, training goes on: {}", e.what());
    failed_ = true;
  }
  last_ = std::chrono::steady_clock::now();
  interval_ = std::max(kLeastInterval, seconds_since(start) / kCostShare);
}

}  // namespace frugal::report
