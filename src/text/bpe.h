// Byte-level byte-pair encoding: the vocabulary and the merges of one tokenizer, applied to one piece of
// text. Sennrich et al., "Neural Machine Translation of Rare Words with Subword Units" (2016), on bytes as in
// GPT-2.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace frugal::text {

struct Merge {
  int32_t left, right, result;  // token ids; lists are in the order of rank, lowest first (see Bpe)
};

// Open-addressing table from (left, right) to what their merge gives. Most pairs that are looked up do not
// merge: a small filter, which stays in the second-level cache, finds nearly all of them.
class MergeTable {
 public:
  struct Entry {
    uint64_t key;
    int32_t rank, result;
  };

  void reserve(size_t merges);
  // False if the pair is there already.
  bool insert(int32_t left, int32_t right, int32_t rank, int32_t result);
  // Null if the pair does not merge.
  const Entry* find(int32_t left, int32_t right) const;

 private:
  std::vector<Entry> slots_;
  uint64_t mask_ = 0;
  std::vector<uint64_t> filter_;  // 16 bits or more for each merge; that of a pair is set if it is here
};

// First and last eight bytes of a piece, which may overlap; all that there is to know of up to 16 bytes.
struct PieceKey {
  uint64_t head, tail;
  bool operator==(const PieceKey&) const = default;
};

// What one thread has looked up lately: short pieces with their ids. Most of a text are a few thousand of
// them, and this table stays in the second-level cache, where the vocabulary does not.
class PieceCache {
 public:
  static constexpr size_t kMaxBytes = 16;  // of a piece
  static constexpr size_t kMaxIds = 3;

  struct Piece {
    PieceKey key;
    std::array<int32_t, kMaxIds> ids;
    uint8_t size;   // of the piece; 0: free
    uint8_t count;  // of ids
  };
  // Forgets everything unless it has served that Bpe before.
  void serve(uint64_t bpe);
  Piece& piece(uint64_t hash) { return pieces_[hash % kPieces]; }

 private:
  static constexpr size_t kPieces = 8192;  // 256 KiB

  std::vector<Piece> pieces_;
  uint64_t serves_ = 0;
};

class Bpe {
 public:
  // tokens: the bytes of each id; ids for which `mergeable` is false are no part of the byte-level vocabulary
  // (gaps, added tokens) and encode() never gives them. merges must be free of duplicates and name mergeable
  // ids; byte_ids is the id of each single byte. ignore_merges: a piece that is a token is that token,
  // whatever the merges would make of it (a field of tokenizer.json's model). rank_by_result: the rank of a
  // merge is not its place in the list but the id of its result, as in tiktoken, so that several may share it.
  Bpe(std::vector<std::string> tokens, const std::vector<bool>& mergeable, const std::vector<Merge>& merges,
      const std::array<int32_t, 256>& byte_ids, bool ignore_merges, bool rank_by_result = false);

  // Appends the ids of one piece: of all adjacent pairs the one with the lowest rank merges first, the
  // leftmost if there are several, until none is left. May be called from several threads, each with a cache
  // that serves number().
  void encode(std::string_view piece, PieceCache& cache, std::vector<int32_t>* ids) const;

  uint64_t number() const { return number_; }  // from 1; no two have the same

  const std::vector<std::string>& tokens() const { return tokens_; }

 private:
  // kWhole: the bytes of the token encode to that token alone. Found at first use: most pieces of a text are
  // one token, and this saves merging them again. Threads may race to store the same value.
  enum State : uint8_t { kUnknown, kWhole, kSplit };

  struct Slot {
    PieceKey key;
    int32_t id = -1;  // free
    uint8_t size;     // in bytes, or kLong
    mutable std::atomic<uint8_t> state{kUnknown};
  };

  // Null if there is none.
  const Slot* find_token(std::string_view bytes, PieceKey key, uint64_t hash) const;
  void encode_anew(std::string_view piece, PieceKey key, uint64_t hash, std::vector<int32_t>* ids) const;
  void merge(std::string_view piece, std::vector<int32_t>* ids) const;
  void merge_short(std::string_view piece, std::vector<int32_t>* ids) const;
  void merge_long(std::string_view piece, std::vector<int32_t>* ids) const;

  uint64_t number_;
  std::vector<std::string> tokens_;
  std::vector<Slot> slots_;  // open-addressing table of the mergeable tokens by their bytes
  MergeTable merges_;
  std::vector<int32_t> results_;     // by rank
  std::vector<int32_t> byte_ranks_;  // [256 * first + second]: rank of the merge of two bytes
  std::array<int32_t, 256> byte_ids_;
  bool ignore_merges_;
};

}  // namespace frugal::text
