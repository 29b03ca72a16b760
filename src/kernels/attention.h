// Causal attention over paged keys and values (docs/numerics.md, section 3), forward and backward.
//
// out[t] = softmax(scale * q[t] . k[0..pos]) v[0..pos], keys walked in blocks of 64 aligned to position in
// the sequence. A page holds the keys and values of kPageTokens positions in the operand type, laid out as
// the B panels of the two products, so that attention reads what was written without another pass:
//   K: per kv head, 2 panels of 32 keys x key_dim;  V: per kv head, value_dim / 32 panels over 64 keys.
// Where values_in_keys, there are no panels of V: attention makes them from K, a page at a time. Such pages may
// hold e4m3 instead (FlashMLA's layout of 656 bytes per token): for each position value_dim bytes with an f32 scale
// per 128, amax / 448, then the rest of the key in bf16; byte * scale, rounded to bf16, is what counts.
// Legend: T tokens, H query heads, G kv heads (H when expanded, 1 when absorbed).
#pragma once

#include <span>

#include "kernels/ctx.h"

namespace frugal::kernels {

constexpr int64_t kPageTokens = 64;

struct PageLayout {
  Operand operand = Operand::kF32;
  int64_t kv_heads = 0;
  int64_t key_dim =
      0;  // expanded: qk_nope_head_dim + qk_rope_head_dim; absorbed: kv_lora_rank + qk_rope_head_dim
  int64_t value_dim = 0;        // expanded: v_head_dim; absorbed: kv_lora_rank
  bool values_in_keys = false;  // kv_heads 1; absorbed: the values are the front of the keys and are not stored again

  int64_t key_bytes() const;    // of one kv head
  int64_t value_bytes() const;  // of one kv head
  int64_t page_bytes() const { return kv_heads * (key_bytes() + value_bytes()); }
};

// The pages of one sequence in one layer: page i holds positions [64 i, 64 i + 64).
struct Pages {
  std::byte* const* page = nullptr;
};

// Writes keys [T, G, key_dim] and values [T, G, value_dim] (strides in floats) at positions first_position
// ... of one sequence. A page must have been zeroed before its first write, unless that write fills it.
struct PageWrite {
  PageLayout layout;
  Pages pages;
  int64_t first_position = 0, tokens = 0;
  const float* keys = nullptr;
  int64_t key_stride = 0;  // from token to token; heads are adjacent
  const float* values = nullptr;
  int64_t value_stride = 0, value_head_stride = 0;
};
void write_pages(Ctx& ctx, std::span<const PageWrite> writes);
// Reads back the keys of positions 0 .. tokens, with one kv head, widened to f32: out [tokens, key_dim].
void read_keys(Ctx& ctx, const PageLayout& layout, Pages pages, int64_t tokens, float* out);

struct AttentionSequence {
  Pages pages;
  int64_t first_row = 0, tokens = 0;  // rows of q and out
  int64_t first_position = 0;
};

struct AttentionArgs {
  PageLayout layout;
  int64_t heads = 0;
  float scale = 0;           // softmax scale
  const float* q = nullptr;  // [T, H, key_dim]
  float* out = nullptr;      // [T, H, value_dim]
  float* lse = nullptr;      // [T, H], or null
  int64_t row_heads = 0;     // heads of a row of q, out and lse, where only some of them are meant; 0: heads
};
void attention(Ctx& ctx, const AttentionArgs& args, std::span<const AttentionSequence> sequences);
// Causal attention over the sequences when every pair of a query and a key costs `per_pair` operations, and
// every token and head `per_token` numbers that are read or written.
Work attention_work(std::span<const AttentionSequence> sequences, int64_t heads, int64_t per_pair,
                    int64_t per_token);

// Backward for whole sequences from position 0 with H kv heads. D = dot(dout, out).
struct AttentionBackwardArgs {
  Operand operand = Operand::kF32;
  int64_t heads = 0, key_dim = 0, value_dim = 0;
  float scale = 0;
  const float* q = nullptr;  // [T, H, key_dim]
  const float* k = nullptr;  // [T, H, key_dim]
  const float* v = nullptr;  // value of (t, h) at v + t * v_stride + h * v_head_stride
  int64_t v_stride = 0, v_head_stride = 0;
  const float* out = nullptr;   // [T, H, value_dim]
  const float* dout = nullptr;  // [T, H, value_dim]
  const float* lse = nullptr;   // [T, H]
  float* dq = nullptr;          // [T, H, key_dim], overwritten
  float* dk = nullptr;          // [T, H, key_dim], overwritten
  float* dv = nullptr;          // [T, H, value_dim], overwritten
};
void attention_backward(Ctx& ctx, const AttentionBackwardArgs& args,
                        std::span<const AttentionSequence> sequences);

}  // namespace frugal::kernels
