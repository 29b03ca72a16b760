#include "base/mapping_faults.h"

#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstring>
#include <mutex>

namespace frugal {

namespace {
struct Mapping {
  std::atomic<const char*> begin{nullptr};
  size_t bytes = 0;
  char path[512] = "";
};
constexpr size_t kMost = 4096;
std::array<Mapping, kMost> mappings;
std::mutex mutex;  // of those who change them; the handler only reads
std::once_flag installed;

void say(const char* text) {
  if (::write(STDERR_FILENO, text, std::strlen(text)) < 0) ::_exit(1);
}

// Only what is safe in a handler.
void on_bus_error(int, siginfo_t* info, void*) {
  const char* at = static_cast<const char*>(info->si_addr);
  for (const Mapping& m : mappings) {
    const char* begin = m.begin.load(std::memory_order_acquire);
    if (begin == nullptr || at < begin || at >= begin + m.bytes) continue;
    say("\nfrugal: ");
    say(m.path);
    say(": cannot be read any more: it was cut short or its disk failed while it was in use; restore the "
        "file and start again\n");
    ::_exit(1);
  }
  // Somebody else's: die of it as before.
  ::signal(SIGBUS, SIG_DFL);
  ::raise(SIGBUS);
}

void install() {
  struct sigaction action {};
  action.sa_sigaction = on_bus_error;
  action.sa_flags = SA_SIGINFO | SA_NODEFER;
  ::sigaction(SIGBUS, &action, nullptr);
}
}  // namespace

void watch_mapping(const void* data, size_t bytes, const std::string& path) {
  std::call_once(installed, install);
  std::lock_guard lock(mutex);
  for (Mapping& m : mappings) {
    if (m.begin.load(std::memory_order_relaxed) != nullptr) continue;
    m.bytes = bytes;
    const size_t n = std::min(path.size(), sizeof m.path - 1);
    std::memcpy(m.path, path.data(), n);
    m.path[n] = 0;
    m.begin.store(static_cast<const char*>(data), std::memory_order_release);
    return;
  }
}

void forget_mapping(const void* data) {
  std::lock_guard lock(mutex);
  for (Mapping& m : mappings)
    if (m.begin.load(std::memory_order_relaxed) == data)
      return m.begin.store(nullptr, std::memory_order_release);
}

}  // namespace frugal
