#include "cost/step_floor.h"

#include <algorithm>

#include "model/flops.h"
#include "model/params.h"
#include "model/saved.h"

namespace frugal::cost {

std::vector<FloorRow> step_floor(const model::ModelConfig& c, kernels::Operand operand, Dtype moments,
                                 int64_t sequences, int64_t length) {
  const int64_t tokens = sequences * length;
  const int64_t mtp = c.num_nextn_predict_layers;
  model::Weights weights;
  const double parameters = static_cast<double>(model::build_param_table(c, &weights).elements);
  double saved = 0;
  for (int64_t l = 0; l < c.num_hidden_layers; ++l)
    saved += static_cast<double>(model::saved_bytes(c, c.is_moe_layer(l), tokens, operand));
  saved += static_cast<double>(mtp * model::saved_bytes(c, c.n_routed_experts > 0, tokens, operand));
  const double logits = static_cast<double>(tokens * c.vocab_size * (1 + mtp));
  constexpr double kFlopsPerLogit = 40;
  // Weights read and written, gradients read, two moments read and written.
  const double adamw_bytes = 12.0 + 4.0 * static_cast<double>(dtype_size(moments));
  return {{"products and attention",
           3 * model::forward_flops_per_token(c, length, true) * static_cast<double>(tokens), 0},
          {"AdamW", 0, adamw_bytes * parameters},
          {"cross-entropy", kFlopsPerLogit * logits, 0},
          {"saved activations", 0, 2 * saved}};
}

double floor_seconds(const std::vector<FloorRow>& rows, double flops_per_second, double bytes_per_second) {
  double seconds = 0;
  for (const FloorRow& r : rows) seconds += std::max(r.flops / flops_per_second, r.bytes / bytes_per_second);
  return seconds;
}

}  // namespace frugal::cost
