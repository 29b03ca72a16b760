// Rotary position embedding on adjacent pairs, with YaRN (DeepSeek-V3 report section 4.3; config: rope_theta,
// rope_scaling). Frequencies and angles are formed in double with our own functions (base/math64.h).
#pragma once

#include <vector>

#include "kernels/ctx.h"

namespace frugal::kernels {

struct RopeConfig {
  int64_t dim = 0;         // qk_rope_head_dim, even
  double theta = 10000.0;  // rope_theta
  bool yarn = false;       // rope_scaling.type == "yarn" and factor > 1
  double factor = 1.0;
  double original_max_position_embeddings = 4096;
  double beta_fast = 32, beta_slow = 1;
  double mscale = 1, mscale_all_dim = 0;
};

// Angular frequencies of the dim / 2 pairs.
std::vector<double> rope_inv_freq(const RopeConfig& config);
// cos and sin are multiplied by m(mscale) / m(mscale_all_dim), m(s) = 0.1 s ln(factor) + 1; 1 without YaRN.
double rope_cos_sin_factor(const RopeConfig& config);
// (nope + rope)^-0.5, times m(mscale_all_dim)^2 with YaRN and mscale_all_dim != 0.
double attention_softmax_scale(const RopeConfig& config, int64_t qk_head_dim);

class RopeTable {
 public:
  RopeTable() = default;
  explicit RopeTable(const RopeConfig& config);
  // Makes positions [0, positions) available. Values of earlier positions do not change.
  void extend(int64_t positions);
  int64_t positions() const { return positions_; }
  int64_t pairs() const { return static_cast<int64_t>(inv_freq_.size()); }
  const float* cos(int64_t position) const { return cos_.data() + position * pairs(); }
  const float* sin(int64_t position) const { return sin_.data() + position * pairs(); }

 private:
  std::vector<double> inv_freq_;
  double factor_ = 1;
  int64_t positions_ = 0;
  std::vector<float> cos_, sin_;
};

// Rotates, in place, the pairs at x + t * token_stride + h * head_stride for every token and head;
// sign 1: forward, -1: backward (the transpose).
void rope(Ctx& ctx, const RopeTable& table, const int32_t* positions, int64_t tokens, int64_t heads, float* x,
          int64_t token_stride, int64_t head_stride, float sign);

}  // namespace frugal::kernels
