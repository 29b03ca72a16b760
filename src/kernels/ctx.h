// Ctx: passed first to every kernel. Thread pool, level table, scratch memory.
#pragma once

#include <string>
#include <vector>

#include "base/arena.h"
#include "base/threads.h"
#include "kernels/level.h"
#include "kernels/profile.h"

namespace frugal::kernels {

// The level by name ("scalar", "avx2", "avx512"); throws Error when the name is unknown or the machine cannot
// run it.
const Level& level_by_name(const std::string& name);
// FRUGAL_ISA if set and not empty, else the best level of this machine.
const Level& default_level();
// Names of the levels that this machine can run, lowest first.
std::vector<std::string> available_levels();

class Ctx {
 public:
  explicit Ctx(int threads = 0, const Level& level_table = default_level());

  ThreadPool pool;
  const Level& level;
  Profile* profile = nullptr;  // where the operations' times go; null: nowhere

  // Scratch of one thread, valid until that thread asks again with the same slot. Grows; contents undefined.
  template <class T>
  T* scratch(int thread, int slot, int64_t n) {
    Buffer& b = buffers_[static_cast<size_t>(thread * kSlots + slot)];
    const int64_t bytes = n * static_cast<int64_t>(sizeof(T));
    if (b.bytes < bytes) {
      b.memory = aligned_array<std::byte>(bytes);
      b.bytes = bytes;
    }
    return reinterpret_cast<T*>(b.memory.get());
  }
  static constexpr int kSlots = 16;

 private:
  struct Buffer {
    AlignedPtr<std::byte> memory;
    int64_t bytes = 0;
  };
  std::vector<Buffer> buffers_;
};

}  // namespace frugal::kernels
