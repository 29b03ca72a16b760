#include "text/piece_counts.h"

#include <xxhash.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <utility>

namespace frugal::text {

namespace {
constexpr size_t kBlockBytes = 1 << 18;
constexpr size_t kFirstSlots = 64;
}  // namespace

uint64_t PieceTable::hash_of(std::string_view piece) { return XXH3_64bits(piece.data(), piece.size()); }

PieceTable::Entry& PieceTable::at(std::string_view piece, uint64_t hash) {
  if (4 * (size_ + 1) > 3 * slots_.size()) grow();
  const size_t mask = slots_.size() - 1;
  size_t i = hash & mask;
  for (; slots_[i].piece.data() != nullptr; i = (i + 1) & mask) {
    if (slots_[i].hash == hash && slots_[i].piece == piece) return slots_[i];
  }
  slots_[i] = {piece, hash, 0};
  ++size_;
  return slots_[i];
}

void PieceTable::grow() {
  std::vector<Entry> old = std::move(slots_);
  slots_.assign(std::max(kFirstSlots, 2 * old.size()), Entry{{}, 0, 0});
  const size_t mask = slots_.size() - 1;
  for (const Entry& entry : old) {
    if (entry.piece.data() == nullptr) continue;
    size_t i = entry.hash & mask;
    while (slots_[i].piece.data() != nullptr) i = (i + 1) & mask;
    slots_[i] = entry;
  }
}

void PieceTable::clear() {
  std::ranges::fill(slots_, Entry{{}, 0, 0});
  size_ = 0;
}

std::string_view PieceCounts::Shard::keep(std::string_view piece) {
  if (piece.size() > room) {
    room = std::max(kBlockBytes, piece.size());
    blocks.push_back(std::make_unique_for_overwrite<char[]>(room));
    block_end = blocks.back().get() + room;
  }
  char* to = block_end - room;
  std::memcpy(to, piece.data(), piece.size());
  room -= piece.size();
  return {to, piece.size()};
}

PieceCounts::PieceCounts(ThreadPool& pool, int64_t max_cost)
    : pool_(pool), max_cost_(max_cost), local_(static_cast<size_t>(pool.size())) {}

void PieceCounts::add(const PieceTable::Entry& entry, Shard* shard) {
  PieceTable::Entry& sum = shard->table.at(entry.piece, entry.hash);
  if (sum.count == 0) {
    sum.piece = shard->keep(entry.piece);
    shard->cost += cost_of(entry.piece);
  }
  sum.count += entry.count;
}

void PieceCounts::collect() {
  pool_.run(kShards, [&](int64_t s, int) {
    const auto shard = static_cast<size_t>(s);
    for (Shards& local : local_) {
      local[shard].for_each([&](const PieceTable::Entry& entry) { add(entry, &shards_[shard]); });
      local[shard].clear();
    }
  });
}

void PieceCounts::forget_rarest() {
  int64_t cost = 0;
  for (const Shard& shard : shards_) cost += shard.cost;
  if (cost <= max_cost_) return;
  std::map<int64_t, int64_t> cost_by_count;
  for_each([&](const PieceTable::Entry& e) { cost_by_count[e.count] += cost_of(e.piece); });
  int64_t limit = 0;  // pieces seen so often or less are forgotten
  for (const auto& [count, of_count] : cost_by_count) {
    if (cost <= max_cost_ / 2) break;
    limit = count;
    cost -= of_count;
  }
  for (Shard& shard : shards_) {
    Shard kept;
    shard.table.for_each([&](const PieceTable::Entry& entry) {
      if (entry.count > limit)
        add(entry, &kept);
      else
        forgotten_ += entry.count;
    });
    shard = std::move(kept);
  }
}

int64_t PieceCounts::distinct() const {
  int64_t n = 0;
  for (const Shard& shard : shards_) n += static_cast<int64_t>(shard.table.size());
  return n;
}

}  // namespace frugal::text
