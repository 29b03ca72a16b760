#include "train/model_card.h"

#include <algorithm>
#include <array>
#include <filesystem>

#include "base/error.h"
#include "base/progress.h"
#include "model/flops.h"
#include "model/params.h"

namespace frugal::train {

namespace {
// Settings that say where and how a run was made, not what came of it. Paths are nobody's business; the names
// of the files stand under Data.
constexpr std::array kNotOfTheModel = {"data",        "tokenizer",        "out",
                                       "threads",     "minutes",          "save_every",
                                       "async_save",  "eval_every",       "sample_every",
                                       "strict",      "keep_checkpoints", "sample_tokens",
                                       "tensorboard", "sample_prompt",    "watchdog_seconds",
                                       "license",     "log_experts_every"};

std::string recipe_block(const Recipe& recipe) {
  std::string block;
  const std::string toml = recipe_to_toml(recipe);
  for (size_t at = 0; at < toml.size();) {
    const size_t end = std::min(toml.find('\n', at), toml.size());
    const std::string line = toml.substr(at, end - at);
    at = end + 1;
    const std::string key = line.substr(0, line.find(" = "));
    if (key.starts_with('#') || line.ends_with(" = \"\"") ||
        std::find(kNotOfTheModel.begin(), kNotOfTheModel.end(), key) != kNotOfTheModel.end())
      continue;
    block += line + "\n";
  }
  return block;
}

// YAML takes the JSON form of a string.
std::string yaml_string(const std::string& s) {
  std::string out = "\"";
  for (const char c : s) {
    if (c == '"' || c == '\\') out += '\\';
    out += static_cast<unsigned char>(c) < 0x20 ? ' ' : c;
  }
  return out + "\"";
}

std::string front_matter(const Recipe& r) {
  std::string text = "---\nlibrary_name: frugal\npipeline_tag: text-generation\n";
  if (!r.license.empty()) text += "license: " + yaml_string(r.license) + "\n";
  text += "model_type: " + r.model.model_type + "\ntags:\n- frugal\n- " + r.model.model_type + "\n";
  if (r.model.n_routed_experts > 0) text += "- mixture-of-experts\n";
  return text + "---\n\n";
}

std::string count(double n) { return format_count(n); }

std::string model_section(const Recipe& r) {
  const model::ModelConfig& c = r.model;
  model::Weights weights;
  const double all = static_cast<double>(model::build_param_table(c, &weights).elements),
               active = static_cast<double>(model::active_parameters(c));
  std::string text = fmt::format(
      "A language model of DeepSeek-V3's architecture with {} parameters{}, of which a token uses {}, "
      "trained from random "
      "values with frugal.\n\n",
      count(all), c.num_nextn_predict_layers > 0 ? " (its MTP module included)" : "", count(active));
  text += fmt::format("- {} layers of width {}, {} attention heads with a key-value latent of {}\n",
                      c.num_hidden_layers, c.hidden_size, c.num_attention_heads, c.kv_lora_rank);
  if (c.n_routed_experts > 0)
    text += fmt::format(
        "- {} routed experts per layer, {} chosen per token, {} shared; the first {} layers are dense\n",
        c.n_routed_experts, c.num_experts_per_tok, c.n_shared_experts, c.first_k_dense_replace);
  return text + fmt::format("- vocabulary of {}, contexts of up to {} tokens\n\n", c.vocab_size,
                            c.max_position_embeddings);
}

std::string data_section(const CardFacts& f) {
  std::string text = "## Data\n\n";
  for (const std::string& source : f.recipe.data)
    text += "- `" + std::filesystem::path(source).filename().string() + "`\n";
  return text + fmt::format(
                    "\n{} documents of {} tokens for training, {} bytes of text for validation; fingerprint "
                    "`{:016x}` (texts, "
                    "row length, seed).\n\n",
                    f.documents, f.data_tokens, static_cast<int64_t>(f.validation_bytes), f.data_fingerprint);
}

std::string figures_section(const CardFacts& f) {
  const Validation& v = f.validation;
  const double flop =
      f.trained_tokens * 3 * model::forward_flops_per_token(f.recipe.model, f.recipe.sequence_length, true);
  std::string text = "## Figures\n\n| figure | value |\n|---|---|\n";
  const auto row = [&](const char* name, const std::string& value) {
    text += fmt::format("| {} | {} |\n", name, value);
  };
  row("steps", fmt::format("{}", f.step));
  row("tokens trained on", count(f.trained_tokens));
  row("floating-point operations (counted from shapes)", fmt::format("{:.3g}", flop));
  row("loss of the last step, nats per token", fmt::format("{:.4f}", f.loss));
  if (v.bits_per_byte > 0) {
    row("validation, nats per token", fmt::format("{:.4f}", v.nll));
    row("validation, bits per byte", fmt::format("{:.4f}", v.bits_per_byte));
  }
  if (f.best_validation > 0)
    row("best validation of the run, bits per byte", fmt::format("{:.4f}", f.best_validation));
  if (v.mtp_nll > 0) {
    row("MTP module on validation, bits per byte", fmt::format("{:.4f}", v.mtp_bits_per_byte));
    row("MTP drafts that equal the model's choice", fmt::format("{:.1f} %", 100 * v.mtp_acceptance));
  }
  return text + "\nTime and machine stand in `receipt.json` of the run.\n\n";
}

constexpr const char* kHowToRun =
    "## How to run it\n\nIn this directory:\n\n```\nfrugal generate . \"Once upon a time\"\nfrugal chat "
    ".\nfrugal inspect "
    ".\n```\n\n";
}  // namespace

std::string model_card(const CardFacts& f) {
  return front_matter(f.recipe) + "# Model card\n\n" + model_section(f.recipe) + kHowToRun +
         figures_section(f) + data_section(f) + "## Recipe\n\n```toml\n" + recipe_block(f.recipe) + "```\n";
}

}  // namespace frugal::train
