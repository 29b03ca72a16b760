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

TEST(Allocation, ARunThatHasSettledTakesNoBuffer) {
  const std::string root = "/tmp/frugal_allocation_" + std::to_string(getpid());
  test::write_tasks(root);
  auto t = Trainer::start(test::toy_recipe(root, "run", {"steps=1000", "eval_every=0"}));
  EXPECT_GT(buffers, 0);
  // Scratch of threads grows a little while the experts' loads vary.
  for (int i = 0; i < 150; ++i) t->step();
  const int64_t buffers_before = buffers, blocks_before = small_blocks;
  constexpr int kSteps = 20;
  for (int i = 0; i < kSteps; ++i) t->step();
  EXPECT_EQ(buffers - buffers_before, 0);
  // The batch, the report and its lists; kernels and model take theirs from Ctx::lists.
  const int64_t per_step = (small_blocks - blocks_before) / kSteps;
  std::printf("%lld small blocks per step\n", static_cast<long long>(per_step));
  EXPECT_LT(per_step, 40);
  remove_all(root);
}

}  // namespace
}  // namespace frugal::train

#endif
