// How often each distinct piece of a text occurs: counted by several threads while the text streams by,
// within a bound on memory.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "base/threads.h"

namespace frugal::text {

// Counts by byte string. Open addressing; refers to the bytes and does not own them.
class PieceTable {
 public:
  struct Entry {
    std::string_view piece;  // data() is null: free
    uint64_t hash;
    int64_t count;
  };

  static uint64_t hash_of(std::string_view piece);
  // The entry of a piece that is not empty. A new one has count 0 and refers to `piece`.
  Entry& at(std::string_view piece, uint64_t hash);
  void clear();
  size_t size() const { return size_; }

  template <class F>
  void for_each(F&& f) const {
    for (const Entry& entry : slots_) {
      if (entry.piece.data() != nullptr) f(entry);
    }
  }

 private:
  void grow();

  std::vector<Entry> slots_;
  size_t size_ = 0;
};

class PieceCounts {
 public:
  // A piece of n bytes costs kPieceCost + n * kByteCost: what counting and then learning merges from it take.
  static constexpr int64_t kPieceCost = 160;
  static constexpr int64_t kByteCost = 20;

  // max_cost: once distinct pieces cost more at the end of a round, the rarest are forgotten until half is
  // left. Which ones depends on the rounds so far, not on threads.
  PieceCounts(ThreadPool& pool, int64_t max_cost);

  // One round. Calls f(part, add) for every part from several threads at once; add(std::string_view) counts a
  // piece, whose bytes must stay where they are until the round is over.
  template <class F>
  void round(int64_t parts, F&& f) {
    pool_.run(parts, [&](int64_t part, int thread) {
      Shards& shards = local_[static_cast<size_t>(thread)];
      f(part, [&](std::string_view piece) {
        const uint64_t hash = PieceTable::hash_of(piece);
        ++shards[shard_of(hash)].at(piece, hash).count;
      });
    });
    collect();
    forget_rarest();
  }

  template <class F>
  void for_each(F&& f) const {
    for (const Shard& shard : shards_) shard.table.for_each(f);
  }

  int64_t distinct() const;
  int64_t forgotten() const { return forgotten_; }  // pieces, not distinct ones

 private:
  // Threads share out the shards when they bring their counts together.
  static constexpr size_t kShards = 64;
  using Shards = std::array<PieceTable, kShards>;

  // Owns the bytes of its pieces.
  struct Shard {
    std::string_view keep(std::string_view piece);

    PieceTable table;
    std::vector<std::unique_ptr<char[]>> blocks;
    char* block_end = nullptr;  // of the last block
    size_t room = 0;            // left in it
    int64_t cost = 0;
  };

  static size_t shard_of(uint64_t hash) { return hash >> 58; }
  static int64_t cost_of(std::string_view piece) {
    return kPieceCost + kByteCost * static_cast<int64_t>(piece.size());
  }
  static void add(const PieceTable::Entry& entry, Shard* shard);
  void collect();
  void forget_rarest();

  ThreadPool& pool_;
  int64_t max_cost_;
  int64_t forgotten_ = 0;
  std::vector<Shards> local_;  // by thread, empty between rounds
  std::array<Shard, kShards> shards_;
};

}  // namespace frugal::text
