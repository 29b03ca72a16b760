#include "base/threads.h"

#include <gtest/gtest.h>

#include <chrono>
#include <stdexcept>
#include <string>
#include <thread>

namespace frugal {
namespace {

TEST(ThreadPool, CallsEveryThreadOnce) {
  for (int size : {1, 2, 3, 7}) {
    ThreadPool pool(size);
    EXPECT_EQ(pool.size(), size);
    std::vector<int> calls(static_cast<size_t>(size), 0);
    for (int round = 0; round < 200; ++round)
      pool.run([&](int thread) { ++calls[static_cast<size_t>(thread)]; });
    EXPECT_EQ(calls, std::vector<int>(static_cast<size_t>(size), 200));
  }
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

// A static partition: who does what depends on n and size alone.
TEST(ThreadPool, PartitionIsStatic) {
  ThreadPool pool(3);
  for (int round = 0; round < 20; ++round) {
    std::vector<int> owner(10, -1);
    pool.parallel_for(10, [&](int64_t begin, int64_t end, int thread) {
      for (int64_t i = begin; i < end; ++i) owner[static_cast<size_t>(i)] = thread;
    });
    EXPECT_EQ(owner, (std::vector<int>{0, 0, 0, 1, 1, 1, 2, 2, 2, 2}));
  }
}

TEST(ThreadPool, RethrowsFromAnyThreadAndStaysUsable) {
  for (int size : {1, 2, 4}) {
    ThreadPool pool(size);
    for (int thrower = 0; thrower < size; ++thrower) {
      std::string caught;
      try {
        pool.run([&](int thread) {
          if (thread == thrower) throw std::runtime_error("thread " + std::to_string(thread));
        });
      } catch (const std::runtime_error& e) {
        caught = e.what();
      }
      EXPECT_EQ(caught, "thread " + std::to_string(thrower));
      std::atomic<int> calls{0};
      pool.run([&](int) { ++calls; });
      EXPECT_EQ(calls, size);
    }
  }
}

TEST(ThreadPool, AllThreadsThrowingGivesOneException) {
  ThreadPool pool(4);
  EXPECT_THROW(pool.run([](int) { throw std::runtime_error("all"); }), std::runtime_error);
  EXPECT_NO_THROW(pool.run([](int) {}));
  EXPECT_THROW(pool.parallel_for(1, [](int64_t, int64_t, int) { throw std::runtime_error("one"); }),
               std::runtime_error);
}

// After more than the spinning time workers sleep; they must wake up again.
TEST(ThreadPool, WakesSleepingWorkers) {
  ThreadPool pool(3);
  for (int round = 0; round < 5; ++round) {
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
    std::atomic<int> calls{0};
    pool.run([&](int) { ++calls; });
    EXPECT_EQ(calls, 3);
  }
}

// Denormals are zero on every thread that computes, the caller's included.
TEST(ThreadPool, FlushesDenormals) {
  ThreadPool pool(3);
  volatile float tiny = 1.0e-38f;
  std::vector<float> results(3, 1.0f);
  pool.run([&](int thread) { results[static_cast<size_t>(thread)] = tiny * 0.25f; });
  EXPECT_EQ(results, std::vector<float>(3, 0.0f));
}

}  // namespace
}  // namespace frugal
