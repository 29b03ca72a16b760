#include "infer/sampler.h"

#include <algorithm>
#include <bit>
#include <cmath>

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

// Probabilities are not negative, so their bits order them; what is not a number comes first.
uint32_t bits_of(float p) { return std::bit_cast<uint32_t>(p) & 0x7fffffffu; }

// An id with its probability: the larger, the more probable, the lower id on ties.
struct Candidate {
  uint64_t key;
  Candidate(float p, size_t id)
      : key(uint64_t{bits_of(p)} << 32 | (0xffffffffu - static_cast<uint32_t>(id))) {}
  int32_t id() const { return static_cast<int32_t>(0xffffffffu - static_cast<uint32_t>(key)); }
  double p() const { return static_cast<double>(std::bit_cast<float>(static_cast<uint32_t>(key >> 32))); }
};

// Ids that may be drawn, most probable first. Only those that may be needed are sorted: probabilities are
// summed by their leading bits, which says how small these are.
std::vector<Candidate> candidates(const std::vector<float>& p, const SamplingParams& params) {
  constexpr int kShift = 20;  // eight bits of exponent, three of mantissa are left
  struct Bucket {
    int64_t ids = 0;
    double sum = 0;
  };
  std::vector<Bucket> buckets(size_t{1} << (31 - kShift));
  uint32_t most = 0;
  double total = 0, sum = 0;
  for (const float x : p) {
    Bucket& b = buckets[bits_of(x) >> kShift];
    ++b.ids;
    b.sum += static_cast<double>(x);
    most = std::max(most, bits_of(x));
  }
  for (const Bucket& b : buckets) total += b.sum;
  const float floor = params.min_p * std::bit_cast<float>(most);
  // Sums in another order differ in their last digits.
  const double enough = params.top_p < 1 ? static_cast<double>(params.top_p) * total * (1 + 1e-9) : HUGE_VAL;
  size_t least = buckets.size();
  int64_t ids = 0;
  const auto more = [&] {
    if (params.top_k > 0) return ids < params.top_k;  // all of these count for top_p
    return least > bits_of(floor) >> kShift && sum < enough;
  };
  while (least > 0 && (ids == 0 || more())) {
    --least;
    ids += buckets[least].ids;
    sum += buckets[least].sum;
  }
  std::vector<Candidate> kept;
  kept.reserve(static_cast<size_t>(ids));
  for (size_t id = 0; id < p.size(); ++id)
    if (bits_of(p[id]) >> kShift >= least) kept.emplace_back(p[id], id);
  std::sort(kept.begin(), kept.end(), [](Candidate a, Candidate b) { return a.key > b.key; });
  if (params.top_k > 0) {
    if (params.top_k < static_cast<int64_t>(kept.size())) kept.erase(kept.begin() + params.top_k, kept.end());
    total = 0;
    for (const Candidate c : kept) total += c.p();
  }
  sum = 0;
  size_t n = 0;
  for (; n < kept.size(); ++n) {
    if (n > 0 && (kept[n].p() < static_cast<double>(floor) ||
                  (params.top_p < 1 && sum >= static_cast<double>(params.top_p) * total)))
      break;
    sum += kept[n].p();
  }
  kept.erase(kept.begin() + static_cast<int64_t>(n), kept.end());
  return kept;
}

int32_t draw(const std::vector<float>& p, const SamplingParams& params, double u) {
  double total = 0, sum = 0;
  if (params.top_k > 0 || params.top_p < 1 || params.min_p > 0) {
    const std::vector<Candidate> ids = candidates(p, params);
    for (const Candidate c : ids) total += c.p();
    for (const Candidate c : ids) {
      sum += c.p();
      if (u * total < sum) return c.id();
    }
    return ids.back().id();
  }
  for (const float x : p) total += static_cast<double>(x);
  for (size_t id = 0; id < p.size(); ++id) {
    sum += static_cast<double>(p[id]);
    if (u * total < sum) return static_cast<int32_t>(id);
  }
  return static_cast<int32_t>(p.size() - 1);
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
