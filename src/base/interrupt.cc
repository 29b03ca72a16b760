#include "base/interrupt.h"

#include <signal.h>
#include <unistd.h>

namespace frugal {

namespace {
volatile sig_atomic_t signals_seen = 0;
volatile sig_atomic_t leave_at_second = 0;
struct sigaction old_int, old_term;

void on_signal(int) {
  signals_seen = signals_seen + 1;
  if (leave_at_second != 0 && signals_seen > 1) _exit(130);
}
}  // namespace

InterruptGuard::InterruptGuard(bool second_leaves) {
  signals_seen = 0;
  leave_at_second = second_leaves ? 1 : 0;
  struct sigaction action {};
  action.sa_handler = on_signal;
  sigaction(SIGINT, &action, &old_int);
  sigaction(SIGTERM, &action, &old_term);
}
InterruptGuard::~InterruptGuard() {
  sigaction(SIGINT, &old_int, nullptr);
  sigaction(SIGTERM, &old_term, nullptr);
}
bool InterruptGuard::interrupted() const { return signals_seen > 0; }
void InterruptGuard::clear() { signals_seen = 0; }

}  // namespace frugal
