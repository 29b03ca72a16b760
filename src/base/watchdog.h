// Tells what a program is waiting for when it seems to hang: a disk, a file system over a network, a pipe.
#pragma once

#include <array>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <string>
#include <thread>

namespace frugal {

// One thing after another happens on a track; there is one for each thread that does slow things.
enum class Track { kMain, kWriter };

class Watchdog {
 public:
  // `say` receives a sentence once a phase has taken `seconds`, again whenever its time has doubled, and when
  // it ends after all. Time in which the whole process stood still is told and not counted. 0: never.
  Watchdog(double seconds, std::function<void(const std::string&)> say);
  ~Watchdog();
  Watchdog(const Watchdog&) = delete;
  Watchdog& operator=(const Watchdog&) = delete;

  // What goes on from now on; a literal. Null: nothing that could hang.
  void phase(Track track, const char* what);

 private:
  struct Phase {
    const char* what = nullptr;
    double since = 0, next_warning = 0;  // seconds of this process
    bool warned = false;
  };
  void watch();

  double seconds_;
  std::function<void(const std::string&)> say_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::array<Phase, 2> phases_;
  bool stop_ = false;
  std::thread thread_;
};

}  // namespace frugal
