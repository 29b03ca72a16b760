#include "base/threads.h"

#include <sched.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <fstream>
#include <utility>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace frugal {

namespace {
// Parallel regions of a training step follow each other within tens of microseconds; a worker spins that long
// for the next one and then sleeps, so that an idle engine costs nothing and a busy neighbour is not starved.
constexpr auto kSpin = std::chrono::microseconds(100);

inline void cpu_relax() {
#if defined(__x86_64__)
  _mm_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

template <class Predicate>
bool spin_until(Predicate done) {
  const auto deadline = std::chrono::steady_clock::now() + kSpin;
  for (;;) {
    for (int i = 0; i < 64; ++i) {
      if (done()) return true;
      cpu_relax();
    }
    if (std::chrono::steady_clock::now() > deadline) return false;
  }
}
}  // namespace

void set_denormals_to_zero() {
#if defined(__x86_64__)
  constexpr unsigned kFlushToZero = 0x8000, kDenormalsAreZero = 0x0040;
  const unsigned csr = _mm_getcsr();
  const unsigned wanted = csr | kFlushToZero | kDenormalsAreZero;
  if (csr != wanted) _mm_setcsr(wanted);
#elif defined(__aarch64__)
  uint64_t fpcr;
  asm volatile("mrs %0, fpcr" : "=r"(fpcr));
  asm volatile("msr fpcr, %0" ::"r"(fpcr | (uint64_t{1} << 24)));
#endif
}

namespace {
// Processors that the control group allows on average, rounded up; 0: no limit ("max 100000" or "150000
// 100000").
int group_quota() {
  std::ifstream file("/sys/fs/cgroup/cpu.max");
  double quota = 0, period = 0;
  if (!(file >> quota >> period) || quota <= 0 || period <= 0) return 0;
  return static_cast<int>(std::ceil(quota / period));
}
}  // namespace

int available_threads() {
  int threads = static_cast<int>(std::thread::hardware_concurrency());
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof(set), &set) == 0) threads = CPU_COUNT(&set);
  const int quota = group_quota();
  if (quota > 0) threads = std::min(threads, quota);
  return std::max(1, threads);
}

ThreadPool::ThreadPool(int threads)
    : shares_(static_cast<size_t>(threads > 0 ? threads : available_threads())) {
  set_denormals_to_zero();
  for (int i = 1; i < static_cast<int>(shares_.size()); ++i) workers_.emplace_back([this, i] { work(i); });
}

ThreadPool::~ThreadPool() {
  {
    std::lock_guard lock(mutex_);
    stop_ = true;
  }
  wake_.notify_all();
  for (std::thread& t : workers_) t.join();
}

namespace {
constexpr uint64_t kOpen = uint64_t{1} << 31, kGeneration = uint64_t{1} << 32, kInside = kOpen - 1;
}  // namespace

// Own parts first, then those of the next threads round the circle.
void ThreadPool::take_parts(int thread) {
  const size_t n = shares_.size();
  for (size_t i = 0; i < n; ++i) {
    Share& share = shares_[(static_cast<size_t>(thread) + i) % n];
    while (share.next.load(std::memory_order_relaxed) < share.end) {
      const int64_t part = share.next.fetch_add(1, std::memory_order_relaxed);
      if (part >= share.end) break;
      function_(closure_, part, thread);
    }
  }
}

void ThreadPool::run_erased(int64_t parts, Erased function, void* closure) {
  set_denormals_to_zero();
  function_ = function;
  closure_ = closure;
  const int64_t n = size();
  for (int64_t t = 0; t < n; ++t) {
    shares_[static_cast<size_t>(t)].next.store(parts * t / n, std::memory_order_relaxed);
    shares_[static_cast<size_t>(t)].end = parts * (t + 1) / n;
  }
  {
    std::lock_guard lock(mutex_);
    const uint64_t generation = gate_.load(std::memory_order_relaxed) / kGeneration + 1;
    gate_.store(generation * kGeneration | kOpen, std::memory_order_release);
  }
  wake_.notify_all();
  std::exception_ptr mine;
  try {
    take_parts(0);
  } catch (...) {
    mine = std::current_exception();
  }
  gate_.fetch_and(~kOpen, std::memory_order_acq_rel);
  const auto done = [this] { return (gate_.load(std::memory_order_acquire) & kInside) == 0; };
  while (!spin_until(done)) std::this_thread::yield();
  std::exception_ptr theirs = std::exchange(error_, nullptr);
  if (mine) std::rethrow_exception(mine);
  if (theirs) std::rethrow_exception(theirs);
}

// Into the open region, once per generation.
bool ThreadPool::enter(uint32_t* seen) {
  uint64_t gate = gate_.load(std::memory_order_acquire);
  while ((gate & kOpen) != 0 && gate / kGeneration != *seen) {
    if (!gate_.compare_exchange_weak(gate, gate + 1, std::memory_order_acq_rel)) continue;
    *seen = static_cast<uint32_t>(gate / kGeneration);
    return true;
  }
  return false;
}

void ThreadPool::work(int thread) {
  set_denormals_to_zero();
  uint32_t seen = 0;
  bool inside = false;
  const auto ready = [&] { return stop_.load(std::memory_order_relaxed) || (inside = enter(&seen)); };
  for (;;) {
    if (!spin_until(ready)) {
      std::unique_lock lock(mutex_);
      wake_.wait(lock, ready);
    }
    if (!inside) return;  // stopped
    try {
      take_parts(thread);
    } catch (...) {
      std::lock_guard lock(mutex_);
      if (!error_) error_ = std::current_exception();
    }
    inside = false;
    gate_.fetch_sub(1, std::memory_order_acq_rel);
  }
}

}  // namespace frugal
