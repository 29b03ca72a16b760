// What one sees while the demo trains: a panel that is redrawn in place on a terminal, plain lines elsewhere.
#pragma once

#include <array>
#include <chrono>
#include <deque>
#include <string>
#include <vector>

#include "base/terminal.h"
#include "eval/exam.h"
#include "train/trainer.h"

namespace frugal::cli {

class DemoScreen {
 public:
  // tokens_per_step, flops_per_token and peak_flops turn steps into rates.
  DemoScreen(double tokens_per_step, double flops_per_token, double peak_flops);

  void progress(const train::Progress& p);  // after every step; draws a few times a second
  // The answers to a few held-out questions; the bars show the newest ones of each kind.
  void quiz(const std::vector<eval::ExamAnswer>& answers);
  // One question and its answer, for good.
  void show(const eval::ExamAnswer& answer);
  void line(const std::string& text);  // for good
  void close();

 private:
  std::vector<std::string> panel_lines() const;
  std::string bar_line(const std::string& name, double share, int asked) const;
  std::string plain_line() const;
  double recent_share(size_t kind) const;

  Terminal terminal_;
  Panel panel_;
  double tokens_per_step_, flops_per_token_, peak_flops_;
  std::chrono::steady_clock::time_point last_draw_;
  train::Progress now_;
  std::vector<double> losses_;
  std::vector<std::deque<bool>> recent_;  // per kind
};

}  // namespace frugal::cli
