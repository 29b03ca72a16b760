// Model: configuration, parameters, packed operands, and the one forward pass that training and serving
// share. Legend: T tokens of the batch, hidden = hidden_size, V = vocab_size.
#pragma once

#include <memory>

#include "model/pass.h"

namespace frugal::model {

class Model {
 public:
  // trainable: f32 masters of every parameter and panels for backward are kept. operand: the type in which
  // products take their operands (precision = "f32" | "bf16"). Values are undefined until init() or a loader
  // fills them.
  Model(const ModelConfig& config, kernels::Operand operand, bool trainable);
  Model(const Model&) = delete;
  Model& operator=(const Model&) = delete;

  ModelConfig config;
  kernels::Operand operand;
  bool trainable;
  Weights weights;
  ParamTable table;
  kernels::RopeTable rope;
  int64_t version = 0;                // optimizer step of the packed panels
  std::shared_ptr<const void> files;  // into which the panels of an int8 or int4 model point

  // DeepSeek-V3 draws every parameter from N(0, 0.006^2) at hidden_size 7168 (report section 4.2); norms 1,
  // bias 0. The standard deviation that keeps a product's size is proportional to hidden^-0.5, so narrower
  // models get 0.006 * sqrt(7168 / hidden_size). Values depend on seed, tensor name and index only.
  void init(kernels::Ctx& ctx, uint64_t seed);
  // Packs every matrix from the masters (trainable models), for step `new_version`.
  void pack(kernels::Ctx& ctx, int64_t new_version);
  // Packs one weight from f32 values that need not be kept (loading without masters).
  void pack_weight(kernels::Ctx& ctx, const float* values, Weight* w);
  // Makes the per-head matrices of the absorbed attention form, layer by layer, from kv_b_proj's values.
  void pack_absorbed_layer(kernels::Ctx& ctx, const float* kv_b, AttentionWeights* w);
  bool needs_panels(const Weight& w) const;
  // Memory for the panels of a matrix whose format only the loader knows (FP8 checkpoints).
  void take_panels(Weight* w, kernels::Operand format);

  float* masters() const { return values_.get(); }  // flat, in table order (trainable models)
  const Weight& head() const { return config.tie_word_embeddings ? weights.embed_tokens : weights.lm_head; }

  static double init_std(const ModelConfig& config);
  // Bytes that the constructor allocates, and those of panels in mapped files.
  static int64_t memory_bytes(const ModelConfig& config, kernels::Operand operand, bool trainable);

 private:
  AlignedPtr<float> values_;
  AlignedPtr<uint16_t> halves_;
  AlignedPtr<std::byte> panels_;
  std::vector<AlignedPtr<std::byte>> absorbed_;
  std::vector<Arena> later_;  // of take_panels()
};

// Temporary memory of a pass over T tokens in `sequences` sequences; kept as for alloc_saved().
int64_t forward_scratch_bytes(const ModelConfig& config, int64_t tokens, int64_t sequences,
                              kernels::Operand kept);
int64_t backward_scratch_bytes(const ModelConfig& config, int64_t tokens, kernels::Operand kept);

struct ForwardArgs {
  const TokenBatch& batch;
  Arena& arena;
  KvCache* cache = nullptr;
  std::vector<LayerSaved>* saved = nullptr;  // null: nothing is kept
  const Probe* probe = nullptr;
};
// x_last [T, hidden] receives the residual stream after the last layer, h [T, hidden] its model.norm, r [T]
// the norm's 1 / rms. Positions must lie below max_position_embeddings.
void forward(kernels::Ctx& ctx, Model& model, const ForwardArgs& args, float* x_last, float* h, float* r);

// Gradients of everything below h: dh [T, hidden] is destroyed; grads is flat in table order, `+=`.
// Returns the balance loss.
double backward(kernels::Ctx& ctx, Model& model, const ForwardArgs& args, const float* x_last, const float* r,
                const BalanceContext& balance, float* dh, float* grads);

// One decoder layer: x [T, hidden] in and out.
void layer_forward(const Pass& pass, const LayerWeights& w, LayerSaved* s, float* x);
double layer_backward(const Pass& pass, const LayerWeights& w, const LayerSaved& s,
                      const BalanceContext& balance, float* dx, float* grads);

void embed(kernels::Ctx& ctx, const Model& model, const int32_t* tokens, int64_t n, float* x);
// grads of embed_tokens += rows of dx, token after token in order.
void embed_backward(kernels::Ctx& ctx, const Model& model, const int32_t* tokens, int64_t n, const float* dx,
                    float* grads);

}  // namespace frugal::model
