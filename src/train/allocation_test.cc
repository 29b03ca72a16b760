// Counts allocations of a training step. Replaces the global operator new for the whole test program.
#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <new>

#include "base/files.h"
#include "test_runs.h"
#include "train/trainer.h"

// Sanitizers bring allocators of their own.
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)

namespace {
std::atomic<int64_t> small_blocks{0}, buffers{0};
}

void* operator new(size_t bytes) {
  ++small_blocks;
  if (void* p = std::malloc(bytes)) return p;
  throw std::bad_alloc();
}
void operator delete(void* p) noexcept { std::free(p); }
void operator delete(void* p, size_t) noexcept { std::free(p); }

// What aligned_memory() calls: arenas, and scratch of threads.
extern "C" void* aligned_alloc(size_t alignment, size_t bytes) {
  ++buffers;
  void* p = nullptr;
  return ::posix_memalign(&p, alignment, bytes) == 0 ? p : nullptr;
}

namespace frugal::train {
namespace {

TEST(Allocation, ARunThatHasSettledTakesNoMemory) {
  const std::string root = "/tmp/frugal_allocation_" + std::to_string(getpid());
  test::write_tasks(root);
  auto t = Trainer::start(test::toy_recipe(root, "run", {"steps=1000", "eval_every=0"}));
  EXPECT_GT(buffers, 0);
  EXPECT_GT(small_blocks, 0);
  // All that is needed is taken in the first step. The second epoch, whose rows take memory to plan, starts
  // with step 161.
  t->step();
  const int64_t buffers_before = buffers, blocks_before = small_blocks;
  constexpr int kSteps = 150;
  for (int i = 0; i < kSteps; ++i) t->step();
  EXPECT_EQ(buffers - buffers_before, 0);
  EXPECT_EQ(small_blocks - blocks_before, 0);
  remove_all(root);
}

}  // namespace
}  // namespace frugal::train

#endif
