#include "infer/sampler.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/error.h"
#include "base/rng.h"
#include "kernels/loss.h"

namespace frugal::infer {

void check_sampling(const SamplingParams& p) {
  const auto bad = [](const char* field, double value, const char* range) {
    fail(field, fmt::format("{} is out of range", value), std::string("use ") + range);
  };
  if (!(p.temperature >= 0 && p.temperature <= 100))
    bad("temperature", static_cast<double>(p.temperature), "0 .. 100");
  if (p.top_k < 0) bad("top_k", static_cast<double>(p.top_k), "0 (off) or more");
  if (!(p.top_p > 0 && p.top_p <= 1)) bad("top_p", static_cast<double>(p.top_p), "a value in (0, 1]");
  if (!(p.min_p >= 0 && p.min_p < 1)) bad("min_p", static_cast<double>(p.min_p), "a value in [0, 1)");
}

namespace {

// Ids that may be drawn, most probable first (lower id on ties).
std::vector<int32_t> candidates(const std::vector<float>& p, const SamplingParams& params) {
  std::vector<int32_t> ids(p.size());
  std::iota(ids.begin(), ids.end(), 0);
  const auto likelier = [&](int32_t a, int32_t b) {
    const float pa = p[static_cast<size_t>(a)], pb = p[static_cast<size_t>(b)];
    return pa > pb || (pa == pb && a < b);
  };
  std::sort(ids.begin(), ids.end(), likelier);
  if (params.top_k > 0 && params.top_k < static_cast<int64_t>(ids.size()))
    ids.resize(static_cast<size_t>(params.top_k));
  const float floor = params.min_p * p[static_cast<size_t>(ids[0])];
  double total = 0, sum = 0;
  for (int32_t id : ids) total += static_cast<double>(p[static_cast<size_t>(id)]);
  for (size_t i = 0; i < ids.size(); ++i) {
    if (i > 0 &&
        (p[static_cast<size_t>(ids[i])] < floor || sum >= static_cast<double>(params.top_p) * total)) {
      ids.resize(i);
      break;
    }
    sum += static_cast<double>(p[static_cast<size_t>(ids[i])]);
  }
  return ids;
}

int32_t draw(const std::vector<float>& p, const SamplingParams& params, double u) {
  std::vector<int32_t> ids;
  if (params.top_k > 0 || params.top_p < 1 || params.min_p > 0) {
    ids = candidates(p, params);
  } else {
    ids.resize(p.size());
    std::iota(ids.begin(), ids.end(), 0);
  }
  double total = 0, sum = 0;
  for (int32_t id : ids) total += static_cast<double>(p[static_cast<size_t>(id)]);
  for (int32_t id : ids) {
    sum += static_cast<double>(p[static_cast<size_t>(id)]);
    if (u * total < sum) return id;
  }
  return ids.back();
}
}  // namespace

Sampled sample(const kernels::Level& level, const float* logits, int64_t vocab, const SamplingParams& params,
               int64_t position) {
  Sampled s{};
  if (params.temperature == 0) {
    s.token = kernels::argmax(logits, vocab);
  } else {
    std::vector<float> p(static_cast<size_t>(vocab));
    level.scale(1.0f / params.temperature, logits, vocab, p.data());
    level.exp_scaled(p.data(), kernels::log_sum_exp(level, p.data(), vocab), 1.0f, vocab, p.data());
    const uint64_t key = rng_key(params.seed, "sample") ^ rng_key(params.stream, "stream");
    s.token = draw(p, params, rng_uniform(key, static_cast<uint64_t>(position)));
  }
  // Minus the training loss, bit for bit: `logit - lse` would differ from it in the sign of a zero.
  s.logprob = -(kernels::log_sum_exp(level, logits, vocab) - logits[s.token]);
  return s;
}

}  // namespace frugal::infer
