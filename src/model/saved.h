// Saved: what a layer's backward reads, one table row per value. Forward allocates by the table, backward
// reads by it, the planner adds it up. Whether the values of earlier layers are kept decides what is stored,
// never the arithmetic. Outputs of norms and of SwiGLU are not kept: backward computes them again, bit for
// bit (DeepSeek-V3 report, section 3.2.3). Legend: T tokens, H heads, K num_experts_per_tok, E
// n_routed_experts, I widths of SwiGLU.
#pragma once

#include <string>
#include <vector>

#include "base/arena.h"
#include "kernels/route.h"
#include "model/config.h"

namespace frugal::model {

struct LayerSaved {
  // attention
  float* x_in = nullptr;  // [T, hidden] residual stream before the layer
  float* r_in = nullptr;  // [T] 1 / rms of input_layernorm
  float* q_a = nullptr;   // [T, q_lora]
  float* r_q = nullptr;   // [T]
  float* q = nullptr;     // [T, H, nope + rope], rotated
  float* kv_a = nullptr;  // [T, kv_lora + rope], rope part rotated
  float* r_kv = nullptr;  // [T]
  float* kv = nullptr;    // [T, H, nope + v]
  float* attn = nullptr;  // [T, H, v]
  float* lse = nullptr;   // [T, H]
  // feed-forward
  float* x_mid = nullptr;           // [T, hidden] residual stream after attention
  float* r_post = nullptr;          // [T]
  float* gate_up = nullptr;         // [T, 2 I] dense or shared MLP
  float* scores = nullptr;          // [T, E]
  float* weights = nullptr;         // [T, K]
  int32_t* indices = nullptr;       // [T, K]
  int32_t* rows = nullptr;          // [T K]
  int32_t* slots = nullptr;         // [T, K]
  int32_t* offsets = nullptr;       // [E + 1]
  float* expert_gate_up = nullptr;  // [T K, 2 I]

  kernels::Routing routing() const { return {scores, indices, weights, offsets, rows, slots}; }
};

struct SavedRow {
  const char* name;
  void (*alloc)(LayerSaved*, Arena*, int64_t elements);
  int64_t (*per_token)(const ModelConfig&, bool moe);  // 4-byte elements per token; 0: not in this layer
};
const std::vector<SavedRow>& saved_rows();

LayerSaved alloc_saved(const ModelConfig& config, bool moe, int64_t tokens, Arena* arena);
int64_t saved_bytes(const ModelConfig& config, bool moe, int64_t tokens);

}  // namespace frugal::model
