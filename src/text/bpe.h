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
  int32_t left, right, result;  // token ids; the position in the list is the rank, lowest first
};

// Open-addressing table from (left, right) to what their merge gives.
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
};

class Bpe {
 public:
  // tokens: the bytes of each id; ids for which `mergeable` is false are no part of the byte-level vocabulary
  // (gaps, added tokens) and encode() never gives them. merges must be free of duplicates and name mergeable
  // ids; byte_ids is the id of each single byte. ignore_merges: a piece that is a token is that token,
  // whatever the merges would make of it (a field of tokenizer.json's model).
  Bpe(std::vector<std::string> tokens, const std::vector<bool>& mergeable, const std::vector<Merge>& merges,
      const std::array<int32_t, 256>& byte_ids, bool ignore_merges);

  // Appends the ids of one piece: of all adjacent pairs the one with the lowest rank merges first, the
  // leftmost if there are several, until none is left. May be called from several threads.
  void encode(std::string_view piece, std::vector<int32_t>* ids) const;

  const std::vector<std::string>& tokens() const { return tokens_; }

 private:
  // kWhole: the bytes of the token encode to that token alone. Found at first use: most pieces of a text are
  // one token, and this saves merging them again. Threads may race to store the same value.
  enum State : uint8_t { kUnknown, kWhole, kSplit };

  // First and last eight bytes, which may overlap; all that there is to know of up to 16 bytes.
  struct Key {
    uint64_t head, tail;
    bool operator==(const Key&) const = default;
  };
  struct Slot {
    Key key;
    int32_t id = -1;  // free
    uint8_t size;     // in bytes, or kLong
    mutable std::atomic<uint8_t> state{kUnknown};
  };

  static Key key_of(std::string_view bytes);
  static size_t hash_of(Key key, std::string_view bytes);
  const Slot* find_token(std::string_view bytes) const;  // null if there is none
  void merge(std::string_view piece, std::vector<int32_t>* ids) const;
  void merge_short(std::string_view piece, std::vector<int32_t>* ids) const;
  void merge_long(std::string_view piece, std::vector<int32_t>* ids) const;

  std::vector<std::string> tokens_;
  std::vector<Slot> slots_;  // open-addressing table of the mergeable tokens by their bytes
  MergeTable merges_;
  std::vector<int32_t> results_;     // by rank
  std::vector<int32_t> byte_ranks_;  // [256 * first + second]: rank of the merge of two bytes
  std::array<int32_t, 256> byte_ids_;
  bool ignore_merges_;
};

}  // namespace frugal::text
