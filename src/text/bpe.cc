#include "text/bpe.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <functional>
#include <limits>
#include <queue>
#include <utility>

#include "base/error.h"

namespace frugal::text {

namespace {
constexpr uint64_t kFree = ~uint64_t{0};
constexpr int32_t kNoRank = std::numeric_limits<int32_t>::max();
// Up to here a linear search for the best pair beats a heap; nearly all pieces are shorter.
constexpr size_t kShortPiece = 48;
constexpr size_t kLong = 17;  // bytes that a Key does not tell apart any more, or more

uint64_t pair_key(int32_t left, int32_t right) {
  return uint64_t{static_cast<uint32_t>(left)} << 32 | static_cast<uint32_t>(right);
}

// Multiplication by 2^64/phi spreads the low bits upwards, the shift brings them back (Knuth, 6.4).
uint64_t mix(uint64_t key) {
  key *= 0x9E3779B97F4A7C15u;
  return key ^ key >> 32;
}

template <class T>
T load(const char* p) {
  T value;
  std::memcpy(&value, p, sizeof value);
  return value;
}

size_t table_size(size_t entries) { return std::bit_ceil(2 * entries + 2); }
}  // namespace

void MergeTable::reserve(size_t merges) {
  slots_.assign(table_size(merges), Entry{kFree, 0, 0});
  mask_ = slots_.size() - 1;
}

bool MergeTable::insert(int32_t left, int32_t right, int32_t rank, int32_t result) {
  const uint64_t key = pair_key(left, right);
  uint64_t i = mix(key) & mask_;
  for (; slots_[i].key != kFree; i = (i + 1) & mask_) {
    if (slots_[i].key == key) return false;
  }
  slots_[i] = {key, rank, result};
  return true;
}

const MergeTable::Entry* MergeTable::find(int32_t left, int32_t right) const {
  const uint64_t key = pair_key(left, right);
  for (uint64_t i = mix(key) & mask_;; i = (i + 1) & mask_) {
    if (slots_[i].key == key) return &slots_[i];
    if (slots_[i].key == kFree) return nullptr;
  }
}

Bpe::Bpe(std::vector<std::string> tokens, const std::vector<bool>& mergeable,
         const std::vector<Merge>& merges, const std::array<int32_t, 256>& byte_ids, bool ignore_merges)
    : tokens_(std::move(tokens)),
      slots_(table_size(tokens_.size())),
      byte_ranks_(256 * 256, kNoRank),
      byte_ids_(byte_ids),
      ignore_merges_(ignore_merges) {
  merges_.reserve(merges.size());
  results_.reserve(merges.size());
  for (size_t rank = 0; rank < merges.size(); ++rank) {
    const Merge& merge = merges[rank];
    const bool is_new = merges_.insert(merge.left, merge.right, static_cast<int32_t>(rank), merge.result);
    FRUGAL_ASSERT(is_new, "merge {} occurs twice", rank);
    results_.push_back(merge.result);
  }
  for (size_t pair = 0; pair < byte_ranks_.size(); ++pair) {
    const MergeTable::Entry* entry = merges_.find(byte_ids_[pair >> 8], byte_ids_[pair & 0xFF]);
    if (entry != nullptr) byte_ranks_[pair] = entry->rank;
  }
  const size_t mask = slots_.size() - 1;
  for (size_t id = 0; id < tokens_.size(); ++id) {
    if (!mergeable[id]) continue;
    const Key key = key_of(tokens_[id]);
    size_t i = hash_of(key, tokens_[id]) & mask;
    while (slots_[i].id >= 0) i = (i + 1) & mask;
    slots_[i].key = key;
    slots_[i].id = static_cast<int32_t>(id);
    slots_[i].size = static_cast<uint8_t>(std::min(tokens_[id].size(), kLong));
  }
}

Bpe::Key Bpe::key_of(std::string_view bytes) {
  const size_t n = bytes.size();
  const char* p = bytes.data();
  if (n >= 8) return {load<uint64_t>(p), load<uint64_t>(p + n - 8)};
  if (n >= 4) return {load<uint32_t>(p), load<uint32_t>(p + n - 4)};
  if (n >= 2) return {load<uint16_t>(p), load<uint16_t>(p + n - 2)};
  return {static_cast<uint8_t>(*p), 0};
}

size_t Bpe::hash_of(Key key, std::string_view bytes) {
  uint64_t hash = mix(key.head + bytes.size()) ^ key.tail;
  for (size_t i = 8; i + 8 < bytes.size(); i += 8) hash = mix(hash) ^ load<uint64_t>(bytes.data() + i);
  return mix(hash);
}

const Bpe::Slot* Bpe::find_token(std::string_view bytes) const {
  const size_t mask = slots_.size() - 1;
  const Key key = key_of(bytes);
  const size_t size = std::min(bytes.size(), kLong);
  for (size_t i = hash_of(key, bytes) & mask;; i = (i + 1) & mask) {
    const Slot& slot = slots_[i];
    if (slot.id < 0) return nullptr;
    if (slot.key == key && slot.size == size &&
        (size < kLong || tokens_[static_cast<size_t>(slot.id)] == bytes))
      return &slot;
  }
}

void Bpe::encode(std::string_view piece, std::vector<int32_t>* ids) const {
  if (piece.empty()) return;
  if (piece.size() == 1) {
    ids->push_back(byte_ids_[static_cast<uint8_t>(piece[0])]);
    return;
  }
  const Slot* whole = find_token(piece);
  if (whole == nullptr) return merge(piece, ids);
  const uint8_t state = whole->state.load(std::memory_order_relaxed);
  if (state == kWhole || ignore_merges_) {
    ids->push_back(whole->id);
    return;
  }
  const size_t before = ids->size();
  merge(piece, ids);
  const bool same = ids->size() == before + 1 && ids->back() == whole->id;
  if (state == kUnknown) whole->state.store(same ? kWhole : kSplit, std::memory_order_relaxed);
}

void Bpe::merge(std::string_view piece, std::vector<int32_t>* ids) const {
  piece.size() <= kShortPiece ? merge_short(piece, ids) : merge_long(piece, ids);
}

void Bpe::merge_short(std::string_view piece, std::vector<int32_t>* ids) const {
  std::array<int32_t, kShortPiece> symbols;
  std::array<int32_t, kShortPiece> ranks;  // of the pair (i, i + 1)
  size_t n = piece.size();
  const auto byte = [&](size_t i) { return static_cast<uint8_t>(piece[i]); };
  for (size_t i = 0; i < n; ++i) symbols[i] = byte_ids_[byte(i)];
  for (size_t i = 0; i + 1 < n; ++i) ranks[i] = byte_ranks_[size_t{byte(i)} << 8 | byte(i + 1)];
  const auto look_up = [&](size_t i) {
    const MergeTable::Entry* entry = merges_.find(symbols[i], symbols[i + 1]);
    ranks[i] = entry != nullptr ? entry->rank : kNoRank;
  };
  while (n > 1) {
    size_t best = 0;
    int32_t lowest = kNoRank;
    for (size_t i = 0; i + 1 < n; ++i) {
      best = ranks[i] < lowest ? i : best;
      lowest = std::min(ranks[i], lowest);
    }
    if (lowest == kNoRank) break;
    symbols[best] = results_[static_cast<size_t>(lowest)];
    for (auto* row : {&symbols, &ranks}) {
      std::copy(row->begin() + best + 2, row->begin() + n, row->begin() + best + 1);
    }
    --n;
    if (best + 1 < n) look_up(best);
    if (best > 0) look_up(best - 1);
  }
  ids->insert(ids->end(), symbols.begin(), symbols.begin() + n);
}

// The same with a doubly linked list and a heap of candidate pairs: n log n for pieces of any length.
void Bpe::merge_long(std::string_view piece, std::vector<int32_t>* ids) const {
  if (piece.size() >= static_cast<size_t>(kNoRank)) {
    fail("text to encode", "one piece without a split has 2 GiB or more", "encode it in parts");
  }
  struct Symbol {
    int32_t id;  // -1: merged into the symbol before
    int32_t previous, next;
  };
  struct Candidate {
    int32_t rank, position, left, right, result;
    bool operator>(const Candidate& other) const {
      return std::pair(rank, position) > std::pair(other.rank, other.position);
    }
  };
  const auto n = static_cast<int32_t>(piece.size());
  std::vector<Symbol> symbols(piece.size());
  std::priority_queue<Candidate, std::vector<Candidate>, std::greater<>> queue;
  const auto offer = [&](int32_t position) {
    if (position < 0) return;
    const Symbol& left = symbols[static_cast<size_t>(position)];
    if (left.next < 0) return;
    const int32_t right = symbols[static_cast<size_t>(left.next)].id;
    const MergeTable::Entry* entry = merges_.find(left.id, right);
    if (entry != nullptr) queue.push({entry->rank, position, left.id, right, entry->result});
  };
  for (int32_t i = 0; i < n; ++i) {
    symbols[static_cast<size_t>(i)] = {byte_ids_[static_cast<uint8_t>(piece[static_cast<size_t>(i)])], i - 1,
                                       i + 1 < n ? i + 1 : -1};
  }
  for (int32_t i = 0; i < n; ++i) offer(i);
  while (!queue.empty()) {
    const Candidate best = queue.top();
    queue.pop();
    Symbol& left = symbols[static_cast<size_t>(best.position)];
    // A candidate is stale once one of its two symbols has merged with another.
    if (left.id != best.left || left.next < 0) continue;
    Symbol& right = symbols[static_cast<size_t>(left.next)];
    if (right.id != best.right) continue;
    left.id = best.result;
    left.next = right.next;
    right.id = -1;
    if (left.next >= 0) symbols[static_cast<size_t>(left.next)].previous = best.position;
    offer(best.position);
    offer(left.previous);
  }
  for (int32_t i = 0; i >= 0; i = symbols[static_cast<size_t>(i)].next) {
    ids->push_back(symbols[static_cast<size_t>(i)].id);
  }
}

}  // namespace frugal::text
