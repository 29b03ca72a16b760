#include "model/stored.h"

#include <array>
#include <unordered_map>

#include "base/error.h"
#include "kernels/quant.h"

namespace frugal::model {

namespace {
bool stays_out_of_fp8(const Param& p, const Weights& w) {
  if (p.kind != ParamKind::kMatrix || p.weight == &w.lm_head) return true;
  for (const MtpWeights& m : w.mtp)
    if (p.weight == &m.eh_proj) return true;
  return false;
}

Dtype stored_dtype(const Param& p, const Weights& w, StoredFormat format) {
  if (format == StoredFormat::kF32 || p.kind == ParamKind::kBias) return Dtype::kF32;
  if (format == StoredFormat::kFP8 && !stays_out_of_fp8(p, w)) return Dtype::kF8E4M3;
  return Dtype::kBF16;
}
}  // namespace

std::vector<StoredTensor> stored_tensors(const ParamTable& table, const Weights& weights,
                                         StoredFormat format) {
  std::vector<StoredTensor> all;
  for (const Param& p : table.params) {
    if (bits_of(format) > 0 && p.in_integers) {
      all.push_back({packed_name(p.name), Dtype::kU8, packed_shape(p, bits_of(format)), &p});
      continue;
    }
    all.push_back({p.name, stored_dtype(p, weights, format), p.shape, &p});
    if (all.back().dtype == Dtype::kF8E4M3)
      all.push_back({scale_name(p.name),
                     Dtype::kF32,
                     {kernels::quant_blocks(p.shape[0]), kernels::quant_blocks(p.shape[1])},
                     &p,
                     true});
  }
  for (const auto& [name, original] : table.copies)
    all.push_back({name, stored_dtype(*original, weights, format), original->shape, original});
  return all;
}

const char* part_name(Part part) {
  static constexpr std::array<const char*, kParts> names = {
      "embedding", "attention", "dense MLP", "routed experts", "shared experts", "router",
      "norms",     "head",      "MTP",       "MTP's copies"};
  return names[static_cast<size_t>(part)];
}

namespace {
using PartOf = std::unordered_map<const Weight*, Part>;

void name_layer(const LayerWeights& l, PartOf* part) {
  const AttentionWeights& a = l.attention;
  for (const Weight* w : {&a.q_proj, &a.q_a_proj, &a.q_a_layernorm, &a.q_b_proj, &a.kv_a_proj,
                          &a.kv_a_layernorm, &a.kv_b_proj, &a.o_proj})
    (*part)[w] = Part::kAttention;
  for (const Weight* w : {&l.mlp.gate_up, &l.mlp.down}) (*part)[w] = Part::kDenseMlp;
  for (const Weight* w : {&l.experts.gate, &l.experts.bias}) (*part)[w] = Part::kRouter;
  for (const Weight* w : {&l.experts.shared.gate_up, &l.experts.shared.down})
    (*part)[w] = Part::kSharedExperts;
  for (const MlpWeights& e : l.experts.experts)
    for (const Weight* w : {&e.gate_up, &e.down}) (*part)[w] = Part::kRoutedExperts;
  for (const Weight* w : {&l.input_layernorm, &l.post_attention_layernorm}) (*part)[w] = Part::kNorms;
}

PartOf parts_of(const Weights& w) {
  PartOf part;
  part[&w.embed_tokens] = Part::kEmbedding;
  part[&w.norm] = Part::kNorms;
  part[&w.lm_head] = Part::kHead;
  for (const LayerWeights& l : w.layers) name_layer(l, &part);
  return part;
}

void add_stored(const CheckpointFiles* files, const std::string& name, PartCount* count) {
  if (files == nullptr) return;
  for (const std::string& one : {name, scale_name(name), packed_name(name)})
    if (const Tensor* t = files->find(one)) count->stored[t->dtype] += t->bytes();
}
}  // namespace

int64_t PartCount::bytes() const {
  int64_t sum = 0;
  for (const auto& [dtype, n] : stored) sum += n;
  return sum;
}

std::vector<PartCount> count_parts(const ModelConfig& c, const ParamTable& table, const Weights& weights,
                                   const CheckpointFiles* files) {
  const PartOf part_of = parts_of(weights);
  std::array<PartCount, kParts> counts;
  for (int i = 0; i < kParts; ++i) counts[static_cast<size_t>(i)].part = static_cast<Part>(i);
  const auto at = [&](Part part) -> PartCount& { return counts[static_cast<size_t>(part)]; };
  for (const Param& p : table.params) {
    PartCount& count = at(p.layer >= c.num_hidden_layers ? Part::kMtp : part_of.at(p.weight));
    count.parameters += p.elements();
    add_stored(files, p.name, &count);
  }
  for (const auto& [name, original] : table.copies) add_stored(files, name, &at(Part::kMtpCopies));
  std::vector<PartCount> present;
  for (PartCount& count : counts) {
    const bool routed = count.part == Part::kRoutedExperts;
    if (count.part != Part::kMtp)
      count.active = routed && c.n_routed_experts > 0
                         ? count.parameters / c.n_routed_experts * c.num_experts_per_tok
                         : count.parameters;
    if (count.parameters > 0 || !count.stored.empty()) present.push_back(count);
  }
  return present;
}

int64_t latent_bytes_per_token(const ModelConfig& c, int64_t width) {
  return c.num_hidden_layers * (c.kv_lora_rank + c.qk_rope_head_dim) * width;
}

}  // namespace frugal::model
