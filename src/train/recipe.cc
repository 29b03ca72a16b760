#include "train/recipe.h"

// toml++ asserts on some malformed values (`1979-05-s;`) instead of reporting them.
namespace {
struct MalformedToml {};
}  // namespace
#define TOML_ASSERT(expression) ((expression) ? void() : throw MalformedToml())
#pragma GCC diagnostic push
#ifdef __clang__
#pragma GCC diagnostic ignored "-Wexceptions"
#else
#pragma GCC diagnostic ignored "-Wterminate"  // in its noexcept functions: as an assertion
#endif
#include <toml++/toml.h>
#pragma GCC diagnostic pop

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>

#include "base/error.h"
#include "base/files.h"
#include "data/dedupe.h"
#include "text/utf8.h"
#include "train/presets.h"

namespace frugal::train {

namespace {
constexpr double kBig = 1e15;

// clang-format off
#define INT(name, low, high, help) \
  {#name, RecipeField([](Recipe& r) -> int64_t& { return r.name; }), low, high, help}
#define MODEL(name, low, high, help) \
  {#name, RecipeField([](Recipe& r) -> int64_t& { return r.model.name; }), low, high, help}
#define REAL(name, low, high, help) \
  {#name, RecipeField([](Recipe& r) -> double& { return r.name; }), low, high, help}
#define MODEL_REAL(name, field, low, high, help) \
  {#name, RecipeField([](Recipe& r) -> double& { return r.model.field; }), low, high, help}
#define TEXT(name, help) {#name, RecipeField([](Recipe& r) -> std::string& { return r.name; }), 0, 0, help}
// clang-format on
}  // namespace

const std::vector<RecipeOption>& recipe_options() {
  static const std::vector<RecipeOption> options = {
      // model (Hugging Face config.json)
      MODEL(vocab_size, 2, 1 << 24, "embedding rows; also the size of a tokenizer that is trained"),
      MODEL(hidden_size, 1, 1 << 20, "width of the residual stream"),
      MODEL(num_hidden_layers, 1, 4096, "decoder layers"),
      MODEL(first_k_dense_replace, 0, 4096, "layers below this are dense"),
      MODEL(moe_layer_freq, 1, 4096, "every n-th later layer has experts"),
      MODEL(intermediate_size, 1, 1 << 24, "SwiGLU width of dense layers"),
      MODEL(num_attention_heads, 1, 4096, "attention heads"),
      MODEL(q_lora_rank, 0, 1 << 20, "query latent; 0: one q_proj"),
      MODEL(kv_lora_rank, 1, 1 << 20, "key-value latent"),
      MODEL(qk_nope_head_dim, 1, 1 << 16, "query/key width without position"),
      MODEL(qk_rope_head_dim, 2, 1 << 16, "query/key width with rotary position"),
      MODEL(v_head_dim, 1, 1 << 16, "value width"),
      MODEL(n_routed_experts, 0, 1 << 16, "experts per layer; 0: all layers dense"),
      MODEL(num_experts_per_tok, 0, 1 << 16, "experts that a token uses (top_k)"),
      MODEL(moe_intermediate_size, 0, 1 << 24, "SwiGLU width of an expert"),
      MODEL(n_shared_experts, 0, 1 << 10, "experts that every token uses"),
      MODEL(n_group, 1, 1 << 16, "expert groups"),
      MODEL(topk_group, 1, 1 << 16, "groups that a token may use"),
      MODEL_REAL(routed_scaling_factor, routed_scaling_factor, 0, 1e6,
                 "factor of the routed experts' weights"),
      MODEL(num_nextn_predict_layers, 0, 1, "multi-token prediction modules"),
      MODEL(max_position_embeddings, 1, 1 << 30, "longest context"),
      MODEL_REAL(rms_norm_eps, rms_norm_eps, 1e-12, 1, "epsilon of RMSNorm"),
      MODEL_REAL(rope_theta, rope.theta, 1, 1e12, "base of the rotary frequencies"),
      {"tie_word_embeddings", RecipeField([](Recipe& r) -> bool& { return r.model.tie_word_embeddings; }), 0,
       0, "one matrix for embedding and head"},
      // data
      {"data", RecipeField([](Recipe& r) -> std::vector<std::string>& { return r.data; }), 0, 0,
       "text or .jsonl files, folders, shards, - (comma separated on the command line); WEIGHT:PATH mixes"},
      TEXT(text_field, "field of a .jsonl line that holds the text"),
      {"extensions", RecipeField([](Recipe& r) -> std::vector<std::string>& { return r.extensions; }), 0, 0,
       "files of a folder that are read, by the end of their names (.txt,.jsonl); empty: all"},
      {"strict", RecipeField([](Recipe& r) -> bool& { return r.strict; }), 0, 0,
       "an unusable file or line is an error instead of being left out and counted"},
      TEXT(dedupe, "none, exact or near: leaves out texts that were seen before"),
      REAL(fim_rate, 0, 1, "share of the texts whose middle comes last (fill in the middle); V3: 0.1"),
      TEXT(separator, "splits a text file into documents; empty: a file is one document"),
      REAL(validation_fraction, 0, 0.5, "share of the data kept for validation"),
      TEXT(tokenizer, "directory, tokenizer.json or tiktoken.model; empty: trained on the data and stored in the run"),
      INT(digits, 1, 9, "digits of a number in one token, for a tokenizer that is trained"),
      {"split_capitals", RecipeField([](Recipe& r) -> bool& { return r.split_capitals; }), 0, 0,
       "such a tokenizer cuts words in capitals into letters"},
      INT(sequence_length, 2, 1 << 24, "tokens per row"),
      // run
      TEXT(preset, "what the recipe was made from; recorded for `frugal report`, changes nothing"),
      TEXT(out, "run directory; must not hold a run"),
      TEXT(license, "of the model, for its card; empty: none is stated"),
      INT(steps, 1, kBig, "optimizer steps"),
      REAL(minutes, 0, 1e6, "> 0: measure this machine and fit steps to the time"),
      INT(batch, 1, 1 << 24, "rows per optimizer step"),
      INT(microbatch, 0, 1 << 24, "rows per forward and backward; 0: all of the batch"),
      INT(seed, 0, kBig, "of initial values and data order"),
      INT(threads, 0, 4096, "0: every core that the process may use"),
      TEXT(precision, "bf16 or f32: operands of the products"),
      TEXT(moments,
           "bf16 or f32: what AdamW's two moments are kept in; bf16 takes 4 bytes less per parameter"),
      INT(save_every, 0, kBig, "steps between checkpoints; 0: only at the end"),
      INT(keep_checkpoints, 1, 1 << 20, "newest checkpoints that are kept, beside the best by validation"),
      {"async_save", RecipeField([](Recipe& r) -> bool& { return r.async_save; }), 0, 0,
       "copy the state and train on while it is written; false: less memory"},
      INT(eval_every, 0, kBig, "steps between validations; 0: never"),
      INT(sample_every, 0, kBig, "steps between samples; 0: never"),
      INT(sample_tokens, 1, 1 << 20, "tokens of a sample"),
      TEXT(sample_prompt, "text that samples continue"),
      INT(log_experts_every, 0, kBig, "steps between log lines of expert loads and router biases; 0: never"),
      {"tensorboard", RecipeField([](Recipe& r) -> bool& { return r.tensorboard; }), 0, 0,
       "also write TensorBoard event files to OUT/tensorboard"},
      TEXT(on_spike, "a batch whose loss is a spike or not finite: stop, skip it, or ignore (spikes only)"),
      REAL(spike_threshold, 0, 1e6, "standard deviations above the running mean that make a spike; 0: none"),
      REAL(watchdog_seconds, 0, 1e6, "say what has taken longer than this; 0: never"),
      // optimizer
      REAL(learning_rate, 0, 10, "peak of the schedule"),
      REAL(beta1, 0, 0.999999, "AdamW"),
      REAL(beta2, 0, 0.9999999, "AdamW"),
      REAL(eps, 1e-30, 1, "AdamW"),
      REAL(weight_decay, 0, 10, "AdamW; none on norms and biases"),
      REAL(max_grad_norm, 0, 1e9, "global norm that gradients are clipped to; 0: off"),
      INT(warmup_steps, 0, kBig, "linear warm-up"),
      REAL(constant_until, 0, 1, "share of the steps after which the cosine starts"),
      REAL(cosine_until, 0, 1, "share at which it reaches min_learning_rate_ratio"),
      REAL(min_learning_rate_ratio, 0, 1, "of learning_rate"),
      REAL(tail_from, 0, 1, "share from which tail_learning_rate_ratio holds"),
      REAL(tail_learning_rate_ratio, 0, 1, "of learning_rate"),
      // experts and MTP
      REAL(bias_update_speed, 0, 1, "gamma of auxiliary-loss-free balancing"),
      REAL(bias_update_until, 0, 1, "share of the steps after which gamma is 0"),
      REAL(balance_alpha, 0, 10, "factor of the sequence-wise balance loss"),
      REAL(mtp_lambda, 0, 10, "weight of the MTP loss"),
      REAL(mtp_lambda_late, 0, 10, "its weight after mtp_lambda_switch"),
      REAL(mtp_lambda_switch, 0, 1, "share of the steps"),
  };
  return options;
}
#undef INT
#undef MODEL
#undef REAL
#undef MODEL_REAL
#undef TEXT

std::vector<std::string> preset_names() {
  std::vector<std::string> names;
  for (const auto& [name, text] : presets()) names.emplace_back(name);
  return names;
}

namespace {
const RecipeOption& find_option(const std::string& name, const std::string& where) {
  for (const RecipeOption& o : recipe_options())
    if (name == o.name) return o;
  fail(where, "unknown recipe key '" + name + "'", "`frugal train --help` lists the keys");
}

void check_range(const RecipeOption& o, double v, const std::string& where) {
  if (!(v >= o.low && v <= o.high))
    fail(where, fmt::format("{} = {} is out of range", o.name, v),
         fmt::format("use {} .. {} ({})", o.low, o.high, o.help));
}

double parse_number(const std::string& text, const RecipeOption& o, const std::string& where) {
  double v = 0;
  const auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), v);
  if (ec != std::errc() || end != text.data() + text.size())
    fail(where, fmt::format("{} = '{}' is not a number", o.name, text), o.help);
  return v;
}

void set_number(Recipe* r, const RecipeOption& o, double v, const std::string& where) {
  check_range(o, v, where);
  if (const auto* i = std::get_if<int64_t& (*)(Recipe&)>(&o.field)) {
    if (v != std::floor(v)) fail(where, fmt::format("{} = {} is not a whole number", o.name, v), o.help);
    (*i)(*r) = static_cast<int64_t>(v);
  } else {
    std::get<double& (*)(Recipe&)>(o.field)(*r) = v;
  }
}

std::vector<std::string> split_commas(const std::string& text) {
  std::vector<std::string> parts;
  size_t at = 0;
  while (at <= text.size()) {
    const size_t comma = std::min(text.find(',', at), text.size());
    if (comma > at) parts.push_back(text.substr(at, comma - at));
    at = comma + 1;
  }
  return parts;
}

// key=value from the command line.
void apply_setting(Recipe* r, const std::string& setting) {
  const size_t eq = setting.find('=');
  if (eq == std::string::npos) fail(setting, "is not key=value", "`frugal train --help` lists the keys");
  const std::string key = setting.substr(0, eq), value = setting.substr(eq + 1);
  const RecipeOption& o = find_option(key, setting);
  if (text::well_formed_prefix(value) != value.size())
    fail("recipe", std::string(o.name) + " is not UTF-8", "the run's recipe.toml could not be read again");
  if (const auto* s = std::get_if<std::string& (*)(Recipe&)>(&o.field)) {
    (*s)(*r) = value;
  } else if (const auto* l = std::get_if<std::vector<std::string>& (*)(Recipe&)>(&o.field)) {
    (*l)(*r) = split_commas(value);
  } else if (const auto* b = std::get_if<bool& (*)(Recipe&)>(&o.field)) {
    if (value != "true" && value != "false") fail(setting, "is neither true nor false", o.help);
    (*b)(*r) = value == "true";
  } else {
    set_number(r, o, parse_number(value, o, setting), setting);
  }
}

// toml++ 3.3 asks whether characters are white space by a function that is undefined for U+0100 to U+0499. So
// it sees ASCII only: other bytes as %D0, and % itself as %25. Outside of strings and comments that is an
// error, as it should be.
std::string as_ascii(const std::string& name, std::string_view text) {
  if (const size_t good = text::well_formed_prefix(text); good != text.size())
    fail(fmt::format("{}:{}", name,
                     1 + std::count(text.begin(), text.begin() + static_cast<std::ptrdiff_t>(good), '\n')),
         "is not UTF-8", "save the file as UTF-8");
  if (text.starts_with("\xef\xbb\xbf")) text.remove_prefix(3);  // a byte order mark
  std::string ascii;
  for (const char c : text) {
    const auto b = static_cast<unsigned char>(c);
    if (b >= 128 || c == '%')
      ascii += fmt::format("%{:02X}", b);
    else
      ascii += c;
  }
  // An escape would be taken for the percent sign of the encoding.
  size_t backslashes = 0;
  for (size_t i = 0; i < ascii.size(); ++i) {
    for (const char* escape : {"u0025", "U00000025"})
      if (backslashes % 2 == 1 && std::string_view(ascii).substr(i).starts_with(escape))
        fail(name, std::string("holds \\") + escape, "write %");
    backslashes = ascii[i] == '\\' ? backslashes + 1 : 0;
  }
  return ascii;
}
// A string of the text that as_ascii() gave.
std::string original(const std::string& ascii) {
  std::string text;
  for (size_t i = 0; i < ascii.size(); ++i) {
    int b = 0;
    if (ascii[i] == '%' &&
        std::from_chars(ascii.data() + i + 1, ascii.data() + std::min(ascii.size(), i + 3), b, 16).ec ==
            std::errc()) {
      text += static_cast<char>(b);
      i += 2;
    } else {
      text += ascii[i];
    }
  }
  return text;
}

void apply_toml(Recipe* r, const std::string& name, std::string_view text) {
  toml::table table;
  try {
    table = toml::parse(as_ascii(name, text), name);
  } catch (const toml::parse_error& e) {
    fail(fmt::format("{}:{}", name, e.source().begin.line), std::string(e.description()), "recipes are TOML");
  } catch (const MalformedToml&) {
    fail(name, "holds a value that is not TOML", "recipes are TOML; put text in quotation marks");
  }
  for (const auto& [k, node] : table) {
    const std::string key = original(std::string(k.str())),
                      where = fmt::format("{}:{}", name, node.source().begin.line);
    const RecipeOption& o = find_option(key, where);
    const auto wrong = [&](const char* type) { fail(where, key + " is not " + type, o.help); };
    if (const auto* s = std::get_if<std::string& (*)(Recipe&)>(&o.field)) {
      if (!node.is_string()) wrong("a string");
      (*s)(*r) = original(node.as_string()->get());
    } else if (const auto* l = std::get_if<std::vector<std::string>& (*)(Recipe&)>(&o.field)) {
      if (!node.is_array()) wrong("a list of strings");
      (*l)(*r).clear();
      for (const toml::node& item : *node.as_array()) {
        if (!item.is_string()) wrong("a list of strings");
        (*l)(*r).push_back(original(item.as_string()->get()));
      }
    } else if (const auto* b = std::get_if<bool& (*)(Recipe&)>(&o.field)) {
      if (!node.is_boolean()) wrong("true or false");
      (*b)(*r) = node.as_boolean()->get();
    } else {
      if (!node.is_number()) wrong("a number");
      set_number(r, o, *node.value<double>(), where);
    }
  }
}

Recipe finish(Recipe r, const std::vector<std::string>& settings) {
  for (const std::string& s : settings) apply_setting(&r, s);
  r.model.rope.dim = r.model.qk_rope_head_dim;
  return r;
}
}  // namespace

Recipe read_recipe(const std::string& file, const std::vector<std::string>& settings) {
  Recipe r;
  apply_toml(&r, file, read_file(file));
  return finish(std::move(r), settings);
}

Recipe load_recipe(const std::string& file_or_preset, const std::vector<std::string>& settings) {
  for (const auto& [name, text] : presets()) {
    if (name != file_or_preset) continue;
    Recipe r;
    apply_toml(&r, std::string(name) + ".toml", text);
    r.preset = name;
    return finish(std::move(r), settings);
  }
  if (!file_exists(file_or_preset)) {
    std::string known;
    for (const std::string& n : preset_names()) known += (known.empty() ? "" : ", ") + n;
    fail(file_or_preset, "is neither a recipe file nor a preset", "presets: " + known);
  }
  return read_recipe(file_or_preset, settings);
}

int64_t rows_per_pass(const Recipe& r) { return r.microbatch > 0 ? r.microbatch : r.batch; }

kernels::Operand operand_of(const Recipe& r) {
  return r.precision == "f32" ? kernels::Operand::kF32 : kernels::Operand::kBF16;
}

Dtype moments_of(const Recipe& r) { return r.moments == "bf16" ? Dtype::kBF16 : Dtype::kF32; }

void check_recipe(const Recipe& r) {
  model::check_config(r.model, "recipe");
  if (r.precision != "bf16" && r.precision != "f32")
    fail("recipe", "precision = '" + r.precision + "' is not implemented", "use bf16 or f32");
  if (r.moments != "bf16" && r.moments != "f32")
    fail("recipe", "moments = '" + r.moments + "' is unknown", "use bf16 or f32");
  data::parse_dedupe(r.dedupe);
  if (r.on_spike != "stop" && r.on_spike != "skip" && r.on_spike != "ignore")
    fail("recipe", "on_spike = '" + r.on_spike + "' is unknown", "use stop, skip or ignore");
  if (r.data.empty()) fail("recipe", "names no data", "add data=FILE");
  if (r.out.empty()) fail("recipe", "names no run directory", "add out=DIR");
  if (r.sequence_length > r.model.max_position_embeddings)
    fail("recipe",
         fmt::format("sequence_length {} exceeds max_position_embeddings {}", r.sequence_length,
                     r.model.max_position_embeddings),
         "raise max_position_embeddings or shorten the sequence");
  constexpr int64_t kMaxTokens = int64_t{1}
                                 << 32;  // far above any published step; keeps byte counts below 2^63
  if (r.batch * r.sequence_length > kMaxTokens)
    fail("recipe", fmt::format("batch {} x sequence_length {} is too large", r.batch, r.sequence_length),
         fmt::format("at most {} tokens per step", kMaxTokens));
  if (r.microbatch > 0 && r.batch % r.microbatch != 0)
    fail("recipe", fmt::format("batch {} is not a multiple of microbatch {}", r.batch, r.microbatch),
         "change one of them");
  if (!(r.constant_until <= r.cosine_until && r.cosine_until <= r.tail_from))
    fail("recipe", "the schedule's parts are not in order", "constant_until <= cosine_until <= tail_from");
}

void make_paths_absolute(Recipe* r) {
  const auto absolute = [](const std::string& path) {
    return path.empty() || path == "-" ? path : absolute_path(path);
  };
  for (std::string& entry : r->data) {  // PATH or WEIGHT:PATH
    const size_t colon = entry.find(':');
    double weight = 0;
    const char* end = entry.data() + (colon == std::string::npos ? 0 : colon);
    const bool weighted = end != entry.data() && std::from_chars(entry.data(), end, weight).ptr == end;
    entry = weighted ? entry.substr(0, colon + 1) + absolute(entry.substr(colon + 1)) : absolute(entry);
  }
  r->tokenizer = absolute(r->tokenizer);
}

namespace {
std::string toml_string(const std::string& s) {
  std::string out = "\"";
  for (const char c : s) {
    if (c == '"' || c == '\\') out += '\\';
    if (c == '\n')
      out += "\\n";
    else if (c == '\t')
      out += "\\t";
    else if (c == '\r')
      out += "\\r";
    else if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f)
      out += fmt::format("\\u{:04x}", static_cast<unsigned>(c));
    else
      out += c;
  }
  return out + "\"";
}
}  // namespace

std::string recipe_to_toml(const Recipe& recipe) {
  Recipe r = recipe;
  std::string out = "# Resolved recipe of this run, every key. `frugal train --resume DIR` reads it.\n";
  for (const RecipeOption& o : recipe_options()) {
    out += std::string(o.name) + " = ";
    if (const auto* i = std::get_if<int64_t& (*)(Recipe&)>(&o.field)) out += fmt::format("{}", (*i)(r));
    if (const auto* d = std::get_if<double& (*)(Recipe&)>(&o.field)) {
      std::string v = fmt::format("{}", (*d)(r));  // shortest text that reads back as the same double
      if (v.find_first_of(".en") == std::string::npos) v += ".0";
      out += v;
    }
    if (const auto* s = std::get_if<std::string& (*)(Recipe&)>(&o.field)) out += toml_string((*s)(r));
    if (const auto* b = std::get_if<bool& (*)(Recipe&)>(&o.field)) out += (*b)(r) ? "true" : "false";
    if (const auto* l = std::get_if<std::vector<std::string>& (*)(Recipe&)>(&o.field)) {
      out += "[";
      for (size_t k = 0; k < (*l)(r).size(); ++k) out += (k ? ", " : "") + toml_string((*l)(r)[k]);
      out += "]";
    }
    out += "\n";
  }
  return out;
}

}  // namespace frugal::train
