#include "base/arena.h"

#include <sys/mman.h>

#include <algorithm>

namespace frugal {

void* aligned_memory(size_t bytes) {
  constexpr size_t kLine = 64, kHugePage = size_t{2} << 20;
  // A pass walks hundreds of megabytes; with 4 KiB pages the address translation alone costs several percent.
  const bool huge = bytes >= 2 * kHugePage;
  const size_t alignment = huge ? kHugePage : kLine;
  const size_t rounded = std::max(bytes, size_t{1}) + alignment - 1;
  void* p = rounded < bytes ? nullptr : std::aligned_alloc(alignment, rounded / alignment * alignment);
  if (p == nullptr)
    fail("memory", fmt::format("cannot allocate {} bytes", bytes), "use a smaller batch or model");
  if (huge) ::madvise(p, rounded / alignment * alignment, MADV_HUGEPAGE);
  return p;
}

}  // namespace frugal
