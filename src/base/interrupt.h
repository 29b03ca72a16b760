// SIGINT and SIGTERM as something to be asked for, so that work can end where nothing is lost.
#pragma once

namespace frugal {

// While one lives, the first signal is noted. With `second_leaves` a second one ends the process at once
// (status 130).
class InterruptGuard {
 public:
  explicit InterruptGuard(bool second_leaves);
  ~InterruptGuard();
  InterruptGuard(const InterruptGuard&) = delete;
  InterruptGuard& operator=(const InterruptGuard&) = delete;
  bool interrupted() const;
  void clear();
};

}  // namespace frugal
