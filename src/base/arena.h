// Arena: one block of memory sized before the run; everything that a forward and backward pass needs is cut
// from it and given back at once. Nothing is zeroed: a kernel writes what another reads.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <memory>

#include "base/error.h"

namespace frugal {

struct FreeDeleter {
  void operator()(void* p) const { std::free(p); }
};
template <class T>
using AlignedPtr = std::unique_ptr<T[], FreeDeleter>;

// 64-byte aligned memory (a cache line, one AVX-512 register), uninitialised; large blocks on huge pages
// where the kernel gives them. Throws Error when there is not enough. Freed with free().
void* aligned_memory(size_t bytes);
template <class T>
AlignedPtr<T> aligned_array(int64_t n) {
  return AlignedPtr<T>(static_cast<T*>(aligned_memory(static_cast<size_t>(n) * sizeof(T))));
}

class Arena {
 public:
  Arena() = default;
  explicit Arena(int64_t bytes) : memory_(aligned_array<std::byte>(bytes)), capacity_(bytes) {}

  template <class T>
  T* alloc(int64_t n) {
    const int64_t bytes = (n * static_cast<int64_t>(sizeof(T)) + 63) / 64 * 64;
    FRUGAL_ASSERT(used_ + bytes <= capacity_, "arena of {} bytes: {} used, {} wanted", capacity_, used_,
                  bytes);
    T* p = reinterpret_cast<T*>(memory_.get() + used_);
    used_ += bytes;
    return p;
  }
  int64_t used() const { return used_; }
  int64_t capacity() const { return capacity_; }
  // Gives back everything allocated after used() was `mark`.
  void rewind(int64_t mark) { used_ = mark; }

 private:
  AlignedPtr<std::byte> memory_;
  int64_t capacity_ = 0;
  int64_t used_ = 0;
};

}  // namespace frugal
