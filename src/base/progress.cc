#include "base/progress.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cstdio>

#include "base/terminal.h"

namespace frugal {

ProgressLine::ProgressLine(double plain_seconds)
    : terminal_(detect_terminal(STDERR_FILENO).ansi),
      plain_seconds_(plain_seconds),
      last_(std::chrono::steady_clock::now() - std::chrono::hours(1)) {}

ProgressLine::~ProgressLine() { finish(); }

void ProgressLine::show(const std::string& text) {
  if (terminal_) {
    const Terminal now = detect_terminal(STDERR_FILENO);
    std::fprintf(stderr, "\r\033[K%s", clip(text, now.columns - 1, now.utf8).c_str());
    std::fflush(stderr);
    open_ = true;
    return;
  }
  held_ = text;
  if (seconds_since(last_) < plain_seconds_) return;
  last_ = std::chrono::steady_clock::now();
  std::fprintf(stderr, "%s\n", text.c_str());
  held_.clear();
}

void ProgressLine::print(const std::string& text) {
  std::fprintf(stderr, "%s%s\n", open_ ? "\r\033[K" : "", text.c_str());
  std::fflush(stderr);
  open_ = false;
}

void ProgressLine::finish() {
  if (open_) std::fprintf(stderr, "\n");
  if (!terminal_ && !held_.empty()) std::fprintf(stderr, "%s\n", held_.c_str());
  held_.clear();
  open_ = false;
}

std::string format_seconds(double s) {
  const long n = static_cast<long>(s + 0.5);
  if (n < 60) return fmt::format("{} s", n);
  if (n < 3600) return fmt::format("{} min {} s", n / 60, n % 60);
  return fmt::format("{} h {} min", n / 3600, n % 3600 / 60);
}

std::string format_count(double n) {
  if (n < 1000) return fmt::format("{:.0f}", n);
  const char* const units[] = {"k", "M", "B", "T"};
  int u = -1;
  while (n >= 1000 && u < 3) {
    n /= 1000;
    ++u;
  }
  return n < 10 ? fmt::format("{:.2f} {}", n, units[u]) : fmt::format("{:.1f} {}", n, units[u]);
}

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

}  // namespace frugal
