#include "eval/divergence.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "base/math64.h"

namespace frugal::eval {

namespace {
// The logits of one row of tokens, [length, vocab].
class Logits {
 public:
  Logits(model::Model& m, int64_t length) : model_(m), objective_(m.config, m.operand, 1, length, false) {}

  const std::vector<float>& of(kernels::Ctx& ctx, const std::vector<int32_t>& row, int64_t length) {
    rows_.clear();
    const model::Probe probe = [&](const std::string& name, const float* data, int64_t n, int64_t columns) {
      if (name == "logits") rows_.insert(rows_.end(), data, data + n * columns);
    };
    model::ObjectiveArgs args;
    args.input = {row.data(), 1, length};
    args.probe = &probe;
    objective_.run(ctx, model_, args);
    return rows_;
  }

 private:
  model::Model& model_;
  model::Objective objective_;
  std::vector<float> rows_;
};

// log of the sum of exponentials, and the first place of the maximum.
std::pair<double, int64_t> log_sum(const float* x, int64_t n) {
  const int64_t best = std::max_element(x, x + n) - x;
  double sum = 0;
  for (int64_t i = 0; i < n; ++i) sum += exp64(static_cast<double>(x[i]) - static_cast<double>(x[best]));
  return {static_cast<double>(x[best]) + log64(sum), best};
}
}  // namespace

Divergence divergence(kernels::Ctx& ctx, model::Model& a, model::Model& b, const std::vector<int32_t>& ids,
                      int64_t length) {
  const int64_t vocab = a.config.vocab_size;
  if (b.config.vocab_size != vocab)
    fail("models", fmt::format("have vocabularies of {} and {}", vocab, b.config.vocab_size),
         "compare a model with a version of itself");
  if (ids.size() < 2) fail("text", "has fewer than two tokens", "give more text");
  for (const int32_t id : ids)
    if (id < 0 || id >= vocab)
      fail("text", fmt::format("holds token {}, the vocabulary has {}", id, vocab),
           "use the model's own tokenizer");
  Logits of_a(a, length), of_b(b, length);
  Divergence d;
  double same = 0;
  for (size_t first = 0; first + 1 < ids.size(); first += static_cast<size_t>(length)) {
    std::vector<int32_t> row(static_cast<size_t>(length + 2), -1);
    const size_t n = std::min(static_cast<size_t>(length), ids.size() - 1 - first);
    std::copy_n(ids.begin() + static_cast<std::ptrdiff_t>(first), n + 1, row.begin());
    const std::vector<float>&x = of_a.of(ctx, row, length), &y = of_b.of(ctx, row, length);
    for (size_t t = 0; t < n; ++t) {
      const float *p = x.data() + static_cast<int64_t>(t) * vocab,
                  *q = y.data() + static_cast<int64_t>(t) * vocab;
      const auto [sum_p, best_p] = log_sum(p, vocab);
      const auto [sum_q, best_q] = log_sum(q, vocab);
      double kl = 0;
      for (int64_t i = 0; i < vocab; ++i) {
        const double lp = static_cast<double>(p[i]) - sum_p, lq = static_cast<double>(q[i]) - sum_q;
        kl += exp64(lp) * (lp - lq);
      }
      const size_t target = static_cast<size_t>(row[t + 1]);
      d.nll += sum_p - static_cast<double>(p[target]);
      d.changed_nll += sum_q - static_cast<double>(q[target]);
      d.kl += kl;
      same += best_p == best_q;
      ++d.tokens;
    }
  }
  const double n = static_cast<double>(d.tokens);
  d.nll /= n;
  d.changed_nll /= n;
  d.kl /= n;
  d.top1 = same / n;
  return d;
}

}  // namespace frugal::eval
