#include "eval/w8a8_reference.h"

#include "base/dtype.h"
#include "base/error.h"
#include "kernels/quant.h"
#include "kernels/reference.h"

namespace frugal::eval {

namespace ref = kernels::reference;
using Row = ref::Row<double>;
using kernels::kQuantBlock;
using kernels::quant_blocks;

namespace {
class Forward {
 public:
  Forward(kernels::Ctx& ctx, const model::ModelConfig& config, const model::CheckpointFiles& files,
          bool ue8m0)
      : ctx_(ctx),
        c_(config),
        files_(files),
        ue8m0_(ue8m0),
        table_(model::build_param_table(config, &weights_)) {}

  // Logits of one sequence; its router choices are appended.
  Row run(const int32_t* tokens, int64_t n, std::map<int64_t, std::vector<int32_t>>* indices) {
    n_ = n;
    const Row embedding = values("model.embed_tokens.weight");
    Row x;
    for (int64_t t = 0; t < n; ++t) {
      const auto row = embedding.begin() + tokens[t] * c_.hidden_size;
      x.insert(x.end(), row, row + c_.hidden_size);
    }
    for (int64_t l = 0; l < c_.num_hidden_layers; ++l) {
      const std::string at = fmt::format("model.layers.{}.", l);
      add(attention(at + "self_attn.", norm(at + "input_layernorm.weight", x, c_.rms_norm_eps)), &x);
      const Row h = norm(at + "post_attention_layernorm.weight", x, c_.rms_norm_eps);
      add(c_.is_moe_layer(l) ? experts(at + "mlp.", h, &(*indices)[l]) : mlp(at + "mlp.", h), &x);
    }
    const std::string head = c_.tie_word_embeddings ? "model.embed_tokens.weight" : "lm_head.weight";
    return wide_product(head, norm("model.norm.weight", x, c_.rms_norm_eps));
  }

 private:
  const Shape& shape(const std::string& name) const {
    const model::Param* p = table_.find(name);
    FRUGAL_ASSERT(p != nullptr, "{} is not in the table", name);
    return p->shape;
  }
  Row values(const std::string& name) const {
    const std::vector<float> v = model::read_parameter(files_, c_, name, shape(name));
    return {v.begin(), v.end()};
  }
  static void add(const Row& y, Row* x) {
    for (size_t i = 0; i < y.size(); ++i) (*x)[i] += y[i];
  }
  static Row slice(const Row& x, int64_t first, int64_t n) {
    return {x.begin() + first, x.begin() + first + n};
  }

  // x [rows, n] with n from the weight.
  Row norm(const std::string& name, const Row& x, double eps) const {
    const Row w = values(name);
    Row y;
    for (size_t at = 0; at < x.size(); at += w.size()) {
      const Row row =
          ref::rmsnorm(slice(x, static_cast<int64_t>(at), static_cast<int64_t>(w.size())), w, eps);
      y.insert(y.end(), row.begin(), row.end());
    }
    return y;
  }
  // Router and head: not quantised.
  Row wide_product(const std::string& name, const Row& x) const {
    const Row w = values(name);
    const int64_t out = shape(name)[0], in = shape(name)[1];
    Row y;
    for (int64_t t = 0; t < static_cast<int64_t>(x.size()) / in; ++t)
      for (int64_t o = 0; o < out; ++o) y.push_back(ref::dot(x.data() + t * in, w.data() + o * in, in));
    return y;
  }
  Row product(const std::string& name, const Row& x) {
    const Tensor* w = files_.find(name);
    const Tensor* w_scale = files_.find(name + "_scale_inv");
    if (w == nullptr || w_scale == nullptr || w->dtype != Dtype::kF8E4M3)
      fail("model", name + " is not an F8_E4M3 matrix with scales", "this check is for FP8 checkpoints");
    (void)values(name);  // checks both shapes
    const int64_t out = w->shape[0], in = w->shape[1], rows = static_cast<int64_t>(x.size()) / in,
                  blocks = quant_blocks(in);
    const std::vector<float> x32(x.begin(), x.end()), s_b = to_f32(*w_scale);
    std::vector<uint8_t> q(x.size());
    std::vector<float> s_a(static_cast<size_t>(rows * blocks));
    kernels::quantise_activations(ctx_, x32.data(), in, rows, in, ue8m0_, q.data(), s_a.data());
    const uint8_t* bytes = w->as<uint8_t>();
    Row y(static_cast<size_t>(rows * out), 0.0);
    for (int64_t t = 0; t < rows; ++t) {
      for (int64_t o = 0; o < out; ++o) {
        for (int64_t b = 0; b < blocks; ++b) {
          double sum = 0;
          for (int64_t k = b * kQuantBlock; k < std::min(in, (b + 1) * kQuantBlock); ++k)
            sum += static_cast<double>(f32_from_e4m3(q[static_cast<size_t>(t * in + k)])) *
                   static_cast<double>(f32_from_e4m3(bytes[o * in + k]));
          y[static_cast<size_t>(t * out + o)] +=
              sum * static_cast<double>(s_a[static_cast<size_t>(t * blocks + b)]) *
              static_cast<double>(s_b[static_cast<size_t>(o / kQuantBlock * blocks + b)]);
        }
      }
    }
    return y;
  }

  Row attention(const std::string& at, const Row& h) {
    const int64_t heads = c_.num_attention_heads, nope = c_.qk_nope_head_dim, rope = c_.qk_rope_head_dim;
    const int64_t qk = nope + rope, v_dim = c_.v_head_dim, lora = c_.kv_lora_rank;
    const double eps = static_cast<double>(model::kLoraNormEps);
    Row q = c_.q_lora_rank == 0
                ? product(at + "q_proj.weight", h)
                : product(at + "q_b_proj.weight",
                          norm(at + "q_a_layernorm.weight", product(at + "q_a_proj.weight", h), eps));
    const Row kv_a = product(at + "kv_a_proj_with_mqa.weight", h);
    Row latent, k_pe;
    for (int64_t t = 0; t < n_; ++t) {
      const Row a = slice(kv_a, t * (lora + rope), lora), b = slice(kv_a, t * (lora + rope) + lora, rope);
      latent.insert(latent.end(), a.begin(), a.end());
      k_pe.insert(k_pe.end(), b.begin(), b.end());
    }
    const Row kv = product(at + "kv_b_proj.weight", norm(at + "kv_a_layernorm.weight", latent, eps));
    const std::vector<double> inv_freq = kernels::rope_inv_freq(c_.rope);
    const double factor = kernels::rope_cos_sin_factor(c_.rope);
    for (int64_t t = 0; t < n_; ++t) {
      ref::rope(inv_freq, factor, t, 1, k_pe.data() + t * rope);
      for (int64_t i = 0; i < heads; ++i)
        ref::rope(inv_freq, factor, t, 1, q.data() + (t * heads + i) * qk + nope);
    }
    Row joined(static_cast<size_t>(n_ * heads * v_dim));
    for (int64_t i = 0; i < heads; ++i) {
      Row qi, ki, vi;
      for (int64_t t = 0; t < n_; ++t) {
        const auto append = [](Row* to, const Row& from, int64_t first, int64_t n) {
          to->insert(to->end(), from.begin() + first, from.begin() + first + n);
        };
        append(&qi, q, (t * heads + i) * qk, qk);
        append(&ki, kv, (t * heads + i) * (nope + v_dim), nope);
        append(&ki, k_pe, t * rope, rope);
        append(&vi, kv, (t * heads + i) * (nope + v_dim) + nope, v_dim);
      }
      const Row out = ref::attention(qi, ki, vi, n_, kernels::attention_softmax_scale(c_.rope, qk)).out;
      for (int64_t t = 0; t < n_; ++t)
        std::copy_n(out.begin() + t * v_dim, v_dim, joined.begin() + (t * heads + i) * v_dim);
    }
    return product(at + "o_proj.weight", joined);
  }

  Row mlp(const std::string& at, const Row& h) {
    return product(at + "down_proj.weight",
                   ref::swiglu(product(at + "gate_proj.weight", h), product(at + "up_proj.weight", h)));
  }

  Row experts(const std::string& at, const Row& h, std::vector<int32_t>* indices) {
    const kernels::RouteConfig route = c_.route();
    const Row logits = wide_product(at + "gate.weight", h);
    const Row bias = c_.has_correction_bias() ? values(at + "gate.e_score_correction_bias") : Row{};
    Row out = c_.n_shared_experts > 0 ? mlp(at + "shared_experts.", h) : Row(h.size(), 0.0);
    for (int64_t t = 0; t < n_; ++t) {
      const Row scores =
          ref::route_scores(route, slice(logits, t * c_.n_routed_experts, c_.n_routed_experts));
      const std::vector<int32_t> chosen = ref::route_choice(route, scores, bias);
      const Row weight = ref::route_weights(route, scores, chosen);
      const Row token = slice(h, t * c_.hidden_size, c_.hidden_size);
      for (size_t k = 0; k < chosen.size(); ++k) {
        const Row y = mlp(fmt::format("{}experts.{}.", at, chosen[k]), token);
        for (size_t i = 0; i < y.size(); ++i)
          out[static_cast<size_t>(t * c_.hidden_size) + i] += weight[k] * y[i];
      }
      indices->insert(indices->end(), chosen.begin(), chosen.end());
    }
    return out;
  }

  kernels::Ctx& ctx_;
  const model::ModelConfig& c_;
  const model::CheckpointFiles& files_;
  bool ue8m0_;
  model::Weights weights_;
  model::ParamTable table_;
  int64_t n_ = 0;  // tokens of the sequence
};
}  // namespace

W8a8Result w8a8_forward(kernels::Ctx& ctx, const model::ModelConfig& config,
                        const model::CheckpointFiles& files, const model::TokenRows& input, bool ue8m0) {
  Forward forward(ctx, config, files, ue8m0);
  W8a8Result result;
  for (int64_t row = 0; row < input.rows; ++row) {
    const Row logits = forward.run(input.tokens + row * (input.length + 2), input.length, &result.indices);
    result.logits.insert(result.logits.end(), logits.begin(), logits.end());
  }
  return result;
}

}  // namespace frugal::eval
