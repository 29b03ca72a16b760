// What a run says of itself: lines of the log, validations, samples, the receipt.
#include <algorithm>
#include <nlohmann/json.hpp>
#include <numeric>

#include "base/files.h"
#include "base/memory.h"
#include "infer/engine.h"
#include "kernels/machine.h"
#include "model/flops.h"
#include "train/model_card.h"
#include "train/trainer.h"

namespace frugal::train {

using nlohmann::json;

void Trainer::log(const std::string& line, const RunView& view) {
  log_.append(line);
  if (view.logged) view.logged(line);
}

double Trainer::peak_share(double tokens_per_second) const {
  return tokens_per_second * 3 *
         model::forward_flops_per_token(recipe_.model, recipe_.sequence_length, true) / peak_flops_;
}

void Trainer::log_step(const StepReport& r, double seconds, const RunView& view) {
  json line = {{"step", state_.step}, {"loss", r.loss}, {"lr", r.learning_rate}, {"grad_norm", r.grad_norm}};
  if (r.mtp_loss > 0) line["mtp_loss"] = r.mtp_loss;
  if (r.balance > 0) line["balance_loss"] = r.balance;
  if (!r.expert_load.empty()) line["expert_load"] = r.expert_load;
  line["grad_norms"] = r.grad_norms;
  const double rate = static_cast<double>(recipe_.batch * recipe_.sequence_length) / seconds;
  line["seconds"] = seconds;
  line["tokens_per_second"] = rate;
  line["peak_share"] = peak_share(rate);
  log(line.dump(), view);
  if (recipe_.log_experts_every > 0 && state_.step % recipe_.log_experts_every == 0 &&
      !r.expert_tokens.empty())
    log_experts(r, view);
}

void Trainer::log_experts(const StepReport& r, const RunView& view) {
  json biases = json::array();
  for (const model::Param& p : model_->table.params) {
    if (p.kind != model::ParamKind::kBias) continue;
    json bias = json::array();
    // The shortest text of the float: 0.001, not 0.0010000000474974513.
    for (int64_t e = 0; e < p.elements(); ++e) bias.push_back(std::stod(fmt::format("{}", p.data()[e])));
    biases.push_back(std::move(bias));
  }
  log(json{{"step", state_.step}, {"expert_tokens", r.expert_tokens}, {"router_bias", biases}}.dump(), view);
}

void Trainer::log_skipped(const StepReport& r, const RunView& view) {
  for (const SkippedBatch& b : r.skipped)
    log(json{{"step", state_.step},
             {"skipped", b.reason},
             {"skipped_loss", b.loss},
             {"skipped_grad_norm", b.grad_norm},
             {"epoch", b.loader.epoch},
             {"position", b.loader.position}}
            .dump(),
        view);
}

void Trainer::report_validation(const RunView& view) {
  watchdog_.phase(Track::kMain, "a validation");
  // Shares of a peak that was measured while others worked here would be too high.
  if (peak_flops_ > 0)
    peak_flops_ =
        std::max(peak_flops_, kernels::product_peak(ctx_.level, operand_of(recipe_)) * ctx_.pool.size());
  const Validation v = last_validation_ = validate();
  watchdog_.phase(Track::kMain, nullptr);
  if (v.bits_per_byte == 0) return;
  state_.validation = v.bits_per_byte;
  if (state_.best_validation == 0 || v.bits_per_byte < state_.best_validation)
    state_.best_validation = v.bits_per_byte;
  json line = {{"step", state_.step}, {"val_loss", v.nll}, {"val_bits_per_byte", v.bits_per_byte}};
  std::string text = fmt::format("step {}  validation {:.4f} nats, {:.4f} bits per byte (best {:.4f})",
                                 state_.step, v.nll, v.bits_per_byte, state_.best_validation);
  if (v.mtp_nll > 0) {
    line["val_mtp_loss"] = v.mtp_nll;
    line["val_mtp_bits_per_byte"] = v.mtp_bits_per_byte;
    line["mtp_acceptance"] = v.mtp_acceptance;
    text += fmt::format("; MTP {:.4f}, {:.0f} % of its drafts accepted", v.mtp_bits_per_byte,
                        100 * v.mtp_acceptance);
  }
  log(line.dump(), view);
  if (view.line) view.line(text);
}

std::string Trainer::sample_text() {
  infer::Request request;
  if (tokenizer_->bos_id() >= 0) request.prompt.push_back(tokenizer_->bos_id());
  for (const int32_t id : tokenizer_->encode(recipe_.sample_prompt)) request.prompt.push_back(id);
  if (request.prompt.empty()) return "";
  request.sampling.temperature = 0.8f;
  request.sampling.top_p = 0.95f;
  request.sampling.seed = static_cast<uint64_t>(recipe_.seed);
  request.max_tokens = recipe_.sample_tokens;
  request.stop_tokens = recipe_.model.eos_token_ids;
  infer::EngineOptions options;
  options.max_context = static_cast<int64_t>(request.prompt.size()) + recipe_.sample_tokens + 1;
  options.max_batch_tokens = static_cast<int64_t>(request.prompt.size()) + 1;
  infer::Engine engine(ctx_, *model_, options);
  engine.add(std::move(request));
  std::vector<int32_t> ids;
  while (!engine.idle())
    for (const infer::Event& e : engine.step())
      if (e.finish != infer::Finish::kStop) ids.push_back(e.token);
  return recipe_.sample_prompt + tokenizer_->decode(ids, true);
}

void Trainer::report_sample(const RunView& view) {
  watchdog_.phase(Track::kMain, "a sample");
  const std::string text = sample_text();
  make_directories(recipe_.out + "/samples");
  write_file_atomic(fmt::format("{}/samples/step-{:08d}.txt", recipe_.out, state_.step), text + "\n");
  watchdog_.phase(Track::kMain, nullptr);
  std::string indented;
  for (const char c : text) indented += c == '\n' ? std::string("\n  | ") : std::string(1, c);
  if (view.line) view.line(fmt::format("step {}  sample\n  | {}", state_.step, indented));
}

void Trainer::write_receipt(const RunView& view) {
  // Of the whole run: the log holds every step once, also after interruptions.
  const double seconds = log_.step_seconds();
  const double tokens = state_.tokens;
  const double flops =
      tokens * 3 * model::forward_flops_per_token(recipe_.model, recipe_.sequence_length, true);
  const auto [best, best_bits] = best_checkpoint(recipe_.out);
  json receipt = {{"steps", state_.step},
                  {"tokens", tokens},
                  {"skipped_batches", state_.skipped},
                  {"seconds", seconds},
                  {"tokens_per_second", tokens / seconds},
                  {"flop", flops},
                  {"threads", ctx_.pool.size()},
                  {"level", ctx_.level.name},
                  {"precision", recipe_.precision},
                  {"best_validation_bits_per_byte", state_.best_validation}};
  // Of this call.
  receipt["memory"] = {{"planned_bytes", planned_bytes_}, {"peak_bytes", peak_memory_bytes()}};
  if (!save_seconds_.empty())
    receipt["seconds_per_checkpoint"] = std::accumulate(save_seconds_.begin(), save_seconds_.end(), 0.0) /
                                        static_cast<double>(save_seconds_.size());
  if (!best.empty())
    receipt["best_checkpoint"] = {{"name", best.substr(best.rfind('/') + 1)}, {"bits_per_byte", best_bits}};
  write_file_atomic(recipe_.out + "/receipt.json", receipt.dump(2) + "\n");
  if (!view.line) return;
  view.line(fmt::format(
      "receipt     {} tokens in {} of training ({} tok/s), {:.2f} TFLOP at {:.0f} GFLOP/s -> {}/receipt.json",
      format_count(tokens), format_seconds(seconds), format_count(tokens / seconds), flops * 1e-12,
      flops / seconds * 1e-9, recipe_.out));
}

std::string Trainer::card() const {
  return model_card({.recipe = recipe_,
                     .documents = documents().count(),
                     .data_tokens = documents().tokens,
                     .validation_bytes = validation_bytes_,
                     .data_fingerprint = state_.data_fingerprint,
                     .step = state_.step,
                     .trained_tokens = state_.tokens,
                     .loss = last_loss_,
                     .validation = last_validation_,
                     .best_validation = state_.best_validation});
}

}  // namespace frugal::train
