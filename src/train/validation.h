// The loss on the part of the data that is kept for it.
#pragma once

#include "data/packing.h"
#include "model/objective.h"

namespace frugal::train {

struct Validation {
  double nll = 0, mtp_nll = 0;  // nats per target
  double bits_per_byte = 0, mtp_bits_per_byte = 0;
  double mtp_acceptance = 0;  // share of MTP drafts that equal the main head's own choice one token later
};

// `rows` rows at a time; bytes: of the text that lies in them. All 0 when there is no target.
Validation validate(kernels::Ctx& ctx, model::Model& model, model::Objective& objective,
                    const data::Rows& validation, double bytes, int64_t rows, double mtp_lambda);

}  // namespace frugal::train
