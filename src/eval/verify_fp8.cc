// What only FP8 checkpoints have: dequantised weights, weights rounded to bf16, quantised activations.
#include "base/dtype.h"
#include "base/error.h"
#include "eval/verify_model.h"
#include "eval/w8a8_reference.h"

namespace frugal::eval {

using model::Model;

namespace {
void verify_dequantised(const ModelCase& c, const Model& m) {
  const std::string prefix = "dequant.";
  for (const std::string& tensor : c.golden.unused()) {
    if (!tensor.starts_with(prefix)) continue;
    const model::Param* p = m.table.find(tensor.substr(prefix.size()));
    if (p == nullptr) fail(c.golden.path() + ": " + tensor, "is not a parameter of the model", "");
    check_bits(c.report, tensor, std::vector<float>(p->data(), p->data() + p->elements()),
               c.golden.f32(tensor, p->shape));
  }
}

// Dequantised weights rounded to bf16 first; activations stay wide. Changes the model's masters.
void verify_rounded_weights(const ModelCase& c, Model& m) {
  if (!c.golden.has("logits_dequant_bf16")) return;
  for (const model::Param& p : m.table.params)
    if (p.kind == model::ParamKind::kMatrix)
      for (int64_t i = 0; i < p.elements(); ++i) p.data()[i] = round_bf16(p.data()[i]);
  m.pack(c.ctx, m.version + 1);
  const ModelRun run = run_objective(c, m, 0, false);
  check_absolute(c.report, "logits_dequant_bf16", run.values.at("logits"),
                 c.golden.f32("logits_dequant_bf16", {c.rows, c.length, c.config.vocab_size}),
                 Accept::kFp8Logits);
  if (c.golden.has("loss_dequant_bf16"))
    check_absolute(c.report, "loss_dequant_bf16", std::vector<double>{run.main_loss()},
                   c.golden.f64("loss_dequant_bf16", {1}), Accept::kLoss);
}

void verify_w8a8(const ModelCase& c) {
  for (const std::string form : {"_w8a8", "_w8a8_ue8m0"}) {
    if (!c.golden.has("logits" + form)) continue;
    const model::CheckpointFiles files(c.directory);
    const W8a8Result got = w8a8_forward(c.ctx, c.config, files, c.input(), form == "_w8a8_ue8m0");
    check_absolute(c.report, "logits" + form, got.logits,
                   c.golden.f32("logits" + form, {c.rows, c.length, c.config.vocab_size}),
                   Accept::kW8a8Logits);
    for (const auto& [layer, indices] : got.indices) {
      const std::string name = fmt::format("layers.{}.router.indices{}", layer, form);
      if (c.golden.has(name))
        check_bits(c.report, name, indices,
                   c.golden.i32(name, {c.rows * c.length, c.config.num_experts_per_tok}));
    }
  }
}
}  // namespace

void verify_fp8(const ModelCase& c, Model& m) {
  verify_dequantised(c, m);
  verify_w8a8(c);
  verify_rounded_weights(c, m);
}

}  // namespace frugal::eval
