// What a change of format costs: two models of one vocabulary on the same text.
#pragma once

#include <cstdint>
#include <vector>

#include "model/objective.h"

namespace frugal::eval {

struct Divergence {
  int64_t tokens = 0;               // predicted
  double nll = 0, changed_nll = 0;  // nats per token
  double kl = 0;                    // KL(original || changed), nats per token
  double top1 = 0;                  // share of tokens whose most probable successor is the same
};

// `ids` in rows of at most `length`, each without memory of the one before it. Throws Error for fewer than
// two ids, ids outside the vocabulary, and models of different vocabularies.
Divergence divergence(kernels::Ctx& ctx, model::Model& original, model::Model& changed,
                      const std::vector<int32_t>& ids, int64_t length);

}  // namespace frugal::eval
