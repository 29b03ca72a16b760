#include "train/validation.h"

#include <algorithm>

#include "data/loader.h"

namespace frugal::train {

Validation validate(kernels::Ctx& ctx, model::Model& model, model::Objective& objective,
                    const data::Rows& validation, double bytes, int64_t rows, double mtp_lambda) {
  const int64_t length = validation.length;
  double nll = 0, mtp_nll = 0;
  int64_t targets = 0, mtp_targets = 0, drafts = 0, accepted = 0;
  for (int64_t first = 0; first < validation.count; first += rows) {
    const data::Batch batch = data::slice_rows(validation, first, rows);
    const model::TokenRows input{batch.tokens.data(), batch.rows, length};
    int64_t n = 0, n_mtp = 0;
    model::count_targets(input, &n, &n_mtp);
    model::ObjectiveArgs args;
    args.input = input;
    args.mtp_lambda = mtp_lambda;
    args.want_best = true;
    const model::ObjectiveResult& r = objective.run(ctx, model, args);
    nll += r.nll;
    mtp_nll += r.mtp_nll;
    targets += n;
    mtp_targets += n_mtp;
    if (r.mtp_best.empty()) continue;
    for (int64_t row = 0; row < batch.rows; ++row) {
      for (int64_t i = 0; i + 1 < length; ++i) {
        if (batch.tokens[static_cast<size_t>(row * (length + 2) + i + 2)] < 0) continue;
        ++drafts;
        accepted += r.mtp_best[static_cast<size_t>(row * length + i)] ==
                    r.best[static_cast<size_t>(row * length + i + 1)];
      }
    }
  }
  Validation v;
  if (targets == 0) return v;
  const double ln2 = 0.69314718055994530942;
  v.nll = nll / static_cast<double>(targets);
  v.bits_per_byte = nll / (bytes * ln2);
  if (mtp_targets > 0) {
    v.mtp_nll = mtp_nll / static_cast<double>(mtp_targets);
    v.mtp_bits_per_byte = v.mtp_nll * static_cast<double>(targets) / (bytes * ln2);
    v.mtp_acceptance = static_cast<double>(accepted) / static_cast<double>(std::max<int64_t>(1, drafts));
  }
  return v;
}

}  // namespace frugal::train
