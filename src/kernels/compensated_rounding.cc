#include "kernels/compensated_rounding.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <numeric>

#include "kernels/level.h"

namespace frugal::kernels {

namespace {
constexpr double kDamping = 0.01;  // of the mean square, as in GPTQ
constexpr int kScales = 9;         // tried for few bits: from the largest weight's down in steps of 5 %

// a [n, n] symmetric and positive -> its lower Cholesky factor in place.
void cholesky(std::vector<double>* a, int64_t n) {
  const auto at = [&](int64_t i, int64_t j) -> double& { return (*a)[static_cast<size_t>(i * n + j)]; };
  for (int64_t j = 0; j < n; ++j) {
    for (int64_t k = 0; k < j; ++k)
      for (int64_t i = j; i < n; ++i) at(i, j) -= at(i, k) * at(j, k);
    const double root = std::sqrt(at(j, j));
    for (int64_t i = j; i < n; ++i) at(i, j) /= root;
  }
}
// The inverse of a lower triangle, in place.
void invert_lower(std::vector<double>* a, int64_t n) {
  const auto at = [&](int64_t i, int64_t j) -> double& { return (*a)[static_cast<size_t>(i * n + j)]; };
  for (int64_t j = 0; j < n; ++j) {
    at(j, j) = 1 / at(j, j);
    for (int64_t i = j + 1; i < n; ++i) {
      double sum = 0;
      for (int64_t k = j; k < i; ++k) sum += at(i, k) * at(k, j);
      at(i, j) = -sum / at(i, i);
    }
  }
}

float rounded(float x, float limit) {
  constexpr float kRounding = 12582912.0f;  // 1.5 * 2^23: the sum's low bits are the nearest integer
  return std::clamp(x + kRounding - kRounding, -limit, limit);
}
// The scale of those tried that loses least.
float best_scale(const GroupMoments& m, const float* w, float limit) {
  float amax = 0;
  for (int64_t i = 0; i < m.n; ++i) amax = std::max(amax, std::fabs(w[i]));
  const float widest = amax / limit;
  if (widest < std::numeric_limits<float>::min()) return 1;
  float best = widest, least = std::numeric_limits<float>::infinity();
  for (int c = 0; c < (limit < 16 ? kScales : 1); ++c) {
    const float s = widest * (1.0f - 0.05f * static_cast<float>(c));
    float loss = 0;
    for (int64_t i = 0; i < m.n; ++i) {
      const float d = w[i] - s * rounded(w[i] / s, limit);
      loss += m.weight[static_cast<size_t>(i)] * (d * d);
    }
    if (loss < least) {
      least = loss;
      best = s;
    }
  }
  return best;
}
}  // namespace

// With the order turned round, H = L L^T gives H^-1 = (L^-1)^T L^-1, whose right factor is lower; turned back it is
// the upper U.
GroupMoments group_moments(const float* moments, int64_t n) {
  GroupMoments m;
  double mean = 0;
  for (int64_t i = 0; i < n; ++i) mean += static_cast<double>(moments[i * n + i]) / static_cast<double>(n);
  if (!(mean > 0) || !std::isfinite(mean)) return m;
  m.n = n;
  m.order.resize(static_cast<size_t>(n));
  std::iota(m.order.begin(), m.order.end(), 0);
  std::stable_sort(m.order.begin(), m.order.end(),
                   [&](int32_t a, int32_t b) { return moments[a * n + a] > moments[b * n + b]; });
  std::vector<double> h(static_cast<size_t>(n * n));
  for (int64_t i = 0; i < n; ++i) {
    const int64_t from = m.order[static_cast<size_t>(n - 1 - i)];
    for (int64_t j = 0; j < n; ++j)
      h[static_cast<size_t>(i * n + j)] =
          static_cast<double>(moments[from * n + m.order[static_cast<size_t>(n - 1 - j)]]);
    h[static_cast<size_t>(i * n + i)] += kDamping * mean;
  }
  for (int64_t i = 0; i < n; ++i)
    m.weight.push_back(static_cast<float>(h[static_cast<size_t>((n - 1 - i) * (n + 1))] / mean));
  cholesky(&h, n);
  invert_lower(&h, n);
  m.factor.assign(static_cast<size_t>(n * n), 0.0f);
  for (int64_t i = 0; i < n; ++i)
    for (int64_t j = 0; j <= i; ++j)
      m.factor[static_cast<size_t>((n - 1 - i) * n + (n - 1 - j))] = static_cast<float>(h[static_cast<size_t>(i * n + j)]);
  return m;
}

float round_compensated(const GroupMoments& m, const float* w, float limit, int8_t* q) {
  const int64_t n = m.n;
  std::array<float, kQuantGroup> left;  // what is still to be rounded, in the order
  for (int64_t i = 0; i < n; ++i) left[static_cast<size_t>(i)] = w[m.order[static_cast<size_t>(i)]];
  const float scale = best_scale(m, left.data(), limit);
  for (int64_t i = 0; i < n; ++i) {
    const float* u = m.factor.data() + i * n;
    const float x = left[static_cast<size_t>(i)], r = rounded(x / scale, limit);
    q[m.order[static_cast<size_t>(i)]] = static_cast<int8_t>(r);
    const float error = (x - scale * r) / u[i];
    for (int64_t j = i + 1; j < n; ++j) left[static_cast<size_t>(j)] -= error * u[j];
  }
  return scale;
}

}  // namespace frugal::kernels
