#include "base/watchdog.h"

#include <algorithm>
#include <chrono>

#include "base/error.h"
#include "base/progress.h"

namespace frugal {

namespace {
double now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}
// A thread that wakes so much later than it asked for was not delayed by neighbours: the process was stopped.
constexpr double kStandstill = 2;
}  // namespace

Watchdog::Watchdog(double seconds, std::function<void(const std::string&)> say)
    : seconds_(seconds), say_(std::move(say)) {
  if (seconds_ > 0) thread_ = std::thread([this] { watch(); });
}

Watchdog::~Watchdog() {
  {
    std::lock_guard lock(mutex_);
    stop_ = true;
  }
  wake_.notify_all();
  if (thread_.joinable()) thread_.join();
}

void Watchdog::phase(Track track, const char* what) {
  if (seconds_ <= 0) return;
  std::lock_guard lock(mutex_);
  Phase& p = phases_[static_cast<size_t>(track)];
  if (p.warned) say_(fmt::format("{} has ended after {}", p.what, format_seconds(now() - p.since)));
  p = {what, now(), now() + seconds_, false};
}

void Watchdog::watch() {
  const double interval = std::clamp(seconds_ / 4, 0.01, 1.0);
  std::unique_lock lock(mutex_);
  while (!stop_) {
    const double asleep = now();
    wake_.wait_for(lock, std::chrono::duration<double>(interval), [this] { return stop_; });
    const double late = now() - asleep - interval;
    if (late > kStandstill) {
      say_(fmt::format("this process stood still for {} (it was stopped, or the machine had no time for it)",
                       format_seconds(late)));
      for (Phase& p : phases_) p.since += late, p.next_warning += late;
    }
    for (Phase& p : phases_) {
      if (p.what == nullptr || now() < p.next_warning) continue;
      const double taken = now() - p.since;
      say_(fmt::format("{} has taken {} so far and is not finished", p.what, format_seconds(taken)));
      p.next_warning = p.since + 2 * taken;
      p.warned = true;
    }
  }
}

}  // namespace frugal
