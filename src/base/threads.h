// ThreadPool: one persistent pool. Work comes as a fixed list of parts. Every thread owns an equal share of
// them, which it takes in order; one that has finished takes parts of those that have not, so that a thread
// whose core is busy with something else holds the others up by one part at most. The numerics contract makes
// results independent of who computed what.
#pragma once

#include <algorithm>
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

  // Calls f(part, thread) once for every part = 0 .. parts-1 and returns when all are done; thread is the
  // caller of f, 0 .. size()-1. The first exception is rethrown here when the parts that were taken have
  // ended. Not reentrant.
  template <class F>
  void run(int64_t parts, F&& f) {
    if (parts <= 1 || workers_.empty()) {
      set_denormals_to_zero();
      for (int64_t part = 0; part < parts; ++part) f(part, 0);
      return;
    }
    using Function = std::remove_reference_t<F>;
    run_erased(
        parts, [](void* c, int64_t part, int thread) { (*static_cast<Function*>(c))(part, thread); }, &f);
  }

  // f(begin, end, thread) over contiguous ranges that cover [0, n); empty ranges are not called.
  template <class F>
  void parallel_for(int64_t n, F&& f) {
    if (n <= 0) return;
    const int64_t count = std::min(n, int64_t{size()} * (size() == 1 ? 1 : kPartsPerThread));
    run(count, [&](int64_t part, int thread) { f(n * part / count, n * (part + 1) / count, thread); });
  }

  // Parts per thread that leave something to take over, where a part is worth the trouble.
  static constexpr int64_t kPartsPerThread = 4;

 private:
  using Erased = void (*)(void*, int64_t part, int thread);
  // A thread's share of the parts; on a cache line of its own.
  struct alignas(64) Share {
    std::atomic<int64_t> next{0};
    int64_t end = 0;
  };

  void run_erased(int64_t parts, Erased function, void* closure);
  void work(int thread);
  bool enter(uint32_t* seen);
  void take_parts(int thread);

  std::vector<std::thread> workers_;
  std::vector<Share> shares_;
  std::mutex mutex_;
  std::condition_variable wake_;
  // Generation of the region (high half), open bit, workers inside (low bits). A worker that wakes up late
  // finds the region closed and is not waited for.
  std::atomic<uint64_t> gate_{0};
  std::atomic<bool> stop_{false};
  Erased function_ = nullptr;
  void* closure_ = nullptr;
  std::exception_ptr error_;
};

// Threads that this process may use: cpu affinity and the quota of its control group, never less than 1.
int available_threads();

}  // namespace frugal
