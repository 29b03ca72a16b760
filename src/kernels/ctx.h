// Ctx: passed first to every kernel. Thread pool, level table, scratch memory.
#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>
#include <functional>
#include <memory_resource>
#include <span>
#include <string>
#include <vector>

#include "base/arena.h"
#include "base/threads.h"
#include "kernels/level.h"
#include "kernels/profile.h"

namespace frugal::kernels {

struct GemmGroup;

// The level by name ("scalar", "avx2", "avx512", "amx", and "amx-emulated" to check the latter without it);
// throws Error when the name is unknown or the machine cannot run it.
const Level& level_by_name(const std::string& name);
// FRUGAL_ISA if set and not empty, else the best level of this machine.
const Level& default_level();
// Names of the levels that this machine can run, slowest first.
std::vector<std::string> available_levels();

// A short list that lives for an operation. Its memory comes from Ctx::lists and goes back there, so that a
// training step after the first takes none from the system.
template <class T>
using List = std::pmr::vector<T>;

class Ctx {
 public:
  explicit Ctx(int threads = 0, const Level& level_table = default_level());

  ThreadPool pool;
  const Level& level;
  Profile* profile = nullptr;  // where the operations' times go; null: nowhere
  // Sees the products before they are made; empty: nobody does. By the thread that calls the kernels.
  std::function<void(std::span<const GemmGroup>)> observer;

  // For lists of the thread that calls the kernels, not of the pool's others.
  std::pmr::unsynchronized_pool_resource lists{
      {.max_blocks_per_chunk = 0, .largest_required_pool_block = 1 << 22}};
  template <class T>
  List<T> list(int64_t n = 0) {
    return List<T>(static_cast<size_t>(n), &lists);
  }

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
  // The same slot of all threads, made as large as some part of a call may need: which thread takes which
  // part changes from step to step, and none is to allocate then. Whole powers of two, so that an expert with
  // a few tokens more needs no more. By the thread that calls the kernel.
  void reserve(int slot, int64_t bytes) {
    bytes = static_cast<int64_t>(std::bit_ceil(static_cast<uint64_t>(bytes)));
    for (int t = 0; t < pool.size(); ++t) scratch<std::byte>(t, slot, bytes);
  }
  // Every thread gets what any of them has asked for so far, so that parts which change threads need nothing
  // new. By the thread that calls the kernels, between them.
  void even_scratch() {
    for (int slot = 0; slot < kSlots; ++slot) {
      int64_t most = 0;
      for (int t = 0; t < pool.size(); ++t)
        most = std::max(most, buffers_[static_cast<size_t>(t * kSlots + slot)].bytes);
      for (int t = 0; t < pool.size(); ++t) scratch<std::byte>(t, slot, most);
    }
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
