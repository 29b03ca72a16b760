// Multi-token prediction module, depth 1 (DeepSeek-V3 report section 2.2; checkpoint layer
// num_hidden_layers).
//   1 e = enorm(embed(t_{i+1})), h = hnorm(main hidden after model.norm)
//   2 x = eh_proj [e ; h]           embedding first, as the checkpoint stores it
//   3 x = decoder layer(x)          positions of the trunk
//   4 out = shared_head.norm(x)     then the main model's head predicts t_{i+2}
// Embedding and head are the main model's.
#pragma once

#include "model/model.h"

namespace frugal::model {

struct MtpSaved {
  float* e = nullptr;       // [T, hidden] embedding
  float* r_e = nullptr;     // [T]
  float* r_h = nullptr;     // [T]
  float* joined = nullptr;  // [T, 2 hidden]
  LayerSaved layer;
  float* x = nullptr;      // [T, hidden] after the layer
  float* r_out = nullptr;  // [T]
  float* out = nullptr;    // [T, hidden] after shared_head.norm
};
int64_t mtp_saved_bytes(const ModelConfig& config, int64_t tokens, kernels::Operand kept);

// args.batch holds the tokens t_{i+1} at the trunk's positions i; h [T, hidden] the trunk's output. Allocates
// from args.arena; the caller rewinds.
MtpSaved mtp_forward(kernels::Ctx& ctx, Model& model, const ForwardArgs& args, const float* h);
// dout [T, hidden] -> dh += ; grads += . Returns the balance loss.
double mtp_backward(kernels::Ctx& ctx, Model& model, const ForwardArgs& args, const MtpSaved& s,
                    const float* h, const BalanceContext& balance, const float* dout, float* dh,
                    float* grads);

}  // namespace frugal::model
