// Checkpoints while training goes on: the state is copied into buffers of its own, which a thread writes.
#pragma once

#include <exception>
#include <set>
#include <string>
#include <thread>

#include "base/arena.h"
#include "base/watchdog.h"
#include "train/checkpoint.h"

namespace frugal::train {

class CheckpointWriter {
 public:
  // keep: newest checkpoints that stay. copies: buffers for save_copy() are allocated.
  CheckpointWriter(CheckpointSource source, int64_t keep, Dtype moments, bool copies, Watchdog* watchdog);
  ~CheckpointWriter();  // waits for the thread; its error is lost, so call wait() before
  CheckpointWriter(const CheckpointWriter&) = delete;
  CheckpointWriter& operator=(const CheckpointWriter&) = delete;

  // Of the buffers.
  static int64_t copy_bytes(int64_t elements, Dtype moments) {
    return elements * (4 + 2 * dtype_size(moments));
  }

  // Writes at once, from the values themselves. prune: older ones are removed. card: README.md, or empty.
  void save(const TrainerState& state, const StateValues& values, bool prune, const std::string& card);
  // Waits for the last one, copies the values and returns; without buffers the same as save().
  void save_copy(kernels::Ctx& ctx, const TrainerState& state, const StateValues& values);

  // Throws what went wrong in the thread.
  void wait();
  void check();  // does not wait

  // The newest checkpoint that was written or found undamaged; empty: none.
  std::string newest();
  void found(const std::string& checkpoint);  // of an earlier process

 private:
  void write(const TrainerState& state, const StateValues& values, bool prune, const std::string& card);
  void rethrow();

  CheckpointSource source_;
  int64_t keep_;
  Watchdog* watchdog_;
  AlignedPtr<std::byte> copy_;
  std::thread thread_;
  std::mutex mutex_;  // of what follows
  std::exception_ptr error_;
  std::string newest_;
  std::set<std::string> verified_;  // of the thread, or of nobody
};

}  // namespace frugal::train
