#include "model/objective.h"

#include <algorithm>

namespace frugal::model {

namespace {
// Column `shift` of every row's tokens: 0 the inputs, 1 and 2 the targets.
int32_t shifted(const TokenRows& in, int64_t i, int64_t shift) {
  return in.tokens[i / in.length * (in.length + 2) + i % in.length + shift];
}
// A target counts only where its input is a token: of the main head, and of MTP.
int32_t main_target(const TokenRows& in, int64_t i) { return shifted(in, i, 0) < 0 ? -1 : shifted(in, i, 1); }
int32_t mtp_target(const TokenRows& in, int64_t i) {
  return shifted(in, i, 0) < 0 || shifted(in, i, 1) < 0 ? -1 : shifted(in, i, 2);
}
// Fills *batch with column `shift`; no token is read as token 0.
void fill_batch(const TokenRows& in, int64_t shift, kernels::List<int32_t>* row, TokenBatch* batch) {
  batch->clear();
  for (int64_t r = 0; r < in.rows; ++r) {
    row->clear();
    for (int64_t i = 0; i < in.length; ++i)
      row->push_back(std::max(shifted(in, r * in.length + i, shift), 0));
    batch->add(row->data(), in.length, 0);
  }
}
void count_experts(const LayerSaved& s, std::vector<int64_t>* counts) {
  for (size_t e = 0; e < counts->size(); ++e) (*counts)[e] = s.offsets[e + 1] - s.offsets[e];
}
}  // namespace

void count_targets(const TokenRows& in, int64_t* main_targets, int64_t* mtp_targets) {
  *main_targets = *mtp_targets = 0;
  for (int64_t i = 0; i < in.rows * in.length; ++i) {
    *main_targets += main_target(in, i) >= 0;
    *mtp_targets += mtp_target(in, i) >= 0;
  }
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

const ObjectiveResult& Objective::run(kernels::Ctx& ctx, Model& m, const ObjectiveArgs& a) {
  const int64_t T = a.input.rows * a.input.length, hidden = m.config.hidden_size;
  const bool train = a.grads != nullptr;
  const bool mtp = a.mtp_lambda != 0 && m.config.num_nextn_predict_layers > 0;
  arena_.rewind(0);
  ObjectiveResult& result = result_;
  result.nll = result.mtp_nll = result.balance = 0;
  result.best.clear();
  result.mtp_best.clear();
  auto row = ctx.list<int32_t>(), targets = ctx.list<int32_t>(T), mtp_targets = ctx.list<int32_t>(T);
  for (int64_t i = 0; i < T; ++i) {
    targets[static_cast<size_t>(i)] = main_target(a.input, i);
    mtp_targets[static_cast<size_t>(i)] = mtp_target(a.input, i);
  }
  size_t counted_layers = mtp && m.weights.mtp[0].block.moe ? 1 : 0;
  for (const LayerWeights& w : m.weights.layers) counted_layers += train && w.moe ? 1 : 0;
  result.expert_counts.resize(counted_layers);
  for (auto& counts : result.expert_counts) counts.resize(static_cast<size_t>(m.config.n_routed_experts));
  const BalanceContext balance{{train ? a.balance_alpha : 0.0, a.input.length, a.sequences}};

  // forward
  fill_batch(a.input, 0, &row, &batch_);
  const ForwardArgs args{batch_, arena_, nullptr, train ? &saved_ : nullptr, a.probe};
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
    fill_batch(a.input, 1, &row, &next_batch_);
    const ForwardArgs mtp_args{next_batch_, arena_, nullptr, nullptr, a.probe};
    const int64_t mark = arena_.used();
    const MtpSaved s = mtp_forward(ctx, m, mtp_args, h);
    auto nll = ctx.list<float>(T);
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
    if (m.weights.mtp[0].block.moe) count_experts(s.layer, &result.expert_counts.back());
    arena_.rewind(mark);
  }

  // trunk backward
  if (train) {
    result.balance += backward(ctx, m, args, x_last, r, balance, dh, a.grads);
    size_t counted = 0;
    for (size_t l = 0; l < saved_.size(); ++l)
      if (m.weights.layers[l].moe) count_experts(saved_[l], &result.expert_counts[counted++]);
  }
  return result;
}

}  // namespace frugal::model
