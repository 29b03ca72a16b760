// Saved: what a layer's backward reads, one table row per value. Forward allocates by the table, backward
// reads by it, the planner adds it up. Whether the values of earlier layers are kept decides what is stored,
// never forward's arithmetic. Outputs of norms and of SwiGLU are not kept: backward computes them again, bit
// for bit (DeepSeek-V3 report, section 3.2.3). Where products take bf16, the rows marked * are kept in bf16
// beside (name_bf16): forward writes them to temporary memory and rounds them at the end, backward widens
// them. Legend: T tokens, H heads, K num_experts_per_tok, E n_routed_experts, I widths of SwiGLU.
#pragma once

#include <string>
#include <vector>

#include "base/arena.h"
#include "kernels/level.h"
#include "kernels/route.h"
#include "model/config.h"

namespace frugal::model {

struct LayerSaved {
  // attention
  float* x_in = nullptr;  // [T, hidden] residual stream before the layer
  float* r_in = nullptr;  // [T] 1 / rms of input_layernorm
  float* q_a = nullptr;   // [T, q_lora]
  float* r_q = nullptr;   // [T]
  float* q = nullptr;     // [T, H, nope + rope], rotated *
  float* kv_a = nullptr;  // [T, kv_lora + rope], rope part rotated
  float* r_kv = nullptr;  // [T]
  float* kv = nullptr;    // [T, H, nope + v] *
  float* attn = nullptr;  // [T, H, v] *
  float* lse = nullptr;   // [T, H]
  // feed-forward
  float* x_mid = nullptr;           // [T, hidden] residual stream after attention
  float* r_post = nullptr;          // [T]
  float* gate_up = nullptr;         // [T, 2 I] dense or shared MLP *
  float* scores = nullptr;          // [T, E]
  float* weights = nullptr;         // [T, K]
  int32_t* indices = nullptr;       // [T, K]
  int32_t* rows = nullptr;          // [T K]
  int32_t* slots = nullptr;         // [T, K]
  int32_t* offsets = nullptr;       // [E + 1]
  float* expert_gate_up = nullptr;  // [T K, 2 I] *
  uint16_t *q_bf16 = nullptr, *kv_bf16 = nullptr, *attn_bf16 = nullptr, *gate_up_bf16 = nullptr,
           *expert_gate_up_bf16 = nullptr;

  kernels::Routing routing() const { return {scores, indices, weights, offsets, rows, slots}; }
};

struct SavedRow {
  const char* name;
  void (*alloc)(LayerSaved*, Arena*, int64_t elements);       // of 4 bytes
  void (*alloc_bf16)(LayerSaved*, Arena*, int64_t elements);  // null: always of 4 bytes
  int64_t (*per_token)(const ModelConfig&, bool moe);         // elements per token; 0: not in this layer
};
const std::vector<SavedRow>& saved_rows();

// kept: the type of the rows marked *. kF32 also where nothing is kept beyond a layer.
LayerSaved alloc_saved(const ModelConfig& config, bool moe, int64_t tokens, kernels::Operand kept,
                       Arena* arena);
int64_t saved_bytes(const ModelConfig& config, bool moe, int64_t tokens, kernels::Operand kept);

// Temporary memory for the rows of one layer that are kept in bf16, in elements per token: of attention, and
// of the feed-forward part.
struct WideRows {
  int64_t attention, ffn;
};
WideRows wide_rows(const ModelConfig& config, bool moe);

}  // namespace frugal::model
