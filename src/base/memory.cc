#include "base/memory.h"

#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>

#include "base/error.h"

namespace frugal {

namespace {
int64_t meminfo_available() {
  std::ifstream in("/proc/meminfo");
  std::string key, unit;
  int64_t kib = 0;
  while (in >> key >> kib) {
    std::getline(in, unit);
    if (key == "MemAvailable:") return kib * 1024;
  }
  return -1;
}

int64_t read_number(const char* path) {
  std::ifstream in(path);
  int64_t n = -1;
  return in >> n ? n : -1;  // "max" is not a number: no limit
}
}  // namespace

int64_t available_memory_bytes() {
  const int64_t machine = meminfo_available();
  const int64_t limit = read_number("/sys/fs/cgroup/memory.max"),
                used = read_number("/sys/fs/cgroup/memory.current");
  if (limit < 0 || used < 0) return machine;
  const int64_t group = std::max<int64_t>(0, limit - used);
  return machine < 0 ? group : std::min(machine, group);
}

int64_t peak_memory_bytes() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return int64_t{usage.ru_maxrss} * 1024;
}

int64_t resident_memory_bytes() {
  std::ifstream in("/proc/self/statm");
  int64_t size = 0, resident = 0;
  in >> size >> resident;
  return resident * ::sysconf(_SC_PAGESIZE);
}

void require_memory(int64_t bytes, const std::string& what, const std::string& remedy) {
  const int64_t available = available_memory_bytes();
  if (available < 0 || bytes <= available) return;
  const auto gib = [](int64_t n) { return static_cast<double>(n) / 1073741824.0; };
  fail(what, fmt::format("needs {:.2f} GiB of memory, {:.2f} GiB are free", gib(bytes), gib(available)),
       remedy);
}

}  // namespace frugal
