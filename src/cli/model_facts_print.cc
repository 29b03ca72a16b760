#include <nlohmann/json.hpp>

#include "base/progress.h"
#include "cli/model_facts.h"

namespace frugal::cli {

namespace {
// 70272 -> "70,272"
std::string grouped(int64_t n) {
  const std::string digits = fmt::format("{}", n);
  std::string out;
  for (size_t i = 0; i < digits.size(); ++i) {
    if (i > 0 && (digits.size() - i) % 3 == 0) out += ',';
    out += digits[i];
  }
  return out;
}

std::string size_text(int64_t bytes) {
  const double n = static_cast<double>(bytes);
  if (n < 1024.0 * 1024) return fmt::format("{:.1f} KiB", n / 1024);
  if (n < 1024.0 * 1024 * 1024) return fmt::format("{:.1f} MiB", n / (1024.0 * 1024));
  return fmt::format("{:.2f} GiB", n / (1024.0 * 1024 * 1024));
}

std::string parameters_text(int64_t n) {
  return fmt::format("{} ({})", grouped(n), format_count(static_cast<double>(n)));
}

void line(std::string* out, const char* label, const std::string& text) {
  *out += fmt::format("{:<13} {}\n", label, text);
}

std::string rope_text(const kernels::RopeConfig& r) {
  std::string text = fmt::format("rope_theta {}", r.theta);
  if (r.yarn)
    text +=
        fmt::format(", yarn: factor {}, original_max_position_embeddings {}, mscale {}, mscale_all_dim {}",
                    r.factor, r.original_max_position_embeddings, r.mscale, r.mscale_all_dim);
  return text;
}

std::string experts_text(const model::ModelConfig& c) {
  if (c.n_routed_experts == 0) return "none: every layer is dense";
  std::string text = fmt::format(
      "n_routed_experts {}, num_experts_per_tok {}, n_shared_experts {}, moe_intermediate_size {}, "
      "first_k_dense_replace "
      "{}\n{:14}{} {}, n_group {}, topk_group {}, norm_topk_prob {}, routed_scaling_factor {}",
      c.n_routed_experts, c.num_experts_per_tok, c.n_shared_experts, c.moe_intermediate_size,
      c.first_k_dense_replace, "", c.scoring_func, c.topk_method, c.n_group, c.topk_group, c.norm_topk_prob,
      c.routed_scaling_factor);
  if (c.moe_layer_freq != 1) text += fmt::format(", moe_layer_freq {}", c.moe_layer_freq);
  return text;
}

std::string quantisation_text(const model::ModelConfig& c) {
  if (c.bits > 0)
    return fmt::format("int{} in groups of 128 with a scale; the rest torch_dtype {}", c.bits, c.torch_dtype);
  if (!c.fp8) return "none, torch_dtype " + c.torch_dtype;
  return fmt::format("fp8: e4m3 in blocks of 128 x 128, {} scales; the rest torch_dtype {}",
                     c.ue8m0_scales ? "power-of-two" : "float32", c.torch_dtype);
}

void print_architecture(const model::ModelConfig& c, std::string* out) {
  line(out, "architecture", fmt::format("{} ({})", c.architecture, c.model_type));
  line(out, "sizes",
       fmt::format("hidden_size {}, num_hidden_layers {}, intermediate_size {}, vocab_size {}\n{:14}"
                   "max_position_embeddings {}, num_nextn_predict_layers {}{}",
                   c.hidden_size, c.num_hidden_layers, c.intermediate_size, c.vocab_size, "",
                   c.max_position_embeddings, c.num_nextn_predict_layers,
                   c.tie_word_embeddings ? ", tie_word_embeddings" : ""));
  line(out, "attention",
       fmt::format("num_attention_heads {}, q_lora_rank {}, kv_lora_rank {}, qk_nope_head_dim {}, "
                   "qk_rope_head_dim {}, "
                   "v_head_dim {}\n{:14}{}",
                   c.num_attention_heads, c.q_lora_rank == 0 ? "null" : fmt::format("{}", c.q_lora_rank),
                   c.kv_lora_rank, c.qk_nope_head_dim, c.qk_rope_head_dim, c.v_head_dim, "",
                   rope_text(c.rope)));
  line(out, "experts", experts_text(c));
  line(out, "quantisation", quantisation_text(c));
  for (const std::string& field : c.unknown_fields) line(out, "unknown", "field " + field + " is ignored");
}

std::string stored_text(const model::PartCount& p) {
  std::string text;
  for (const auto& [dtype, bytes] : p.stored)
    text += fmt::format("{}{} {}", text.empty() ? "" : ", ", dtype_name(dtype), grouped(bytes));
  return text;
}

void print_parts(const ModelFacts& f, std::string* out) {
  const bool weights = !f.shards.empty();
  *out += fmt::format("\n{:<16} {:>19} {:>17}{}\n", "part", "parameters", "active per token",
                      weights ? fmt::format(" {:>19}  {}", "bytes", "stored as") : "");
  const auto row = [&](const char* name, int64_t parameters, int64_t active, int64_t bytes,
                       const std::string& stored) {
    *out += fmt::format("{:<16} {:>19} {:>17}", name, grouped(parameters), grouped(active));
    if (weights) *out += fmt::format(" {:>19}  {}", grouped(bytes), stored);
    while (out->back() == ' ') out->pop_back();
    *out += "\n";
  };
  for (const model::PartCount& p : f.parts)
    row(part_name(p.part), p.parameters, p.active, p.bytes(), stored_text(p));
  row("total", total_parameters(f), total_active(f), total_bytes(f), "");
}

void print_files(const ModelFacts& f, std::string* out) {
  if (f.shards.empty()) {
    line(out, "weights", "none here: what is told follows from the configuration");
    return;
  }
  int64_t bytes = 0, tensors = 0;
  for (const ShardFacts& s : f.shards) {
    bytes += s.bytes;
    tensors += s.tensors;
  }
  const std::string last = f.shards.size() > 1 ? fmt::format(" .. {}", f.shards.back().file) : "";
  line(out, "files",
       fmt::format("{} of {}, {} tensors: {}{}", f.shards.size(), size_text(bytes), grouped(tensors),
                   f.shards[0].file, last));
  if (f.checksums) line(out, "checksums", "manifest.json; --verify compares them");
}

void print_tokenizer(const ModelFacts& f, std::string* out) {
  if (!f.tokenizer) return line(out, "tokenizer", "none");
  const TokenizerFacts& t = *f.tokenizer;
  if (!t.problem.empty()) return line(out, "tokenizer", "cannot be used: " + t.problem);
  const auto token = [](int32_t id, const std::string& text) {
    return id < 0 ? std::string("none") : fmt::format("{} {}", id, text);
  };
  line(out, "tokenizer",
       fmt::format("{} tokens, BOS {}, EOS {}, chats as {}", grouped(t.tokens), token(t.bos, t.bos_text),
                   token(t.eos, t.eos_text), t.chat_format));
}

void print_training(const ModelFacts& f, std::string* out) {
  if (!f.training) return;
  std::string text = fmt::format("checkpoint after step {}", f.training->step);
  if (f.training->best_validation > 0)
    text += fmt::format(", best validation {:.4f} bits per byte", f.training->best_validation);
  line(out, "training", text);
}

void print_memory(const ModelFacts& f, std::string* out) {
  line(out, "cache",
       fmt::format("{} bytes per token in bf16, {} in f32: latent and rotated key of {} layers",
                   grouped(model::latent_bytes_per_token(f.config, 2)),
                   grouped(model::latent_bytes_per_token(f.config, 4)), f.config.num_hidden_layers));
  std::string sizes;
  for (const auto& [format, bytes] : f.as_files)
    sizes += fmt::format("{}{} {}", sizes.empty() ? "" : ", ", format, size_text(bytes));
  line(out, "as files",
       fmt::format(
           "{}{}", sizes,
           f.free_disk < 0 ? std::string() : fmt::format("; {} of disk free", size_text(f.free_disk))));
  *out += fmt::format("\nto generate one text here ({} of memory available):\n",
                      f.available_memory < 0 ? "unknown" : size_text(f.available_memory));
  *out += fmt::format("{:<10} {:<10} {:>9} {:>14} {:>16} {:>14}\n", "precision", "attention", "context",
                      "weights", "cache, scratch", "together");
  for (const FitFacts& fit : f.fits)
    *out += fmt::format("{:<10} {:<10} {:>9} {:>14} {:>16} {:>14}  {}\n", fit.precision, fit.attention,
                        grouped(fit.context), size_text(fit.weight_bytes), size_text(fit.other_bytes),
                        size_text(fit.weight_bytes + fit.other_bytes), fit.fits ? "fits" : "does not fit");
  if (f.config.fp8)
    *out += "fp8 weights keep their bytes in memory; with --precision f32 they are widened when they are loaded\n";
}

void print_problems(const ModelFacts& f, std::string* out) {
  constexpr size_t kShown = 20;
  if (f.problems.empty()) return;
  *out += fmt::format("\n{} problem{}:\n", f.problems.size(), f.problems.size() == 1 ? "" : "s");
  for (size_t i = 0; i < std::min(kShown, f.problems.size()); ++i)
    *out += fmt::format("  {}: {}\n", f.problems[i].where, f.problems[i].what);
  if (f.problems.size() > kShown) *out += fmt::format("  and {} more\n", f.problems.size() - kShown);
}
}  // namespace

std::string facts_as_text(const ModelFacts& f) {
  std::string out;
  line(&out, "model", f.source);
  print_architecture(f.config, &out);
  line(&out, "parameters",
       fmt::format("{}{}; one token uses {}", parameters_text(total_parameters(f) - mtp_parameters(f)),
                   mtp_parameters(f) > 0
                       ? fmt::format(", and {} in the MTP module", parameters_text(mtp_parameters(f)))
                       : "",
                   parameters_text(total_active(f))));
  print_files(f, &out);
  print_tokenizer(f, &out);
  print_training(f, &out);
  print_parts(f, &out);
  out += "\n";
  print_memory(f, &out);
  print_problems(f, &out);
  return out;
}

std::string facts_as_json(const ModelFacts& f) {
  using Json = nlohmann::ordered_json;
  Json j = {{"source", f.source},
            {"config", Json::parse(model::config_to_json(f.config))},
            {"unknown_fields", f.config.unknown_fields},
            {"parameters", total_parameters(f)},
            {"active_parameters", total_active(f)},
            {"parts", Json::array()},
            {"kv_bytes_per_token",
             {{"bf16", model::latent_bytes_per_token(f.config, 2)},
              {"f32", model::latent_bytes_per_token(f.config, 4)}}},
            {"files", Json::array()},
            {"checksums", f.checksums},
            {"bytes_as_files", Json::object()},
            {"free_disk_bytes", f.free_disk < 0 ? Json(nullptr) : Json(f.free_disk)},
            {"tokenizer", nullptr},
            {"training", nullptr},
            {"available_memory_bytes", f.available_memory < 0 ? Json(nullptr) : Json(f.available_memory)},
            {"generate", Json::array()},
            {"problems", Json::array()}};
  for (const model::PartCount& p : f.parts) {
    Json stored = Json::object();
    for (const auto& [dtype, bytes] : p.stored) stored[std::string(dtype_name(dtype))] = bytes;
    j["parts"].push_back({{"part", part_name(p.part)},
                          {"parameters", p.parameters},
                          {"active", p.active},
                          {"stored_bytes", stored}});
  }
  for (const auto& [format, bytes] : f.as_files) j["bytes_as_files"][format] = bytes;
  for (const ShardFacts& s : f.shards)
    j["files"].push_back({{"file", s.file}, {"tensors", s.tensors}, {"bytes", s.bytes}});
  if (f.tokenizer && !f.tokenizer->problem.empty()) j["tokenizer"] = {{"problem", f.tokenizer->problem}};
  if (f.tokenizer && f.tokenizer->problem.empty())
    j["tokenizer"] = {{"tokens", f.tokenizer->tokens},
                      {"bos_token_id", f.tokenizer->bos},
                      {"eos_token_id", f.tokenizer->eos},
                      {"chat_format", f.tokenizer->chat_format}};
  if (f.training)
    j["training"] = {{"step", f.training->step},
                     {"best_validation_bits_per_byte", f.training->best_validation}};
  for (const FitFacts& fit : f.fits)
    j["generate"].push_back({{"precision", fit.precision},
                             {"attention", fit.attention},
                             {"context", fit.context},
                             {"weight_bytes", fit.weight_bytes},
                             {"other_bytes", fit.other_bytes},
                             {"fits", fit.fits}});
  for (const model::TensorProblem& p : f.problems)
    j["problems"].push_back({{"where", p.where}, {"what", p.what}});
  return j.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace frugal::cli
