// Feed-forward layers: SwiGLU MLP and DeepSeekMoE (DeepSeek-V3 report section 2.1.2).
//   1 norm_post = rmsnorm(x_mid)
//   dense:   2 gate_up = [gate; up](norm_post)  3 act = silu(gate) * up  4 out = down(act)
//   experts: 2 logits = gate(norm_post) in f32, route  3 shared MLP  4 expert_gate_up, act, y, grouped
//            by expert  5 out = shared + sum over chosen experts, ascending id, of weight * y
//            backward: d = W_down^T dout; dweight = dot(act, d); weight d flows on; dW_down += dout (weight
//            act)^T
//   x_out = x_mid + out
#pragma once

#include "model/pass.h"

namespace frugal::model {

// x_out [T, hidden].
void ffn_forward(const Pass& pass, const LayerWeights& w, LayerSaved* s, float* x_out);

// dx [T, hidden]: in, the gradient of x_out; out, the gradient of x_mid. balance.args.alpha != 0 adds the
// balance loss's gradient; its value is returned.
double ffn_backward(const Pass& pass, const LayerWeights& w, const LayerSaved& s,
                    const BalanceContext& balance, float* dx, float* grads);

}  // namespace frugal::model
