#include "kernels/rope.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "base/math64.h"

namespace frugal::kernels {

namespace {
double mscale_of(const RopeConfig& c, double s) { return 0.1 * s * log64(c.factor) + 1.0; }
}  // namespace

std::vector<double> rope_inv_freq(const RopeConfig& c) {
  const int64_t pairs = c.dim / 2;
  const double dim = static_cast<double>(c.dim), log_theta = log64(c.theta);
  std::vector<double> f(static_cast<size_t>(pairs));
  for (int64_t i = 0; i < pairs; ++i)
    f[static_cast<size_t>(i)] = exp64(-(2.0 * static_cast<double>(i) / dim) * log_theta);
  if (!c.yarn) return f;
  // The pair that turns `rotations` times over the original context.
  const auto correction = [&](double rotations) {
    return dim * log64(c.original_max_position_embeddings / (rotations * 2.0 * kPi)) / (2.0 * log_theta);
  };
  const double low = std::max(std::floor(correction(c.beta_fast)), 0.0);
  double high = std::min(std::ceil(correction(c.beta_slow)), dim - 1.0);
  if (low == high) high += 0.001;
  for (int64_t i = 0; i < pairs; ++i) {
    const double ramp = std::clamp((static_cast<double>(i) - low) / (high - low), 0.0, 1.0);
    double& v = f[static_cast<size_t>(i)];
    v = (v / c.factor) * ramp + v * (1.0 - ramp);
  }
  return f;
}

double rope_cos_sin_factor(const RopeConfig& c) {
  if (!c.yarn) return 1.0;
  return mscale_of(c, c.mscale) / mscale_of(c, c.mscale_all_dim);
}

double attention_softmax_scale(const RopeConfig& c, int64_t qk_head_dim) {
  const double base = 1.0 / std::sqrt(static_cast<double>(qk_head_dim));
  if (!c.yarn || c.mscale_all_dim == 0) return base;
  const double m = mscale_of(c, c.mscale_all_dim);
  return base * m * m;
}

RopeTable::RopeTable(const RopeConfig& config)
    : inv_freq_(rope_inv_freq(config)), factor_(rope_cos_sin_factor(config)) {}

void RopeTable::extend(int64_t positions) {
  if (positions <= positions_) return;
  const size_t n = static_cast<size_t>(positions * pairs());
  cos_.resize(n);
  sin_.resize(n);
  for (int64_t p = positions_; p < positions; ++p) {
    for (int64_t i = 0; i < pairs(); ++i) {
      const double angle = static_cast<double>(p) * inv_freq_[static_cast<size_t>(i)];
      cos_[static_cast<size_t>(p * pairs() + i)] = static_cast<float>(cos64(angle) * factor_);
      sin_[static_cast<size_t>(p * pairs() + i)] = static_cast<float>(sin64(angle) * factor_);
    }
  }
  positions_ = positions;
}

void rope(Ctx& ctx, const RopeTable& table, const int32_t* positions, int64_t tokens, int64_t heads, float* x,
          int64_t token_stride, int64_t head_stride, float sign) {
  const ProfileScope timed(ctx.profile, "rope");
  ctx.pool.parallel_for(tokens, [&](int64_t begin, int64_t end, int) {
    for (int64_t t = begin; t < end; ++t) {
      FRUGAL_ASSERT(positions[t] < table.positions(), "position {} of a table of {}", positions[t],
                    table.positions());
      for (int64_t h = 0; h < heads; ++h) {
        float* v = x + t * token_stride + h * head_stride;
        ctx.level.rope(v, table.cos(positions[t]), table.sin(positions[t]), sign, table.pairs(), v);
      }
    }
  });
}

}  // namespace frugal::kernels
