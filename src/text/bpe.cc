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
constexpr size_t kLong = 17;  // bytes that a PieceKey does not tell apart any more, or more

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

PieceKey key_of(std::string_view bytes) {
  const size_t n = bytes.size();
  const char* p = bytes.data();
  if (n >= 8) return {load<uint64_t>(p), load<uint64_t>(p + n - 8)};
  if (n >= 4) return {load<uint32_t>(p), load<uint32_t>(p + n - 4)};
  if (n >= 2) return {load<uint16_t>(p), load<uint16_t>(p + n - 2)};
  return {static_cast<uint8_t>(*p), 0};
}

uint64_t hash_of(PieceKey key, std::string_view bytes) {
  uint64_t hash = mix(key.head + bytes.size()) ^ key.tail;
  for (size_t i = 8; i + 8 < bytes.size(); i += 8) hash = mix(hash) ^ load<uint64_t>(bytes.data() + i);
  return mix(hash);
}

uint64_t next_number() {
  static std::atomic<uint64_t> last = 0;
  return ++last;
}
}  // namespace

void PieceCache::serve(uint64_t bpe) {
  if (serves_ == bpe) return;
  pieces_.assign(kPieces, Piece{});
  serves_ = bpe;
}

void MergeTable::reserve(size_t merges) {
  slots_.assign(table_size(merges), Entry{kFree, 0, 0});
  mask_ = slots_.size() - 1;
  filter_.assign(std::max<size_t>(1, std::bit_ceil(16 * merges) / 64), 0);
}

bool MergeTable::insert(int32_t left, int32_t right, int32_t rank, int32_t result) {
  const uint64_t key = pair_key(left, right);
  const uint64_t hash = mix(key);
  filter_[hash >> 40 & (filter_.size() - 1)] |= uint64_t{1} << (hash >> 34 & 63);
  uint64_t i = hash & mask_;
  for (; slots_[i].key != kFree; i = (i + 1) & mask_) {
    if (slots_[i].key == key) return false;
  }
  slots_[i] = {key, rank, result};
  return true;
}

const MergeTable::Entry* MergeTable::find(int32_t left, int32_t right) const {
  const uint64_t key = pair_key(left, right), hash = mix(key);
  if ((filter_[hash >> 40 & (filter_.size() - 1)] >> (hash >> 34 & 63) & 1) == 0) return nullptr;
  for (uint64_t i = hash & mask_;; i = (i + 1) & mask_) {
    if (slots_[i].key == key) return &slots_[i];
    if (slots_[i].key == kFree) return nullptr;
  }
}

Bpe::Bpe(std::vector<std::string> tokens, const std::vector<bool>& mergeable,
         const std::vector<Merge>& merges, const std::array<int32_t, 256>& byte_ids, bool ignore_merges,
         bool rank_by_result)
    : number_(next_number()),
      tokens_(std::move(tokens)),
      slots_(table_size(tokens_.size())),
      byte_ranks_(256 * 256, kNoRank),
      byte_ids_(byte_ids),
      ignore_merges_(ignore_merges) {
  merges_.reserve(merges.size());
  results_.resize(rank_by_result ? tokens_.size() : merges.size());
  for (size_t i = 0; i < merges.size(); ++i) {
    const Merge& merge = merges[i];
    const int32_t rank = rank_by_result ? merge.result : static_cast<int32_t>(i);
    const bool is_new = merges_.insert(merge.left, merge.right, rank, merge.result);
    FRUGAL_ASSERT(is_new, "merge {} occurs twice", i);
    results_[static_cast<size_t>(rank)] = merge.result;
  }
  for (size_t pair = 0; pair < byte_ranks_.size(); ++pair) {
    const MergeTable::Entry* entry = merges_.find(byte_ids_[pair >> 8], byte_ids_[pair & 0xFF]);
    if (entry != nullptr) byte_ranks_[pair] = entry->rank;
  }
  const size_t mask = slots_.size() - 1;
  for (size_t id = 0; id < tokens_.size(); ++id) {
    if (!mergeable[id]) continue;
    const PieceKey key = key_of(tokens_[id]);
    size_t i = hash_of(key, tokens_[id]) & mask;
    while (slots_[i].id >= 0) i = (i + 1) & mask;
    slots_[i].key = key;
    slots_[i].id = static_cast<int32_t>(id);
    slots_[i].size = static_cast<uint8_t>(std::min(tokens_[id].size(), kLong));
  }
}

const Bpe::Slot* Bpe::find_token(std::string_view bytes, PieceKey key, uint64_t hash) const {
  const size_t mask = slots_.size() - 1;
  const size_t size = std::min(bytes.size(), kLong);
  for (size_t i = hash & mask;; i = (i + 1) & mask) {
    const Slot& slot = slots_[i];
    if (slot.id < 0) return nullptr;
    if (slot.key == key && slot.size == size &&
        (size < kLong || tokens_[static_cast<size_t>(slot.id)] == bytes))
      return &slot;
  }
}

void Bpe::encode(std::string_view piece, PieceCache& cache, std::vector<int32_t>* ids) const {
  if (piece.size() <= 1) {
    if (!piece.empty()) ids->push_back(byte_ids_[static_cast<uint8_t>(piece[0])]);
    return;
  }
  const PieceKey key = key_of(piece);
  const uint64_t hash = hash_of(key, piece);
  if (piece.size() > PieceCache::kMaxBytes) return encode_anew(piece, key, hash, ids);
  PieceCache::Piece& entry = cache.piece(hash);
  if (entry.key == key && entry.size == piece.size()) {
    for (size_t i = 0; i < entry.count; ++i) ids->push_back(entry.ids[i]);
    return;
  }
  const size_t before = ids->size();
  encode_anew(piece, key, hash, ids);
  const size_t count = ids->size() - before;
  if (count > PieceCache::kMaxIds) return;
  entry.key = key;
  entry.size = static_cast<uint8_t>(piece.size());
  entry.count = static_cast<uint8_t>(count);
  std::copy(ids->end() - static_cast<std::ptrdiff_t>(count), ids->end(), entry.ids.begin());
}

void Bpe::encode_anew(std::string_view piece, PieceKey key, uint64_t hash, std::vector<int32_t>* ids) const {
  const Slot* whole = find_token(piece, key, hash);
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

// A symbol stands where its first byte stands.
void Bpe::merge_short(std::string_view piece, std::vector<int32_t>* ids) const {
  constexpr uint64_t kNoPair = ~uint64_t{0};
  std::array<int32_t, kShortPiece> symbols;
  std::array<uint8_t, kShortPiece> next, previous;
  // Rank of the pair that begins here, above its position: the smallest merges next.
  std::array<uint64_t, kShortPiece> pairs;
  const size_t n = piece.size();
  const auto byte = [&](size_t i) { return static_cast<uint8_t>(piece[i]); };
  const auto pair_at = [](size_t i, int32_t rank) {
    return rank == kNoRank ? kNoPair : static_cast<uint64_t>(rank) << 8 | i;
  };
  for (size_t i = 0; i < n; ++i) {
    symbols[i] = byte_ids_[byte(i)];
    next[i] = static_cast<uint8_t>(i + 1);
    previous[i] = static_cast<uint8_t>(i - 1);
  }
  for (size_t i = 0; i + 1 < n; ++i) pairs[i] = pair_at(i, byte_ranks_[size_t{byte(i)} << 8 | byte(i + 1)]);
  pairs[n - 1] = kNoPair;
  const auto look_up = [&](size_t i) {
    if (next[i] == n) return kNoPair;
    const MergeTable::Entry* entry = merges_.find(symbols[i], symbols[next[i]]);
    return entry != nullptr ? pair_at(i, entry->rank) : kNoPair;
  };
  while (true) {
    uint64_t lowest = pairs[0];
    for (size_t i = 1; i < n; ++i) lowest = std::min(lowest, pairs[i]);
    if (lowest == kNoPair) break;
    const size_t at = lowest & 0xFF, right = next[at];
    symbols[at] = results_[lowest >> 8];
    next[at] = next[right];
    if (next[at] < n) previous[next[at]] = static_cast<uint8_t>(at);
    pairs[right] = kNoPair;
    pairs[at] = look_up(at);
    if (at > 0) pairs[previous[at]] = look_up(previous[at]);
  }
  for (size_t i = 0; i < n; i = next[i]) ids->push_back(symbols[i]);
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
