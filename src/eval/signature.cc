#include "eval/signature.h"

#include <xxhash.h>

#include <cstring>

#include "base/rng.h"
#include "model/objective.h"
#include "train/optimizer.h"

namespace frugal::eval {

namespace {
// Odd sizes on purpose: every edge of the kernels takes part. V3 routing, MTP, YaRN, a dense layer, a shared
// expert.
model::ModelConfig tiny_config() {
  model::ModelConfig c;
  c.vocab_size = 197;
  c.hidden_size = 72;
  c.num_hidden_layers = 3;
  c.first_k_dense_replace = 1;
  c.intermediate_size = 100;
  c.num_attention_heads = 3;
  c.q_lora_rank = 28;
  c.kv_lora_rank = 20;
  c.qk_nope_head_dim = 18;
  c.qk_rope_head_dim = 10;
  c.v_head_dim = 22;
  c.n_routed_experts = 12;
  c.num_experts_per_tok = 3;
  c.moe_intermediate_size = 26;
  c.n_shared_experts = 1;
  c.n_group = 4;
  c.topk_group = 2;
  c.routed_scaling_factor = 2.5;
  c.num_nextn_predict_layers = 1;
  c.max_position_embeddings = 512;
  c.rope.dim = c.qk_rope_head_dim;
  c.rope.yarn = true;
  c.rope.factor = 8;
  c.rope.original_max_position_embeddings = 64;
  c.rope.mscale = c.rope.mscale_all_dim = 1;
  return c;
}

class Hash {
 public:
  Hash() : state_(XXH3_createState()) { XXH3_64bits_reset(state_); }
  ~Hash() { XXH3_freeState(state_); }
  Hash(const Hash&) = delete;
  Hash& operator=(const Hash&) = delete;
  void add(const void* data, size_t bytes) { XXH3_64bits_update(state_, data, bytes); }
  uint64_t value() const { return XXH3_64bits_digest(state_); }

 private:
  XXH3_state_t* state_;
};

uint64_t hash_of(kernels::Ctx& ctx, kernels::Operand operand) {
  constexpr int64_t kRows = 3, kLength = 83, kSteps = 10;
  model::Model m(tiny_config(), operand, true);
  m.init(ctx, 7);
  model::Objective objective(m.config, operand, kRows, kLength, true);
  train::Optimizer optimizer(m, operand == kernels::Operand::kBF16 ? Dtype::kBF16 : Dtype::kF32);
  std::vector<float> grads(static_cast<size_t>(m.table.elements));
  Hash hash;
  const model::Probe probe = [&](const std::string&, const float* data, int64_t rows, int64_t columns) {
    hash.add(data, static_cast<size_t>(rows * columns) * sizeof(float));
  };
  for (int64_t step = 0; step < kSteps; ++step) {
    std::vector<int32_t> tokens;
    for (int64_t i = 0; i < kRows * (kLength + 2); ++i)
      tokens.push_back(
          static_cast<int32_t>(philox(static_cast<uint64_t>(step), static_cast<uint64_t>(i), 2)[0] % 197));
    std::memset(grads.data(), 0, grads.size() * sizeof(float));
    model::ObjectiveArgs args;
    args.input = {tokens.data(), kRows, kLength};
    args.sequences = kRows;
    args.mtp_lambda = 0.3;
    args.balance_alpha = 1e-2;
    args.grads = grads.data();
    args.probe = step == 0 ? &probe : nullptr;  // every activation of the first step
    model::count_targets(args.input, &args.main_targets, &args.mtp_targets);
    const model::ObjectiveResult& r = objective.run(ctx, m, args);
    hash.add(r.token_nll.data(), r.token_nll.size() * sizeof(float));
    hash.add(grads.data(), grads.size() * sizeof(float));
    optimizer.step(ctx, m, grads.data(), {}, 1e-3, step + 1);
    train::update_router_bias(m, r.expert_counts, 1e-3);
  }
  hash.add(m.masters(), static_cast<size_t>(m.table.elements) * sizeof(float));
  return hash.value();
}
}  // namespace

std::string signature(kernels::Ctx& ctx) {
  return fmt::format("f32 {:016x}\nbf16 {:016x}\n", hash_of(ctx, kernels::Operand::kF32),
                     hash_of(ctx, kernels::Operand::kBF16));
}

}  // namespace frugal::eval
