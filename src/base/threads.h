// ThreadPool: one persistent pool; run() executes a function once on every thread and waits. The partition of
// work is static, so that a result never depends on timing; the numerics contract makes it independent of the
// count too.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <exception>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

namespace frugal {

// Denormals are zero and results flush to zero in this thread from now on (docs/numerics.md, section 1).
void set_denormals_to_zero();

class ThreadPool {
 public:
  // threads >= 1, the caller of run() included. 0: as many as the process may use (affinity respected).
  explicit ThreadPool(int threads = 0);
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int size() const { return static_cast<int>(workers_.size()) + 1; }

  // Calls f(thread) for thread = 0 .. size()-1, one call per thread, and returns when all are done. The first
  // exception is rethrown here. Not reentrant.
  template <class F>
  void run(F&& f) {
    run_erased([](void* c, int thread) { (*static_cast<std::remove_reference_t<F>*>(c))(thread); }, &f);
  }

  // f(begin, end, thread) over a static partition of [0, n) into contiguous ranges; empty ranges are not
  // called.
  template <class F>
  void parallel_for(int64_t n, F&& f) {
    if (n <= 0) return;
    const int64_t count = size();
    if (count == 1 || n == 1) {
      run_here([&] { f(int64_t{0}, n, 0); });
      return;
    }
    run([&](int thread) {
      const int64_t begin = n * thread / count;
      const int64_t end = n * (thread + 1) / count;
      if (begin < end) f(begin, end, thread);
    });
  }

 private:
  using Erased = void (*)(void*, int);
  void run_erased(Erased function, void* closure);
  void work(int thread);
  template <class F>
  void run_here(F&& f) {
    set_denormals_to_zero();
    f();
  }

  std::vector<std::thread> workers_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::atomic<uint64_t> generation_{0};
  std::atomic<int> pending_{0};
  std::atomic<bool> stop_{false};
  Erased function_ = nullptr;
  void* closure_ = nullptr;
  std::exception_ptr error_;
};

// Threads that this process may use: cpu affinity, never less than 1.
int available_threads();

}  // namespace frugal
