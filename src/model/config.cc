// Reading, checking and writing config.json. One table (kIntFields) feeds all three. Every problem names
// file, field, value and remedy: a field that changes the result and that we do not implement is never
// skipped in silence.
#include "model/config.h"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <limits>
#include <nlohmann/json.hpp>
#include <set>

#include "base/error.h"
#include "base/files.h"
#include "base/json_strict.h"

namespace frugal::model {

namespace {
using Json = nlohmann::json;

enum class When { kAlways, kExperts };  // kExperts: checked only if the model has routed experts
struct IntField {
  const char* name;
  int64_t ModelConfig::*member;
  int64_t low, high;
  When when;
};
// The upper bounds are far above any published model; with check_size() they keep every product of sizes
// below 2^63.
constexpr IntField kIntFields[] = {
    {"vocab_size", &ModelConfig::vocab_size, 1, 1 << 24, When::kAlways},
    {"hidden_size", &ModelConfig::hidden_size, 1, 1 << 18, When::kAlways},
    {"num_hidden_layers", &ModelConfig::num_hidden_layers, 1, 1 << 12, When::kAlways},
    {"num_nextn_predict_layers", &ModelConfig::num_nextn_predict_layers, 0, 1, When::kAlways},
    {"intermediate_size", &ModelConfig::intermediate_size, 1, 1 << 22, When::kAlways},
    {"max_position_embeddings", &ModelConfig::max_position_embeddings, 1, 1 << 30, When::kAlways},
    {"num_attention_heads", &ModelConfig::num_attention_heads, 1, 1 << 12, When::kAlways},
    {"q_lora_rank", &ModelConfig::q_lora_rank, 0, 1 << 16, When::kAlways},
    {"kv_lora_rank", &ModelConfig::kv_lora_rank, 1, 1 << 16, When::kAlways},
    {"qk_nope_head_dim", &ModelConfig::qk_nope_head_dim, 1, 1 << 12, When::kAlways},
    {"qk_rope_head_dim", &ModelConfig::qk_rope_head_dim, 2, 1 << 12, When::kAlways},
    {"v_head_dim", &ModelConfig::v_head_dim, 1, 1 << 12, When::kAlways},
    {"n_routed_experts", &ModelConfig::n_routed_experts, 0, 1 << 14, When::kAlways},
    {"n_shared_experts", &ModelConfig::n_shared_experts, 0, 1 << 10, When::kExperts},
    {"num_experts_per_tok", &ModelConfig::num_experts_per_tok, 1, 1 << 14, When::kExperts},
    {"moe_intermediate_size", &ModelConfig::moe_intermediate_size, 1, 1 << 20, When::kExperts},
    {"n_group", &ModelConfig::n_group, 1, 1 << 14, When::kExperts},
    {"topk_group", &ModelConfig::topk_group, 1, 1 << 14, When::kExperts},
    {"first_k_dense_replace", &ModelConfig::first_k_dense_replace, 0, 1 << 12, When::kAlways},
    {"moe_layer_freq", &ModelConfig::moe_layer_freq, 1, 1 << 12, When::kAlways},
};

// Known, and without any influence on what we compute.
constexpr const char* kIgnored[] = {"use_cache",
                                    "pretraining_tp",
                                    "ep_size",
                                    "initializer_range",
                                    "aux_loss_alpha",
                                    "seq_aux",
                                    "head_dim",
                                    "qk_head_dim",
                                    "transformers_version",
                                    "auto_map",
                                    "_name_or_path",
                                    "attn_implementation",
                                    "_attn_implementation",
                                    "_attn_implementation_autoset",
                                    "pad_token_id",
                                    "output_router_logits",
                                    "router_aux_loss_coef",
                                    "return_dict",
                                    "output_hidden_states",
                                    "output_attentions",
                                    "keys_to_ignore_at_inference",
                                    "num_local_experts"};

[[noreturn]] void bad(const std::string& name, const std::string& field, const std::string& what,
                      const std::string& remedy) {
  fail(name + ": " + field, what, remedy);
}

// An object of the file that remembers which of its fields were asked for.
class Reader {
 public:
  Reader(const Json& object, std::string name, std::string prefix)
      : object_(object), name_(std::move(name)), prefix_(std::move(prefix)) {}

  bool has(const char* key) const { return object_.contains(key); }
  // Null when the field is absent or null.
  const Json* find(const char* key) {
    known_.insert(key);
    const auto it = object_.find(key);
    return it == object_.end() || it->is_null() ? nullptr : &*it;
  }
  const Json& at(const char* key) {
    const Json* value = find(key);
    if (value == nullptr)
      refuse(key, has(key) ? "is null" : "is missing", "add it with the value of the model");
    return *value;
  }
  [[noreturn]] void refuse(const char* key, const std::string& what, const std::string& remedy) const {
    bad(name_, prefix_ + key, what, remedy);
  }

  int64_t integer(const char* key, const Json& value) const {
    if (!value.is_number_integer()) refuse(key, fmt::format("is {}", shown(value)), "write an integer");
    if (value.is_number_unsigned() && value.get<uint64_t>() > std::numeric_limits<int64_t>::max())
      refuse(key, fmt::format("is {}, beyond 64 bits", shown(value)), "write the value of the model");
    return value.get<int64_t>();
  }
  double real(const char* key, const Json& value) const {
    if (!value.is_number()) refuse(key, fmt::format("is {}", shown(value)), "write a number");
    return value.get<double>();
  }
  int64_t integer(const char* key) { return integer(key, at(key)); }
  double real(const char* key) { return real(key, at(key)); }
  bool boolean(const char* key) {
    const Json& value = at(key);
    if (!value.is_boolean()) refuse(key, fmt::format("is {}", shown(value)), "write true or false");
    return value.get<bool>();
  }
  std::string string(const char* key) {
    const Json& value = at(key);
    if (!value.is_string()) refuse(key, fmt::format("is {}", shown(value)), "write a string");
    return value.get<std::string>();
  }
  Reader object(const char* key) {
    const Json& value = at(key);
    if (!value.is_object()) refuse(key, fmt::format("is {}", shown(value)), "write an object or null");
    return Reader(value, name_, prefix_ + key + ".");
  }
  int64_t integer_or(const char* key, int64_t otherwise) { return find(key) ? integer(key) : otherwise; }
  double real_or(const char* key, double otherwise) { return find(key) ? real(key) : otherwise; }
  bool boolean_or(const char* key, bool otherwise) { return find(key) ? boolean(key) : otherwise; }
  std::string string_or(const char* key, const char* otherwise) {
    return find(key) ? string(key) : otherwise;
  }

  void ignore(const char* key) { known_.insert(key); }
  void collect_unknown(std::vector<std::string>* out) const {
    for (const auto& [key, value] : object_.items())
      if (!known_.contains(key)) out->push_back(prefix_ + key);
  }

 private:
  const Json& object_;
  std::string name_, prefix_;
  std::set<std::string, std::less<>> known_;
};

bool is_v2(const ModelConfig& c) { return c.model_type == "deepseek_v2"; }
const char* architecture_of(const ModelConfig& c) {
  return is_v2(c) ? "DeepseekV2ForCausalLM" : "DeepseekV3ForCausalLM";
}

void check_identity(const ModelConfig& c, const std::string& name) {
  if (c.model_type == "deepseek_v32" || c.model_type == "deepseek_v4")
    bad(name, "model_type",
        "is " + c.model_type + ": its attention is not that of DeepSeek-V3 and is not implemented",
        "use a V2, V3, R1, V3.1, Moonlight or Kimi-K2 model");
  if (c.model_type != "deepseek_v3" && c.model_type != "deepseek_v2" && c.model_type != "kimi_k2")
    bad(name, "model_type", "is '" + c.model_type + "', unknown", "known: deepseek_v3, deepseek_v2, kimi_k2");
  if (c.architecture != architecture_of(c))
    bad(name, "architectures", fmt::format("names {}, not {}", c.architecture, architecture_of(c)),
        "only the causal language model of model_type " + c.model_type + " is implemented");
}

void read_identity(Reader& r, const std::string& name, ModelConfig* c) {
  c->model_type = r.string("model_type");
  c->architecture = architecture_of(*c);
  if (const Json* list = r.find("architectures")) {
    if (!list->is_array() || list->size() != 1 || !list->front().is_string())
      r.refuse("architectures", "is not a list of one name", fmt::format("write [\"{}\"]", c->architecture));
    c->architecture = list->front().get<std::string>();
  }
  check_identity(*c, name);
}

// Fields whose other values change the result; all published members of the family have these.
void refuse_unsupported(Reader& r, const ModelConfig& c) {
  if (const std::string act = r.string_or("hidden_act", "silu"); act != "silu")
    r.refuse("hidden_act", "is '" + act + "'", "only silu is implemented");
  if (r.boolean_or("attention_bias", false))
    r.refuse("attention_bias", "is true", "biases are not implemented");
  if (const double p = r.real_or("attention_dropout", 0.0); p != 0)
    r.refuse("attention_dropout", fmt::format("is {}", p), "dropout is not implemented, write 0.0");
  if (!r.boolean_or("rope_interleave", true))
    r.refuse("rope_interleave", "is false: rotary halves instead of adjacent pairs",
             "this order is not implemented");
  if (r.find("index_topk"))
    r.refuse("index_topk", "is set: sparse attention (DeepSeek-V3.2)", "this attention is not implemented");
  const int64_t kv_heads = r.integer_or("num_key_value_heads", c.num_attention_heads);
  if (kv_heads != c.num_attention_heads)
    r.refuse("num_key_value_heads",
             fmt::format("is {}, num_attention_heads is {}", kv_heads, c.num_attention_heads),
             "latent attention has one key per head; write the same number");
}

bool has_no_experts(Reader& r) {
  const char* key = "n_routed_experts";
  if (!r.has(key)) r.refuse(key, "is missing", "add it; null or 0 makes every layer dense");
  return r.integer_or(key, 0) == 0;
}

void read_sizes(Reader& r, ModelConfig* c) {
  const bool dense = has_no_experts(r);
  for (const IntField& f : kIntFields) {
    const std::string field = f.name;
    // Newer writers leave out fields that say "as usual"; greedy routing has no groups.
    const bool optional = field == "num_nextn_predict_layers" || field == "moe_layer_freq" ||
                          ((field == "n_group" || field == "topk_group") && c->topk_method == "greedy");
    const bool nullable =
        field == "q_lora_rank" || field == "n_shared_experts" || field == "n_routed_experts";
    const bool unused = dense && (f.when == When::kExperts || field == "first_k_dense_replace");
    if (unused || optional || (nullable && r.has(f.name)))
      c->*f.member = r.integer_or(f.name, c->*f.member);
    else
      c->*f.member = r.integer(f.name);
  }
  if (dense) c->first_k_dense_replace = c->num_hidden_layers;
}

void read_routing(Reader& r, ModelConfig* c) {
  c->scoring_func = r.string_or("scoring_func", is_v2(*c) ? "softmax" : "sigmoid");
  const bool dense = has_no_experts(r);
  // V2's code and its configuration class disagree about the default.
  c->topk_method = is_v2(*c) && !dense ? r.string("topk_method")
                                       : r.string_or("topk_method", is_v2(*c) ? "greedy" : "noaux_tc");
  c->norm_topk_prob = dense ? r.boolean_or("norm_topk_prob", true) : r.boolean("norm_topk_prob");
  c->routed_scaling_factor =
      dense ? r.real_or("routed_scaling_factor", 1.0) : r.real("routed_scaling_factor");
}

void read_yarn(Reader& s, kernels::RopeConfig* rope) {
  rope->factor = s.real("factor");
  for (const char* key :
       {"original_max_position_embeddings", "beta_fast", "beta_slow", "mscale", "mscale_all_dim"})
    s.ignore(key);
  if (rope->factor == 1) return;  // no YaRN, whatever the other fields say
  rope->yarn = true;
  rope->original_max_position_embeddings = static_cast<double>(s.integer("original_max_position_embeddings"));
  rope->beta_fast = s.real_or("beta_fast", 32);
  rope->beta_slow = s.real_or("beta_slow", 1);
  const bool mscale = s.find("mscale") != nullptr, all_dim = s.find("mscale_all_dim") != nullptr;
  if (mscale != all_dim)
    s.refuse(mscale ? "mscale_all_dim" : "mscale",
             fmt::format("is missing beside {}", mscale ? "mscale" : "mscale_all_dim"),
             "published sources disagree on what that means; give both or neither");
  rope->mscale = s.real_or("mscale", 1);
  rope->mscale_all_dim = s.real_or("mscale_all_dim", 0);
}

void read_scaling(Reader s, ModelConfig* c) {
  const char* key = s.find("rope_type") ? "rope_type" : "type";
  const std::string type = s.string(key);
  if (s.find("type") && s.string("type") != type)
    s.refuse("type", fmt::format("is '{}', rope_type is '{}'", s.string("type"), type),
             "keep one of the two");
  if (type != "default" && type != "yarn")
    s.refuse(key, "is '" + type + "'", "implemented: yarn, default (none)");
  if (type == "default") return;
  if (s.find("attention_factor"))
    s.refuse("attention_factor", "is set",
             "not implemented; the model family uses mscale and mscale_all_dim");
  if (!s.boolean_or("truncate", true)) s.refuse("truncate", "is false", "not implemented");
  if (const double part = s.real_or("partial_rotary_factor", 1); part != 1)
    s.refuse("partial_rotary_factor", fmt::format("is {}", part),
             "not implemented; qk_rope_head_dim says what rotates");
  read_yarn(s, &c->rope);
  s.ignore("rope_theta");
  s.collect_unknown(&c->unknown_fields);
}

// rope_theta and rope_scaling, or both together in rope_parameters (transformers 5).
void read_rope(Reader& r, ModelConfig* c) {
  c->rope = kernels::RopeConfig{};
  c->rope.dim = c->qk_rope_head_dim;
  const bool scaling = r.find("rope_scaling") != nullptr, parameters = r.find("rope_parameters") != nullptr;
  if (scaling && parameters) r.refuse("rope_parameters", "stands beside rope_scaling", "keep one of the two");
  if (parameters && r.object("rope_parameters").find("rope_theta")) {
    c->rope.theta = r.object("rope_parameters").real("rope_theta");
    if (const double theta = r.real_or("rope_theta", c->rope.theta); theta != c->rope.theta)
      r.refuse("rope_theta", fmt::format("is {}, in rope_parameters {}", theta, c->rope.theta),
               "keep one of the two");
  } else {
    c->rope.theta = r.real("rope_theta");
  }
  if (scaling || parameters) read_scaling(r.object(scaling ? "rope_scaling" : "rope_parameters"), c);
  if (!c->rope.yarn) c->rope.factor = 1;
}

int32_t token_id(const Reader& r, const char* key, const Json& value) {
  const int64_t id = r.integer(key, value);
  if (id < 0 || id > std::numeric_limits<int32_t>::max())
    r.refuse(key, fmt::format("is {}", id), "write a token id, or null for none");
  return static_cast<int32_t>(id);
}

void read_tokens(Reader& r, ModelConfig* c) {
  if (const Json* bos = r.find("bos_token_id")) c->bos_token_id = token_id(r, "bos_token_id", *bos);
  const Json* eos = r.find("eos_token_id");
  if (eos == nullptr) return;
  if (!eos->is_array()) {
    c->eos_token_ids = {token_id(r, "eos_token_id", *eos)};
    return;
  }
  for (const Json& id : *eos) c->eos_token_ids.push_back(token_id(r, "eos_token_id", id));
}

void read_dtype(Reader& r, ModelConfig* c) {
  const char* key = r.find("torch_dtype") ? "torch_dtype" : "dtype";
  c->torch_dtype = r.string_or(key, "bfloat16");
  if (r.find("dtype") && r.string("dtype") != c->torch_dtype)
    r.refuse("dtype", fmt::format("is {}, torch_dtype is {}", r.string("dtype"), c->torch_dtype),
             "keep one of the two");
}

void read_integers(Reader& q, ModelConfig* c) {
  c->bits = q.integer("bits");
  if (c->bits != 8 && c->bits != 4)
    q.refuse("bits", fmt::format("is {}", c->bits), "8 and 4 are implemented");
  if (const int64_t g = q.integer("group_size"); g != kernels::kQuantGroup)
    q.refuse("group_size", fmt::format("is {}", g), "groups of 128 are implemented");
  q.collect_unknown(&c->unknown_fields);
}

void read_quantization(Reader& r, ModelConfig* c) {
  if (r.find("quantization_config") == nullptr) return;
  const char* remedy =
      "only e4m3 in blocks of 128 x 128 with dynamic activations is implemented (quant_method fp8), and what "
      "`frugal quantize` writes (quant_method frugal)";
  Reader q = r.object("quantization_config");
  const std::string method = q.string("quant_method");
  if (method == "frugal") return read_integers(q, c);
  if (method != "fp8") q.refuse("quant_method", "is '" + method + "'", remedy);
  if (const std::string f = q.string_or("fmt", "e4m3"); f != "e4m3")
    q.refuse("fmt", "is '" + f + "'", remedy);
  if (const std::string a = q.string("activation_scheme"); a != "dynamic")
    q.refuse("activation_scheme", "is '" + a + "'", remedy);
  if (q.at("weight_block_size") != Json::array({128, 128}))
    q.refuse("weight_block_size", "is not [128, 128]", remedy);
  if (q.find("scale_fmt")) {
    if (const std::string s = q.string("scale_fmt"); s != "ue8m0")
      q.refuse("scale_fmt", "is '" + s + "'", "write ue8m0, or remove it for float32 scales");
    c->ue8m0_scales = true;
  }
  // Which matrices are quantised is told by their dtype in the checkpoint.
  q.ignore("modules_to_not_convert");
  q.ignore("dequantize");
  q.collect_unknown(&c->unknown_fields);
  c->fp8 = true;
}

// ---- checks that also hold for configs filled by hand ----

void check_range(const std::string& name, const char* field, double value, double low, double high,
                 bool low_allowed) {
  if (value <= high && (value > low || (low_allowed && value == low))) return;  // false for NaN
  bad(name, field, fmt::format("is {}", value),
      fmt::format("it must be {} {} and at most {}", low_allowed ? "at least" : "above", low, high));
}

void check_ints(const ModelConfig& c, const std::string& name) {
  for (const IntField& f : kIntFields) {
    if (f.when == When::kExperts && c.n_routed_experts == 0) continue;
    const int64_t value = c.*f.member;
    if (value >= f.low && value <= f.high) continue;
    if (f.member == &ModelConfig::num_nextn_predict_layers && value > 1)
      bad(name, f.name, fmt::format("is {}", value), "more than one MTP module is not implemented");
    bad(name, f.name, fmt::format("is {}", value), fmt::format("it must be from {} to {}", f.low, f.high));
  }
  if (c.qk_rope_head_dim % 2 != 0)
    bad(name, "qk_rope_head_dim", fmt::format("is {}", c.qk_rope_head_dim), "it must be even: rotary pairs");
  if (c.first_k_dense_replace > c.num_hidden_layers)
    bad(name, "first_k_dense_replace",
        fmt::format("is {}, num_hidden_layers is {}", c.first_k_dense_replace, c.num_hidden_layers),
        "it must not be larger");
}

void check_size(const ModelConfig& c, const std::string& name) {
  const auto d = [](int64_t x) { return static_cast<double>(x); };
  const double h = d(c.hidden_size), heads = d(c.num_attention_heads), qk = d(c.qk_head_dim());
  const double queries = c.q_lora_rank > 0 ? d(c.q_lora_rank) * (h + heads * qk) : h * heads * qk;
  const double keys = h * d(c.kv_lora_rank + c.qk_rope_head_dim) +
                      d(c.kv_lora_rank) * heads * d(c.qk_nope_head_dim + c.v_head_dim) +
                      heads * d(c.v_head_dim) * h;
  const double experts =
      c.n_routed_experts == 0 ? 0 : d(c.n_routed_experts + c.n_shared_experts) * d(c.moe_intermediate_size);
  const double layer = queries + keys + 3 * h * std::max(experts, d(c.intermediate_size));
  const double total = 2 * d(c.vocab_size) * h + d(c.num_hidden_layers + c.num_nextn_predict_layers) * layer;
  constexpr double kMaxParameters = 0x1p50;
  if (total > kMaxParameters)
    fail(name, fmt::format("describes a model of about {:.3g} parameters", total),
         fmt::format("sizes up to {:.3g} are supported; check the sizes", kMaxParameters));
}

// Every expert of every layer is a row of the parameter table; Kimi-K2 has 23,000.
void check_expert_count(const ModelConfig& c, const std::string& name) {
  constexpr int64_t kMaxExperts = 1 << 20;
  if (c.num_hidden_layers * c.n_routed_experts > kMaxExperts)
    bad(name, "n_routed_experts",
        fmt::format("{} in each of {} layers are too many", c.n_routed_experts, c.num_hidden_layers),
        fmt::format("at most {} experts in all layers", kMaxExperts));
}

void check_routing(const ModelConfig& c, const std::string& name) {
  const bool v3 = c.scoring_func == "sigmoid" && c.topk_method == "noaux_tc";
  const bool v2 =
      c.scoring_func == "softmax" && (c.topk_method == "greedy" || c.topk_method == "group_limited_greedy");
  if (!v3 && !v2)
    bad(name, "scoring_func",
        fmt::format("{} with topk_method {} is not implemented", c.scoring_func, c.topk_method),
        "implemented: sigmoid with noaux_tc, softmax with greedy or group_limited_greedy");
  if (v2 != is_v2(c))
    bad(name, "topk_method", fmt::format("{} does not belong to model_type {}", c.topk_method, c.model_type),
        "deepseek_v2 routes greedy or group_limited_greedy, deepseek_v3 and kimi_k2 noaux_tc");
  check_range(name, "routed_scaling_factor", c.routed_scaling_factor, 0, 1e6, false);
  if (c.n_routed_experts == 0) return;
  const kernels::RouteConfig route = c.route();
  if (c.n_routed_experts % route.n_group != 0)
    bad(name, "n_routed_experts",
        fmt::format("{} is not divisible by n_group {}", c.n_routed_experts, route.n_group),
        "groups have equal sizes");
  if (route.topk_group > route.n_group)
    bad(name, "topk_group", fmt::format("is {}, n_group is {}", route.topk_group, route.n_group),
        "it must not be larger");
  const int64_t reachable = c.n_routed_experts / route.n_group * route.topk_group;
  if (c.num_experts_per_tok > reachable)
    bad(name, "num_experts_per_tok",
        fmt::format("is {}, {} of {} groups hold {} experts", c.num_experts_per_tok, route.topk_group,
                    route.n_group, reachable),
        "choose fewer experts or more groups");
}

void check_rope(const ModelConfig& c, const std::string& name) {
  const kernels::RopeConfig& rope = c.rope;
  if (rope.dim != c.qk_rope_head_dim)
    bad(name, "rope.dim", fmt::format("is {}, qk_rope_head_dim is {}", rope.dim, c.qk_rope_head_dim),
        "set both");
  check_range(name, "rope_theta", rope.theta, 1, 1e15, false);
  if (!rope.yarn) return;
  const double original = rope.original_max_position_embeddings;
  check_range(name, "rope_scaling.factor", rope.factor, 1, 1e6, false);
  check_range(name, "rope_scaling.original_max_position_embeddings", original, 1, 1 << 30, true);
  if (original != std::floor(original))
    bad(name, "rope_scaling.original_max_position_embeddings", fmt::format("is {}", original),
        "write an integer");
  check_range(name, "rope_scaling.beta_slow", rope.beta_slow, 0, 1e6, false);
  check_range(name, "rope_scaling.beta_fast", rope.beta_fast, rope.beta_slow, 1e6, true);
  check_range(name, "rope_scaling.mscale", rope.mscale, 0, 100, false);
  check_range(name, "rope_scaling.mscale_all_dim", rope.mscale_all_dim, 0, 100, true);
  if (rope.mscale_all_dim == 0 && rope.mscale != 1)
    bad(name, "rope_scaling.mscale_all_dim", fmt::format("is 0 while mscale is {}", rope.mscale),
        "published sources disagree on what that means; give mscale_all_dim a value or set mscale to 1");
}

void check_tokens(const ModelConfig& c, const std::string& name) {
  const auto check = [&](const char* field, int32_t id) {
    if (id >= c.vocab_size || id < 0)
      bad(name, field, fmt::format("is {}, vocab_size is {}", id, c.vocab_size),
          "it must be an id of the vocabulary");
  };
  if (c.bos_token_id != -1) check("bos_token_id", c.bos_token_id);
  for (int32_t id : c.eos_token_ids) check("eos_token_id", id);
}

Json rope_scaling_json(const kernels::RopeConfig& rope) {
  if (!rope.yarn) return nullptr;
  return {{"type", "yarn"},
          {"factor", rope.factor},
          {"original_max_position_embeddings", static_cast<int64_t>(rope.original_max_position_embeddings)},
          {"beta_fast", rope.beta_fast},
          {"beta_slow", rope.beta_slow},
          {"mscale", rope.mscale},
          {"mscale_all_dim", rope.mscale_all_dim}};
}

Json quantization_json(const ModelConfig& c) {
  if (c.bits > 0) return {{"quant_method", "frugal"}, {"bits", c.bits}, {"group_size", kernels::kQuantGroup}};
  Json q = {{"quant_method", "fp8"},
            {"fmt", "e4m3"},
            {"weight_block_size", Json::array({128, 128})},
            {"activation_scheme", "dynamic"}};
  if (c.ue8m0_scales) q["scale_fmt"] = "ue8m0";
  return q;
}
}  // namespace

kernels::RouteConfig ModelConfig::route() const {
  const bool grouped = topk_method != "greedy";
  kernels::RouteConfig r;
  r.n_routed_experts = n_routed_experts;
  r.num_experts_per_tok = num_experts_per_tok;
  r.n_group = grouped ? n_group : 1;
  r.topk_group = grouped ? topk_group : 1;
  r.sigmoid = scoring_func == "sigmoid";
  r.group_top2 = topk_method == "noaux_tc";
  r.norm_topk_prob = norm_topk_prob;
  r.scale_and_norm = topk_method == "noaux_tc";
  r.routed_scaling_factor = static_cast<float>(routed_scaling_factor);
  return r;
}

namespace {
// gate_proj and up_proj lie one below the other in panels of 32 rows.
void check_panels(const ModelConfig& c, const std::string& name) {
  if (c.bits == 0) return;
  const auto check = [&](const char* field, int64_t width) {
    if (width % kernels::kPanelCols != 0)
      bad(name, field, fmt::format("is {}", width),
          fmt::format("int8 and int4 need a multiple of {}", kernels::kPanelCols));
  };
  check("intermediate_size", c.intermediate_size);
  check("moe_intermediate_size", c.moe_intermediate_size);
}
}  // namespace

void check_config(const ModelConfig& c, const std::string& name) {
  check_identity(c, name);
  check_ints(c, name);
  check_size(c, name);
  check_expert_count(c, name);
  check_routing(c, name);
  check_rope(c, name);
  check_tokens(c, name);
  check_range(name, "rms_norm_eps", c.rms_norm_eps, 0, 1, false);
  if (c.torch_dtype != "bfloat16" && c.torch_dtype != "float32" && c.torch_dtype != "float16")
    bad(name, "torch_dtype", "is '" + c.torch_dtype + "'", "known: bfloat16, float32, float16");
  if (c.ue8m0_scales && !c.fp8) bad(name, "ue8m0_scales", "is set without fp8", "set both or none");
  check_panels(c, name);
}

ModelConfig parse_config(std::string_view text, const std::string& name) {
  // Published files have 2 KiB.
  const Json root = parse_json_object(text, name, {.remedy = "is this a config.json?"});
  Reader r(root, name, "");
  ModelConfig c;
  read_identity(r, name, &c);
  read_routing(r, &c);
  read_sizes(r, &c);
  refuse_unsupported(r, c);
  read_rope(r, &c);
  c.rms_norm_eps = r.real("rms_norm_eps");
  c.tie_word_embeddings = r.boolean_or("tie_word_embeddings", false);
  read_tokens(r, &c);
  read_dtype(r, &c);
  read_quantization(r, &c);
  for (const char* key : kIgnored) r.ignore(key);
  r.collect_unknown(&c.unknown_fields);
  check_config(c, name);
  return c;
}

std::string quantization_config_json(int64_t bits) {
  ModelConfig c;
  c.bits = bits;
  return quantization_json(c).dump();
}

ModelConfig load_config(const std::string& directory) {
  const std::string path = directory + "/config.json";
  return parse_config(read_file(path), path);
}

std::string config_to_json(const ModelConfig& c) {
  check_config(c, "config");
  Json j = {{"architectures", Json::array({c.architecture})},
            {"model_type", c.model_type},
            {"num_key_value_heads", c.num_attention_heads},
            {"hidden_act", "silu"},
            {"attention_bias", false},
            {"attention_dropout", 0.0},
            {"use_cache", true},
            {"scoring_func", c.scoring_func},
            {"topk_method", c.topk_method},
            {"norm_topk_prob", c.norm_topk_prob},
            {"routed_scaling_factor", c.routed_scaling_factor},
            {"rms_norm_eps", c.rms_norm_eps},
            {"tie_word_embeddings", c.tie_word_embeddings},
            {"torch_dtype", c.torch_dtype},
            {"rope_theta", c.rope.theta},
            {"rope_scaling", rope_scaling_json(c.rope)}};
  for (const IntField& f : kIntFields) j[f.name] = c.*f.member;
  if (c.q_lora_rank == 0) j["q_lora_rank"] = nullptr;
  // transformers decides by this field alone whether a layer is dense.
  if (c.n_routed_experts == 0) j["first_k_dense_replace"] = c.num_hidden_layers;
  j["bos_token_id"] = c.bos_token_id < 0 ? Json(nullptr) : Json(c.bos_token_id);
  j["eos_token_id"] = c.eos_token_ids;
  if (c.eos_token_ids.empty()) j["eos_token_id"] = nullptr;
  if (c.eos_token_ids.size() == 1) j["eos_token_id"] = c.eos_token_ids[0];
  if (c.fp8 || c.bits > 0) j["quantization_config"] = quantization_json(c);
  return j.dump(2) + "\n";
}

}  // namespace frugal::model
