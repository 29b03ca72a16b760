#include "train/checkpoint_writer.h"

#include <cstring>
#include <utility>

namespace frugal::train {

CheckpointWriter::CheckpointWriter(CheckpointSource source, int64_t keep, Dtype moments, bool copies,
                                   Watchdog* watchdog)
    : source_(std::move(source)), keep_(keep), watchdog_(watchdog) {
  if (!copies) return;
  const int64_t bytes = copy_bytes(source_.model->table.elements, moments);
  copy_ = aligned_array<std::byte>(bytes);
  std::memset(copy_.get(), 0, static_cast<size_t>(bytes));  // its page faults are not the first save's
}

CheckpointWriter::~CheckpointWriter() {
  if (thread_.joinable()) thread_.join();
}

void CheckpointWriter::write(const TrainerState& state, const StateValues& values, bool prune,
                             const std::string& card) {
  write_checkpoint(source_, state, values, card);
  const std::string path = checkpoint_path(source_.run, state.step);
  found(path);
  if (prune) remove_old_checkpoints(source_.run, keep_, &verified_);
}

void CheckpointWriter::save(const TrainerState& state, const StateValues& values, bool prune,
                            const std::string& card) {
  wait();
  watchdog_->phase(Track::kMain, "writing a checkpoint");
  write(state, values, prune, card);
  watchdog_->phase(Track::kMain, nullptr);
}

void CheckpointWriter::save_copy(kernels::Ctx& ctx, const TrainerState& state, const StateValues& values) {
  if (copy_ == nullptr) return save(state, values, true, "");
  wait();
  const int64_t n = source_.model->table.elements;
  std::byte* end = copy_.get();
  const auto copy = [&](const void* values, int64_t bytes) {
    std::byte* to = std::exchange(end, end + bytes);
    ctx.pool.parallel_for(bytes, [&](int64_t first, int64_t last, int) {
      std::memcpy(to + first, static_cast<const std::byte*>(values) + first,
                  static_cast<size_t>(last - first));
    });
    return to;
  };
  const int64_t moment = n * dtype_size(values.moments);
  const StateValues copied{reinterpret_cast<const float*>(copy(values.masters, 4 * n)),
                           copy(values.exp_avg, moment), copy(values.exp_avg_sq, moment), values.moments};
  thread_ = std::thread([this, state, copied] {
    watchdog_->phase(Track::kWriter, "writing a checkpoint beside training");
    try {
      write(state, copied, true, "");
    } catch (...) {
      std::lock_guard lock(mutex_);
      error_ = std::current_exception();
    }
    watchdog_->phase(Track::kWriter, nullptr);
  });
}

void CheckpointWriter::wait() {
  watchdog_->phase(Track::kMain, "waiting for the last checkpoint to be written");
  if (thread_.joinable()) thread_.join();
  watchdog_->phase(Track::kMain, nullptr);
  rethrow();
}

void CheckpointWriter::check() { rethrow(); }

void CheckpointWriter::rethrow() {
  std::exception_ptr error;
  {
    std::lock_guard lock(mutex_);
    error = std::exchange(error_, nullptr);
  }
  if (error) std::rethrow_exception(error);
}

std::string CheckpointWriter::newest() {
  std::lock_guard lock(mutex_);
  return newest_;
}

void CheckpointWriter::found(const std::string& checkpoint) {
  std::lock_guard lock(mutex_);
  newest_ = checkpoint;
  verified_.insert(checkpoint.substr(checkpoint.rfind('/') + 1));
}

}  // namespace frugal::train
