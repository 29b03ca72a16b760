// One line that tells how a long job is doing: overwritten in place on a terminal, a plain line now and then
// elsewhere.
#pragma once

#include <chrono>
#include <string>

namespace frugal {

class ProgressLine {
 public:
  // plain_seconds: distance of plain lines when stderr is not a terminal.
  explicit ProgressLine(double plain_seconds = 5);
  ~ProgressLine();
  void show(const std::string& text);
  // Prints a line that stays, above the progress line.
  void print(const std::string& text);
  // Ends the line that stands there; the next output starts on a fresh one.
  void finish();

 private:
  bool terminal_;
  bool open_ = false;
  double plain_seconds_;
  std::chrono::steady_clock::time_point last_;
  std::string held_;  // the newest text that was not printed
};

std::string format_seconds(double seconds);  // "42 s", "3 min 5 s", "2 h 7 min"
std::string format_count(double n);          // "950", "12.3 k", "4.56 M"
double seconds_since(std::chrono::steady_clock::time_point start);

}  // namespace frugal
