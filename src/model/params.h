// ParamTable: the single table of a model's parameters. Initialisation, loading, saving, packing, the
// optimizer and verification iterate it; no other list of names exists (tests/tree_test.cc searches the
// tree).
#pragma once

#include <string>
#include <vector>

#include "base/tensor.h"
#include "kernels/gemm.h"
#include "model/config.h"

namespace frugal::model {

// The operand type of matrices in int8 and int4 models (ModelConfig::bits).
inline kernels::Operand integer_operand(int64_t bits) {
  return bits == 4 ? kernels::Operand::kInt4 : kernels::Operand::kInt8;
}

enum class ParamKind {
  kMatrix,     // a Linear's rows; multiplied in the operand type, stored in it
  kEmbedding,  // looked up in the operand type, stored in it
  kGate,       // router matrix: f32 product, stored in f32
  kNorm,       // stored in f32, no weight decay
  kBias,       // e_score_correction_bias: f32, no gradient, updated by expert load
};

// One tensor that a forward pass reads as a whole. It may span several parameters that lie one below the
// other (gate_proj over up_proj): one product then computes both.
struct Weight {
  int64_t out = 0, in = 1;   // rows, columns; a vector has in = 1
  const char* label = "";    // what it is, for profiles
  int64_t offset = -1;       // in the flat buffers of masters and gradients
  float* data = nullptr;     // f32 values; null for matrices of a model that is not trained
  uint16_t* half = nullptr;  // bf16 values instead: the embedding of a bf16 model that is not trained
  kernels::Matrix matrix;    // packed operands (kMatrix, kGate, and a tied embedding)
  int64_t elements() const { return out * in; }
};

struct Param {
  std::string name;  // Hugging Face name
  Shape shape;
  ParamKind kind;
  Weight* weight;
  int64_t row = 0;           // first row inside *weight
  int64_t layer = -1;        // -1: outside the layers
  bool in_integers = false;  // int8 and int4 models store it so; the rest keeps its bf16 or f32
  int64_t elements() const { return shape.elements(); }
  int64_t offset() const { return weight->offset + row * weight->in; }
  float* data() const { return weight->data + row * weight->in; }
  bool weight_decay() const { return kind != ParamKind::kNorm && kind != ParamKind::kBias; }
  bool has_gradient() const { return kind != ParamKind::kBias; }
};

struct AttentionWeights {
  Weight q_proj;                             // without q_lora_rank
  Weight q_a_proj, q_a_layernorm, q_b_proj;  // with it
  Weight kv_a_proj, kv_a_layernorm, kv_b_proj;
  Weight o_proj;
  // The absorbed form's halves of kv_b_proj per head, made on demand: W_UK^T [kv_lora_rank, nope], W_UV [v,
  // kv_lora_rank].
  std::vector<kernels::Matrix> absorbed_k, absorbed_v;
};
struct MlpWeights {
  Weight gate_up;  // gate_proj over up_proj
  Weight down;
};
struct MoeWeights {
  Weight gate, bias;
  MlpWeights shared;
  std::vector<MlpWeights> experts;
};
struct LayerWeights {
  bool moe = false;
  Weight input_layernorm, post_attention_layernorm;
  AttentionWeights attention;
  MlpWeights mlp;
  MoeWeights experts;
};
struct MtpWeights {
  Weight enorm, hnorm, eh_proj;
  LayerWeights block;
  Weight shared_head_norm;
};
struct Weights {
  Weight embed_tokens;
  std::vector<LayerWeights> layers;
  Weight norm;
  Weight lm_head;  // unused with tie_word_embeddings
  std::vector<MtpWeights> mtp;
};

struct ParamTable {
  std::vector<Param> params;
  // Names that published checkpoints store again for the MTP module, and the parameter that they repeat.
  std::vector<std::pair<std::string, const Param*>> copies;
  int64_t elements = 0;  // of the flat buffers
  const Param* find(const std::string& name) const;
};

// Sizes *weights for the config and lists its parameters. *weights must stay where it is.
ParamTable build_param_table(const ModelConfig& config, Weights* weights);

// Parameters that one token uses, embedding and head included; and of all parameters.
int64_t active_parameters(const ModelConfig& config);

}  // namespace frugal::model
