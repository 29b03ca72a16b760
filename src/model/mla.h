// Multi-head latent attention (DeepSeek-V3 report section 2.1.1; names: Hugging Face).
//   1 norm_in = rmsnorm(x_in)                          [T, hidden]
//   2 q = q_b(rmsnorm(q_a(norm_in))) or q_proj(norm_in)  [T, H, nope + rope]
//   3 kv_a = kv_a_proj_with_mqa(norm_in)               [T, kv_lora + rope]
//   4 c_kv = rmsnorm(kv_a[:kv_lora])                   the rope part is not normalised
//   5 rope on q's and kv_a's rope parts                one k_pe for all heads
//   6 kv = kv_b(c_kv)                                  [T, H, nope + v]
//   7 k = [k_nope, k_pe], v;  attn = attention(q, k, v)  [T, H, v]
//   8 out = o_proj(attn);  x_mid = x_in + out
// Absorbed tokens replace 6 and 7: q_abs = W_UK^T q_nope, attention over [c_kv, k_pe] with values c_kv, attn
// = W_UV ctx.
#pragma once

#include "model/pass.h"

namespace frugal::model {

// Reads s.x_in, writes the other attention fields of s and s.x_mid.
void mla_forward(const Pass& pass, const AttentionWeights& w, const Weight& norm, LayerSaved* s);

// dx [T, hidden]: in, the gradient of x_mid; out, the gradient of x_in. Whole sequences without a cache only.
void mla_backward(const Pass& pass, const AttentionWeights& w, const Weight& norm, const LayerSaved& s,
                  float* dx, float* grads);

// Temporary bytes of a prompt in an absorbed cache, whose keys and values are expanded layer by layer, some
// heads at a time: within `limit`, or what one head needs.
int64_t expanding_bytes(const ModelConfig& config, kernels::Operand operand, int64_t positions,
                        int64_t limit = kExpandingLimit);
// Bytes of what pack_absorbed() makes for all layers.
int64_t absorbed_bytes(const ModelConfig& config, kernels::Operand operand);
// Packs the per-head halves of kv_b_proj that the absorbed form multiplies with. kv_b: f32 [H (nope + v),
// kv_lora]. The panels are appended to `memory`.
void pack_absorbed(kernels::Ctx& ctx, const ModelConfig& config, kernels::Operand operand, const float* kv_b,
                   int64_t version, AttentionWeights* w, std::vector<AlignedPtr<std::byte>>* memory);

}  // namespace frugal::model
