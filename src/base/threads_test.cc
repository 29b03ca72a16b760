#include "base/threads.h"

#include <gtest/gtest.h>

#include <chrono>
#include <functional>
#include <stdexcept>
#include <string>
#include <thread>

namespace frugal {
namespace {

// Sizes: fewer and more threads than parts and than this machine's cores.
constexpr int kSizes[] = {1, 2, 3, 7, 64};

TEST(ThreadPool, CallsEveryPartOnce) {
  for (int size : kSizes) {
    ThreadPool pool(size);
    EXPECT_EQ(pool.size(), size);
    for (int64_t parts : {0, 1, 2, 5, 8, 100}) {
      std::vector<int> calls(static_cast<size_t>(parts), 0);
      for (int round = 0; round < 50; ++round)
        pool.run(parts, [&](int64_t part, int thread) {
          EXPECT_TRUE(thread >= 0 && thread < size);
          ++calls[static_cast<size_t>(part)];
        });
      EXPECT_EQ(calls, std::vector<int>(static_cast<size_t>(parts), 50)) << parts << " over " << size;
    }
  }
}

// As many parts as threads, none of which ends before all have begun: every thread takes one.
void on_every_thread(ThreadPool& pool, const std::function<void(int)>& f) {
  std::atomic<int> begun{0};
  pool.run(pool.size(), [&](int64_t, int thread) {
    ++begun;
    while (begun < pool.size()) std::this_thread::yield();
    f(thread);
  });
}

TEST(ThreadPool, EveryThreadWorks) {
  for (int size : kSizes) {
    ThreadPool pool(size);
    std::vector<int> calls(static_cast<size_t>(size), 0);
    for (int round = 0; round < 20; ++round)
      on_every_thread(pool, [&](int thread) { ++calls[static_cast<size_t>(thread)]; });
    EXPECT_EQ(calls, std::vector<int>(static_cast<size_t>(size), 20));
  }
}

// A thread that is held up in its first part loses the others to those that are free.
TEST(ThreadPool, PartsOfABusyThreadAreTakenOver) {
  ThreadPool pool(2);
  std::atomic<int> done{0};
  std::atomic<int64_t> held{-1};
  pool.run(8, [&](int64_t part, int) {
    int64_t none = -1;
    if (held.compare_exchange_strong(none, part))
      while (done < 7) std::this_thread::yield();
    else
      ++done;
  });
  EXPECT_EQ(done, 7);
}

TEST(ThreadPool, AsManyThreadsAsTheProcessMayUse) {
  EXPECT_GE(available_threads(), 1);
  EXPECT_EQ(ThreadPool(0).size(), available_threads());
}

TEST(ThreadPool, ParallelForCoversTheRangeOnce) {
  for (int size : {1, 2, 3, 7}) {
    ThreadPool pool(size);
    for (int64_t n : {0, 1, 2, 3, 6, 7, 8, 100, 1001}) {
      std::vector<int> visits(static_cast<size_t>(n), 0);
      pool.parallel_for(n, [&](int64_t begin, int64_t end, int thread) {
        EXPECT_LT(begin, end);
        EXPECT_GE(thread, 0);
        EXPECT_LT(thread, size);
        for (int64_t i = begin; i < end; ++i) ++visits[static_cast<size_t>(i)];
      });
      EXPECT_EQ(visits, std::vector<int>(static_cast<size_t>(n), 1)) << n << " over " << size;
    }
  }
}

// Ranges depend on n and size alone, whoever computes them.
TEST(ThreadPool, RangesAreFixed) {
  ThreadPool pool(3);
  for (int round = 0; round < 20; ++round) {
    std::vector<int64_t> starts(10, -1);
    pool.parallel_for(10, [&](int64_t begin, int64_t end, int) {
      for (int64_t i = begin; i < end; ++i) starts[static_cast<size_t>(i)] = begin;
    });
    EXPECT_EQ(starts, (std::vector<int64_t>{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}));
    std::vector<int64_t> wide(24, -1);
    pool.parallel_for(24, [&](int64_t begin, int64_t end, int) {
      for (int64_t i = begin; i < end; ++i) wide[static_cast<size_t>(i)] = begin;
    });
    for (int64_t i = 0; i < 24; ++i) EXPECT_EQ(wide[static_cast<size_t>(i)], i / 2 * 2);
  }
}

TEST(ThreadPool, RethrowsFromAnyPartAndStaysUsable) {
  for (int size : {1, 2, 4}) {
    ThreadPool pool(size);
    for (int64_t thrower = 0; thrower < size; ++thrower) {
      std::string caught;
      try {
        pool.run(size, [&](int64_t part, int) {
          if (part == thrower) throw std::runtime_error("part " + std::to_string(part));
        });
      } catch (const std::runtime_error& e) {
        caught = e.what();
      }
      EXPECT_EQ(caught, "part " + std::to_string(thrower));
      std::atomic<int> calls{0};
      pool.run(size, [&](int64_t, int) { ++calls; });
      EXPECT_EQ(calls, size);
    }
  }
}

TEST(ThreadPool, AllPartsThrowingGivesOneException) {
  ThreadPool pool(4);
  EXPECT_THROW(pool.run(16, [](int64_t, int) { throw std::runtime_error("all"); }), std::runtime_error);
  EXPECT_NO_THROW(pool.run(16, [](int64_t, int) {}));
  EXPECT_THROW(pool.parallel_for(1, [](int64_t, int64_t, int) { throw std::runtime_error("one"); }),
               std::runtime_error);
}

// After more than the spinning time workers sleep; they must wake up again.
TEST(ThreadPool, WakesSleepingWorkers) {
  ThreadPool pool(3);
  for (int round = 0; round < 5; ++round) {
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
    std::atomic<int> calls{0};
    on_every_thread(pool, [&](int) { ++calls; });
    EXPECT_EQ(calls, 3);
  }
}

// Denormals are zero on every thread that computes, the caller's included.
TEST(ThreadPool, FlushesDenormals) {
  ThreadPool pool(3);
  volatile float tiny = 1.0e-38f;
  std::vector<float> results(3, 1.0f);
  on_every_thread(pool, [&](int thread) { results[static_cast<size_t>(thread)] = tiny * 0.25f; });
  EXPECT_EQ(results, std::vector<float>(3, 0.0f));
}

}  // namespace
}  // namespace frugal
