// Naive references: each operation as its equation stands in the papers, one row or one head at a time, over
// float, double and std::complex<double>. No lanes, no blocks, no levels. Tests compare kernels with them:
// values to a tolerance, gradients by the complex step (f(x + ih) has the derivative in its imaginary part,
// without cancellation). Comparisons and maxima look at real parts only; a choice (top-k, group limit) is
// made outside and is constant.
#pragma once

#include <algorithm>
#include <cmath>
#include <complex>
#include <cstdint>
#include <limits>
#include <numeric>
#include <vector>

#include "kernels/route.h"

namespace frugal::kernels::reference {

template <class T>
using Row = std::vector<T>;

template <class T>
double real_part(const T& x) {
  return static_cast<double>(std::real(x));
}
template <class T>
T constant(double x) {
  return static_cast<T>(x);
}

template <class T>
T dot(const T* a, const T* b, int64_t n) {
  T sum{};
  for (int64_t i = 0; i < n; ++i) sum += a[i] * b[i];
  return sum;
}

// y = w x / sqrt(mean(x^2) + eps)
template <class T>
Row<T> rmsnorm(const Row<T>& x, const Row<T>& w, double eps) {
  using std::sqrt;
  const T mean =
      dot(x.data(), x.data(), static_cast<int64_t>(x.size())) / constant<T>(static_cast<double>(x.size()));
  const T rms = sqrt(mean + constant<T>(eps));
  Row<T> y(x.size());
  for (size_t i = 0; i < x.size(); ++i) y[i] = w[i] * x[i] / rms;
  return y;
}

template <class T>
T sigmoid(const T& x) {
  using std::exp;
  return constant<T>(1) / (constant<T>(1) + exp(-x));
}

// y = silu(gate) up
template <class T>
Row<T> swiglu(const Row<T>& gate, const Row<T>& up) {
  Row<T> y(gate.size());
  for (size_t i = 0; i < y.size(); ++i) y[i] = gate[i] * sigmoid(gate[i]) * up[i];
  return y;
}

template <class T>
double largest_real(const Row<T>& x) {
  double m = -std::numeric_limits<double>::infinity();
  for (const T& v : x) m = std::max(m, real_part(v));
  return m;
}

template <class T>
T log_sum_exp(const Row<T>& x) {
  using std::exp;
  using std::log;
  const T m = constant<T>(largest_real(x));
  T sum{};
  for (const T& v : x) sum += exp(v - m);
  return m + log(sum);
}

template <class T>
Row<T> softmax(const Row<T>& x) {
  using std::exp;
  const T lse = log_sum_exp(x);
  Row<T> y(x.size());
  for (size_t i = 0; i < x.size(); ++i) y[i] = exp(x[i] - lse);
  return y;
}

// Negative log-likelihood of `target`.
template <class T>
T cross_entropy(const Row<T>& logits, int32_t target) {
  return log_sum_exp(logits) - logits[static_cast<size_t>(target)];
}

// Rotates the adjacent pairs of x by sign * position * inv_freq, lengths times `factor`.
template <class T>
void rope(const std::vector<double>& inv_freq, double factor, int64_t position, double sign, T* x) {
  for (size_t i = 0; i < inv_freq.size(); ++i) {
    const double angle = static_cast<double>(position) * inv_freq[i];
    const T c = constant<T>(std::cos(angle) * factor), s = constant<T>(sign * std::sin(angle) * factor);
    const T even = x[2 * i], odd = x[2 * i + 1];
    x[2 * i] = even * c - odd * s;
    x[2 * i + 1] = even * s + odd * c;
  }
}

// One head of one sequence: out[t] = softmax(scale q[t] . k[0..t]) v[0..t].
template <class T>
struct Attention {
  Row<T> out;  // [n, value_dim]
  Row<T> lse;  // [n]
};
template <class T>
Attention<T> attention(const Row<T>& q, const Row<T>& k, const Row<T>& v, int64_t n, double scale) {
  using std::exp;
  const int64_t key_dim = static_cast<int64_t>(q.size()) / n, value_dim = static_cast<int64_t>(v.size()) / n;
  Attention<T> a{Row<T>(v.size(), T{}), {}};
  for (int64_t t = 0; t < n; ++t) {
    Row<T> s;
    for (int64_t j = 0; j <= t; ++j)
      s.push_back(dot(q.data() + t * key_dim, k.data() + j * key_dim, key_dim) * constant<T>(scale));
    a.lse.push_back(log_sum_exp(s));
    for (int64_t j = 0; j <= t; ++j) {
      const T p = exp(s[static_cast<size_t>(j)] - a.lse.back());
      for (int64_t d = 0; d < value_dim; ++d)
        a.out[static_cast<size_t>(t * value_dim + d)] += p * v[static_cast<size_t>(j * value_dim + d)];
    }
  }
  return a;
}

template <class T>
Row<T> route_scores(const RouteConfig& c, const Row<T>& logits) {
  if (!c.sigmoid) return softmax(logits);
  Row<T> s;
  for (const T& x : logits) s.push_back(sigmoid(x));
  return s;
}

// The k largest, ascending index; the lower index wins a tie.
inline std::vector<int32_t> largest(const Row<double>& x, int64_t k) {
  std::vector<int32_t> order(x.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](int32_t a, int32_t b) {
    return x[static_cast<size_t>(a)] > x[static_cast<size_t>(b)];
  });
  order.resize(static_cast<size_t>(k));
  std::sort(order.begin(), order.end());
  return order;
}

// Experts of one token by score + bias (bias may be empty), within the best groups.
inline std::vector<int32_t> route_choice(const RouteConfig& c, const Row<double>& scores,
                                         const Row<double>& bias) {
  Row<double> choice = scores, groups;
  for (size_t e = 0; e < bias.size(); ++e) choice[e] += bias[e];
  const int64_t size = c.n_routed_experts / c.n_group;
  for (int64_t g = 0; g < c.n_group; ++g) {
    Row<double> members(choice.begin() + g * size, choice.begin() + (g + 1) * size);
    std::sort(members.begin(), members.end(), std::greater<>());
    groups.push_back(c.group_top2 && size > 1 ? members[0] + members[1] : members[0]);
  }
  const std::vector<int32_t> kept = largest(groups, c.topk_group);
  for (int64_t e = 0; e < c.n_routed_experts; ++e)
    if (!std::binary_search(kept.begin(), kept.end(), static_cast<int32_t>(e / size)))
      choice[static_cast<size_t>(e)] = -std::numeric_limits<double>::infinity();
  return largest(choice, c.num_experts_per_tok);
}

// V3 normalises and scales, V2 normalises or scales (kernels/route.h).
template <class T>
Row<T> route_weights(const RouteConfig& c, const Row<T>& scores, const std::vector<int32_t>& indices) {
  const bool normalise = c.norm_topk_prob && indices.size() > 1;
  T sum = constant<T>(1);
  if (normalise) {
    sum = constant<T>(1e-20);
    for (int32_t e : indices) sum += scores[static_cast<size_t>(e)];
  }
  const double factor = normalise && !c.scale_and_norm ? 1.0 : static_cast<double>(c.routed_scaling_factor);
  Row<T> w;
  for (int32_t e : indices) w.push_back(scores[static_cast<size_t>(e)] / sum * constant<T>(factor));
  return w;
}

// Balance loss of one sequence: alpha sum_e f_e P_e; counts are given and constant.
template <class T>
T balance_loss(const RouteConfig& c, double alpha, const std::vector<Row<T>>& scores,
               const std::vector<int64_t>& counts) {
  const double tokens = static_cast<double>(scores.size()), experts = static_cast<double>(c.n_routed_experts);
  T loss{};
  for (const Row<T>& s : scores) {
    const T sum = std::accumulate(s.begin(), s.end(), T{});
    for (size_t e = 0; e < s.size(); ++e) {
      const double f =
          static_cast<double>(counts[e]) * experts / (static_cast<double>(c.num_experts_per_tok) * tokens);
      loss += constant<T>(alpha * f / tokens) * (s[e] / sum);
    }
  }
  return loss;
}

}  // namespace frugal::kernels::reference
