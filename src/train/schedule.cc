#include "train/schedule.h"

#include "base/math64.h"

namespace frugal::train {

namespace {
double progress(const Recipe& r, int64_t step) {
  return static_cast<double>(step) / static_cast<double>(r.steps);
}
}  // namespace

double learning_rate_at(const Recipe& r, int64_t step) {
  if (step < r.warmup_steps)
    return r.learning_rate * static_cast<double>(step + 1) / static_cast<double>(r.warmup_steps);
  const double p = progress(r, step);
  if (p >= r.tail_from) return r.learning_rate * r.tail_learning_rate_ratio;
  if (p >= r.cosine_until) return r.learning_rate * r.min_learning_rate_ratio;
  if (p < r.constant_until) return r.learning_rate;
  const double x = (p - r.constant_until) / (r.cosine_until - r.constant_until);
  return r.learning_rate *
         (r.min_learning_rate_ratio + (1.0 - r.min_learning_rate_ratio) * 0.5 * (1.0 + cos64(kPi * x)));
}

double mtp_lambda_at(const Recipe& r, int64_t step) {
  if (r.model.num_nextn_predict_layers == 0) return 0;
  return progress(r, step) < r.mtp_lambda_switch ? r.mtp_lambda : r.mtp_lambda_late;
}

double bias_update_speed_at(const Recipe& r, int64_t step) {
  return progress(r, step) < r.bias_update_until ? r.bias_update_speed : 0.0;
}

}  // namespace frugal::train
