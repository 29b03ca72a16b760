#include "model/objective.h"

#include <algorithm>

namespace frugal::model {

namespace {
// Column `shift` of every row's tokens: 0 the inputs, 1 and 2 the targets.
std::vector<int32_t> shifted(const TokenRows& in, int64_t shift) {
  std::vector<int32_t> out;
  out.reserve(static_cast<size_t>(in.rows * in.length));
  for (int64_t r = 0; r < in.rows; ++r)
    for (int64_t i = 0; i < in.length; ++i) out.push_back(in.tokens[r * (in.length + 2) + i + shift]);
  return out;
}
TokenBatch batch_of(const TokenRows& in, std::vector<int32_t> tokens) {
  for (int32_t& t : tokens) t = std::max(t, 0);
  TokenBatch batch;
  for (int64_t r = 0; r < in.rows; ++r) batch.add(tokens.data() + r * in.length, in.length, 0);
  return batch;
}
// A target counts only where its input is a token.
void mask(const std::vector<int32_t>& inputs, std::vector<int32_t>* targets) {
  for (size_t i = 0; i < inputs.size(); ++i)
    if (inputs[i] < 0) (*targets)[i] = -1;
}
std::vector<int64_t> counts_of(const LayerSaved& s, int64_t experts) {
  std::vector<int64_t> counts;
  for (int64_t e = 0; e < experts; ++e) counts.push_back(s.offsets[e + 1] - s.offsets[e]);
  return counts;
}
}  // namespace

void count_targets(const TokenRows& in, int64_t* main_targets, int64_t* mtp_targets) {
  const auto inputs = shifted(in, 0), next = shifted(in, 1);
  auto main = next, second = shifted(in, 2);
  mask(inputs, &main);
  mask(next, &second);
  mask(inputs, &second);
  *main_targets = std::count_if(main.begin(), main.end(), [](int32_t t) { return t >= 0; });
  *mtp_targets = std::count_if(second.begin(), second.end(), [](int32_t t) { return t >= 0; });
}

int64_t Objective::memory_bytes(const ModelConfig& c, kernels::Operand operand, int64_t rows, int64_t length,
                                bool gradients) {
  const int64_t T = rows * length;
  // Without gradients a layer's values are temporary and f32; the MTP module does not make that difference.
  const kernels::Operand trunk = gradients ? operand : kernels::Operand::kF32;
  int64_t bytes = 0;
  for (int64_t l = 0; l < c.num_hidden_layers; ++l) {
    const int64_t layer = saved_bytes(c, c.is_moe_layer(l), T, trunk);
    bytes = gradients ? bytes + layer : std::max(bytes, layer);
  }
  if (c.num_nextn_predict_layers > 0) bytes += mtp_saved_bytes(c, T, operand);
  bytes += T * (6 * c.hidden_size + 4) * 4 + 64 * 32;
  bytes += std::max({forward_scratch_bytes(c, T, rows, operand), head_loss_scratch_bytes(c),
                     gradients ? backward_scratch_bytes(c, T, operand) : 0});
  return bytes;
}

Objective::Objective(const ModelConfig& config, kernels::Operand operand, int64_t rows, int64_t length,
                     bool gradients)
    : arena_(memory_bytes(config, operand, rows, length, gradients)) {}

ObjectiveResult Objective::run(kernels::Ctx& ctx, Model& m, const ObjectiveArgs& a) {
  const int64_t T = a.input.rows * a.input.length, hidden = m.config.hidden_size;
  const bool train = a.grads != nullptr;
  const bool mtp = a.mtp_lambda != 0 && m.config.num_nextn_predict_layers > 0;
  arena_.rewind(0);
  ObjectiveResult result;
  const std::vector<int32_t> inputs = shifted(a.input, 0), next = shifted(a.input, 1);
  std::vector<int32_t> targets = next, mtp_targets = shifted(a.input, 2);
  mask(inputs, &targets);
  mask(next, &mtp_targets);
  mask(inputs, &mtp_targets);
  const BalanceContext balance{{train ? a.balance_alpha : 0.0, a.input.length, a.sequences}};

  // forward
  const TokenBatch batch = batch_of(a.input, inputs);
  std::vector<LayerSaved> saved;
  const ForwardArgs args{batch, arena_, nullptr, train ? &saved : nullptr, a.probe};
  float* x_last = arena_.alloc<float>(T * hidden);
  float* h = arena_.alloc<float>(T * hidden);
  float* r = arena_.alloc<float>(T);
  float* dh = train ? arena_.alloc<float>(T * hidden) : nullptr;
  forward(ctx, m, args, x_last, h, r);

  // main head
  result.token_nll.resize(static_cast<size_t>(T));
  if (a.want_best) result.best.resize(static_cast<size_t>(T));
  const auto scale = [train](double weight, int64_t n) {
    return train && n > 0 ? static_cast<float>(weight / static_cast<double>(n)) : 0.0f;
  };
  head_loss(ctx, m,
            {h, targets.data(), T, scale(1.0, a.main_targets), dh, a.grads, result.token_nll.data(),
             a.want_best ? result.best.data() : nullptr, a.probe},
            &arena_);
  result.nll = sum_nll(result.token_nll.data(), T);

  // MTP, forward and backward
  if (mtp) {
    const TokenBatch next_batch = batch_of(a.input, next);
    const ForwardArgs mtp_args{next_batch, arena_, nullptr, nullptr, a.probe};
    const int64_t mark = arena_.used();
    const MtpSaved s = mtp_forward(ctx, m, mtp_args, h);
    std::vector<float> nll(static_cast<size_t>(T));
    if (a.want_best) result.mtp_best.resize(static_cast<size_t>(T));
    float* dout = train ? arena_.alloc<float>(T * hidden) : nullptr;
    Probe mtp_logits;
    if (a.probe)
      mtp_logits = [&](const std::string&, const float* d, int64_t n, int64_t v) {
        (*a.probe)("mtp.logits", d, n, v);
      };
    head_loss(ctx, m,
              {s.out, mtp_targets.data(), T, scale(a.mtp_lambda, a.mtp_targets), dout, a.grads, nll.data(),
               a.want_best ? result.mtp_best.data() : nullptr, a.probe ? &mtp_logits : nullptr},
              &arena_);
    result.mtp_nll = sum_nll(nll.data(), T);
    if (train) result.balance += mtp_backward(ctx, m, mtp_args, s, h, balance, dout, dh, a.grads);
    if (m.weights.mtp[0].block.moe)
      result.expert_counts.push_back(counts_of(s.layer, m.config.n_routed_experts));
    arena_.rewind(mark);
  }

  // trunk backward
  if (train) {
    result.balance += backward(ctx, m, args, x_last, r, balance, dh, a.grads);
    std::vector<std::vector<int64_t>> trunk;
    for (size_t l = 0; l < saved.size(); ++l)
      if (m.weights.layers[l].moe) trunk.push_back(counts_of(saved[l], m.config.n_routed_experts));
    result.expert_counts.insert(result.expert_counts.begin(), trunk.begin(), trunk.end());
  }
  return result;
}

}  // namespace frugal::model
