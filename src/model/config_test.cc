#include "model/config.h"

#include <gtest/gtest.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "base/error.h"

namespace frugal::model {
namespace {
using Json = nlohmann::json;

// As published with DeepSeek-V3 and R1.
constexpr const char* kV3 = R"({
  "architectures": ["DeepseekV3ForCausalLM"], "attention_bias": false, "attention_dropout": 0.0,
  "auto_map": {"AutoConfig": "configuration_deepseek.DeepseekV3Config"},
  "aux_loss_alpha": 0.001, "bos_token_id": 0, "eos_token_id": 1, "ep_size": 1, "first_k_dense_replace": 3,
  "hidden_act": "silu", "hidden_size": 7168, "initializer_range": 0.02,
  "intermediate_size": 18432, "kv_lora_rank": 512, "max_position_embeddings": 163840,
  "model_type": "deepseek_v3", "moe_intermediate_size": 2048,
  "moe_layer_freq": 1, "n_group": 8, "n_routed_experts": 256, "n_shared_experts": 1, "norm_topk_prob": true,
  "num_attention_heads": 128, "num_experts_per_tok": 8, "num_hidden_layers": 61, "num_key_value_heads": 128,
  "num_nextn_predict_layers": 1, "pretraining_tp": 1, "q_lora_rank": 1536, "qk_nope_head_dim": 128,
  "qk_rope_head_dim": 64,
  "quantization_config": {"activation_scheme": "dynamic", "fmt": "e4m3", "quant_method": "fp8",
                          "weight_block_size": [128, 128]},
  "rms_norm_eps": 1e-06,
  "rope_scaling": {"beta_fast": 32, "beta_slow": 1, "factor": 40, "mscale": 1.0, "mscale_all_dim": 1.0,
                   "original_max_position_embeddings": 4096, "type": "yarn"},
  "rope_theta": 10000, "routed_scaling_factor": 2.5, "scoring_func": "sigmoid", "seq_aux": true,
  "tie_word_embeddings": false, "topk_group": 4, "topk_method": "noaux_tc", "torch_dtype": "bfloat16",
  "transformers_version": "4.33.1", "use_cache": true, "v_head_dim": 128, "vocab_size": 129280})";

// V3's file with some fields replaced; null values stay null, "remove" lists fields to take out.
std::string edited(const Json& changes, const std::vector<std::string>& remove = {}) {
  Json j = Json::parse(kV3);
  for (const auto& [key, value] : changes.items()) j[key] = value;
  for (const std::string& key : remove) j.erase(key);
  return j.dump();
}
Json yarn(const Json& changes = Json::object(), const std::vector<std::string>& remove = {}) {
  Json j = Json::parse(kV3)["rope_scaling"];
  for (const auto& [key, value] : changes.items()) j[key] = value;
  for (const std::string& key : remove) j.erase(key);
  return {{"rope_scaling", j}};
}
Json quantization(const Json& changes) {
  Json j = Json::parse(kV3)["quantization_config"];
  for (const auto& [key, value] : changes.items()) j[key] = value;
  return {{"quantization_config", j}};
}
const Json kV2LiteFields = {
    {"architectures", {"DeepseekV2ForCausalLM"}},
    {"model_type", "deepseek_v2"},
    {"vocab_size", 102400},
    {"hidden_size", 2048},
    {"num_hidden_layers", 27},
    {"first_k_dense_replace", 1},
    {"num_attention_heads", 16},
    {"num_key_value_heads", 16},
    {"q_lora_rank", nullptr},
    {"intermediate_size", 10944},
    {"moe_intermediate_size", 1408},
    {"n_routed_experts", 64},
    {"n_shared_experts", 2},
    {"num_experts_per_tok", 6},
    {"n_group", 1},
    {"topk_group", 1},
    {"scoring_func", "softmax"},
    {"topk_method", "greedy"},
    {"norm_topk_prob", false},
    {"routed_scaling_factor", 1.0},
    {"bos_token_id", 100000},
    {"eos_token_id", 100001},
    {"quantization_config", nullptr},
    {"rope_scaling", yarn({{"mscale", 0.707}, {"mscale_all_dim", 0.707}})["rope_scaling"]}};
const Json kMoonlightFields = {{"vocab_size", 163840},
                               {"hidden_size", 2048},
                               {"num_hidden_layers", 27},
                               {"first_k_dense_replace", 1},
                               {"num_attention_heads", 16},
                               {"num_key_value_heads", 16},
                               {"q_lora_rank", nullptr},
                               {"intermediate_size", 11264},
                               {"moe_intermediate_size", 1408},
                               {"n_routed_experts", 64},
                               {"n_shared_experts", 2},
                               {"num_experts_per_tok", 6},
                               {"n_group", 1},
                               {"topk_group", 1},
                               {"routed_scaling_factor", 2.446},
                               {"rope_theta", 50000.0},
                               {"rope_scaling", nullptr},
                               {"max_position_embeddings", 8192},
                               {"rms_norm_eps", 1e-5},
                               {"num_nextn_predict_layers", 0},
                               {"quantization_config", nullptr}};
const Json kK2Fields = {{"model_type", "kimi_k2"},
                        {"vocab_size", 163840},
                        {"first_k_dense_replace", 1},
                        {"num_attention_heads", 64},
                        {"num_key_value_heads", 64},
                        {"n_routed_experts", 384},
                        {"n_group", 1},
                        {"topk_group", 1},
                        {"routed_scaling_factor", 2.827},
                        {"rope_theta", 50000.0},
                        {"max_position_embeddings", 131072},
                        {"num_nextn_predict_layers", 0},
                        {"bos_token_id", 163584},
                        {"eos_token_id", {163585, 163586}},
                        {"rope_scaling", yarn({{"factor", 32.0}, {"beta_fast", 1.0}})["rope_scaling"]}};

std::string error_of(const std::string& text) {
  try {
    parse_config(text, "dir/config.json");
  } catch (const Error& e) {
    return e.what();
  }
  return "no error";
}
// The message names the file and contains every one of `parts`.
void expect_error(const std::string& text, const std::vector<std::string>& parts) {
  const std::string message = error_of(text);
  EXPECT_TRUE(message.starts_with("dir/config.json: ")) << message;
  for (const std::string& part : parts)
    EXPECT_NE(message.find(part), std::string::npos) << message << "\n" << part;
}

void expect_round_trip(const ModelConfig& c) {
  const std::string text = config_to_json(c);
  EXPECT_EQ(text.back(), '\n');
  const ModelConfig d = parse_config(text, "written");
  EXPECT_EQ(config_to_json(d), text);
  EXPECT_TRUE(d.unknown_fields.empty());
  EXPECT_EQ(c.architecture, d.architecture);
  EXPECT_EQ(c.q_lora_rank, d.q_lora_rank);
  EXPECT_EQ(c.rope.yarn, d.rope.yarn);
  EXPECT_EQ(c.rope.theta, d.rope.theta);
  EXPECT_EQ(c.rope.factor, d.rope.factor);
  EXPECT_EQ(c.rope.mscale, d.rope.mscale);
  EXPECT_EQ(c.rope.mscale_all_dim, d.rope.mscale_all_dim);
  EXPECT_EQ(c.rope.dim, d.rope.dim);
  EXPECT_EQ(c.eos_token_ids, d.eos_token_ids);
  EXPECT_EQ(c.bos_token_id, d.bos_token_id);
  EXPECT_EQ(c.fp8, d.fp8);
  EXPECT_EQ(c.ue8m0_scales, d.ue8m0_scales);
  EXPECT_EQ(c.routed_scaling_factor, d.routed_scaling_factor);
  EXPECT_EQ(c.rms_norm_eps, d.rms_norm_eps);
}

TEST(Config, V3) {
  const ModelConfig c = parse_config(kV3, "config.json");
  EXPECT_EQ(c.vocab_size, 129280);
  EXPECT_EQ(c.num_hidden_layers, 61);
  EXPECT_EQ(c.qk_head_dim(), 192);
  EXPECT_EQ(c.shared_intermediate_size(), 2048);
  EXPECT_FALSE(c.is_moe_layer(2));
  EXPECT_TRUE(c.is_moe_layer(3));
  EXPECT_TRUE(c.is_moe_layer(61));
  EXPECT_TRUE(c.fp8);
  EXPECT_FALSE(c.ue8m0_scales);
  EXPECT_EQ(c.bos_token_id, 0);
  EXPECT_EQ(c.eos_token_ids, std::vector<int32_t>{1});
  EXPECT_NEAR(static_cast<double>(c.softmax_scale()), 0.1352337789, 1e-8);
  EXPECT_TRUE(c.unknown_fields.empty());
  const kernels::RouteConfig r = c.route();
  EXPECT_TRUE(r.sigmoid && r.group_top2 && r.scale_and_norm && r.norm_topk_prob);
  EXPECT_EQ(r.n_group, 8);
  EXPECT_EQ(r.topk_group, 4);
  EXPECT_EQ(r.routed_scaling_factor, 2.5f);
  expect_round_trip(c);
}

TEST(Config, V2Lite) {
  const ModelConfig c = parse_config(edited(kV2LiteFields, {"num_nextn_predict_layers"}), "config.json");
  EXPECT_EQ(c.q_lora_rank, 0);
  EXPECT_EQ(c.num_nextn_predict_layers, 0);
  EXPECT_FALSE(c.has_correction_bias());
  const kernels::RouteConfig r = c.route();
  EXPECT_FALSE(r.sigmoid || r.group_top2 || r.scale_and_norm || r.norm_topk_prob);
  EXPECT_NEAR(static_cast<double>(c.softmax_scale()), 1.5896261652 / std::sqrt(192.0), 1e-8);
  expect_round_trip(c);
}

TEST(Config, V2) {
  Json fields = kV2LiteFields;
  fields.update({{"n_routed_experts", 160},
                 {"n_group", 8},
                 {"topk_group", 3},
                 {"q_lora_rank", 1536},
                 {"topk_method", "group_limited_greedy"},
                 {"routed_scaling_factor", 16.0}});
  const kernels::RouteConfig r = parse_config(edited(fields), "config.json").route();
  EXPECT_EQ(r.n_group, 8);
  EXPECT_EQ(r.topk_group, 3);
  EXPECT_EQ(r.routed_scaling_factor, 16.0f);
}

TEST(Config, GreedyRoutingHasNoGroups) {
  Json fields = kV2LiteFields;
  fields["n_group"] = fields["topk_group"] = nullptr;
  EXPECT_EQ(parse_config(edited(fields), "c").route().n_group, 1);
  fields["n_group"] = 8;
  fields["topk_group"] = 1;
  EXPECT_EQ(parse_config(edited(fields), "c").route().n_group, 1);
}

TEST(Config, Moonlight) {
  const ModelConfig c = parse_config(edited(kMoonlightFields), "config.json");
  EXPECT_EQ(c.rope.theta, 50000.0);
  EXPECT_FALSE(c.rope.yarn);
  EXPECT_EQ(c.rms_norm_eps, 1e-5);
  EXPECT_NEAR(static_cast<double>(c.softmax_scale()), 1 / std::sqrt(192.0), 1e-8);
  EXPECT_EQ(c.shared_intermediate_size(), 2816);
  expect_round_trip(c);
}

TEST(Config, KimiK2) {
  const ModelConfig c = parse_config(edited(kK2Fields), "config.json");
  EXPECT_EQ(c.rope.factor, 32.0);
  EXPECT_EQ(c.rope.beta_fast, c.rope.beta_slow);
  EXPECT_EQ(c.eos_token_ids, (std::vector<int32_t>{163585, 163586}));
  expect_round_trip(c);
}

TEST(Config, V31HasPowerOfTwoScales) {
  const ModelConfig c = parse_config(edited(quantization({{"scale_fmt", "ue8m0"}})), "config.json");
  EXPECT_TRUE(c.ue8m0_scales);
  expect_round_trip(c);
}

// transformers 5: rope_parameters, dtype, and no fields that its class does not have.
TEST(Config, Transformers5) {
  Json rope = yarn()["rope_scaling"];
  rope["rope_type"] = "yarn";
  rope["rope_theta"] = 20000.0;
  const std::string text =
      edited({{"rope_parameters", rope}, {"dtype", "float32"}, {"rope_interleave", true}},
             {"rope_scaling", "rope_theta", "torch_dtype", "scoring_func", "topk_method", "moe_layer_freq",
              "num_nextn_predict_layers", "num_key_value_heads"});
  const ModelConfig c = parse_config(text, "config.json");
  EXPECT_EQ(c.rope.theta, 20000.0);
  EXPECT_EQ(c.rope.factor, 40.0);
  EXPECT_EQ(c.torch_dtype, "float32");
  EXPECT_EQ(c.topk_method, "noaux_tc");
  EXPECT_TRUE(c.unknown_fields.empty());
  const Json plain = {{"rope_parameters", {{"rope_type", "default"}, {"rope_theta", 10000.0}}}};
  EXPECT_FALSE(parse_config(edited(plain, {"rope_scaling", "rope_theta"}), "c").rope.yarn);
}

TEST(Config, DenseModel) {
  const std::vector<std::string> expert_fields = {
      "num_experts_per_tok", "n_shared_experts",      "moe_intermediate_size", "n_group",
      "topk_group",          "first_k_dense_replace", "norm_topk_prob",        "routed_scaling_factor"};
  for (const Json& none : {Json(nullptr), Json(0)}) {
    const ModelConfig c = parse_config(edited({{"n_routed_experts", none}}, expert_fields), "c");
    EXPECT_FALSE(c.is_moe_layer(60) || c.is_moe_layer(61));
    EXPECT_EQ(c.first_k_dense_replace, 61);
    expect_round_trip(c);
  }
  expect_error(edited(Json::object(), {"n_routed_experts"}), {"n_routed_experts", "missing"});
}

TEST(Config, YarnVariants) {
  EXPECT_FALSE(parse_config(edited({{"rope_scaling", nullptr}}), "c").rope.yarn);
  EXPECT_FALSE(parse_config(edited(Json::object(), {"rope_scaling"}), "c").rope.yarn);
  EXPECT_FALSE(parse_config(edited(yarn({{"type", "default"}})), "c").rope.yarn);
  EXPECT_FALSE(parse_config(edited(yarn({{"factor", 1}, {"mscale", 3}})), "c").rope.yarn);
  EXPECT_TRUE(parse_config(edited(yarn({{"rope_type", "yarn"}}, {"type"})), "c").rope.yarn);
  const ModelConfig absent = parse_config(edited(yarn(Json::object(), {"mscale", "mscale_all_dim"})), "c");
  EXPECT_EQ(absent.rope.mscale, 1.0);
  EXPECT_EQ(absent.rope.mscale_all_dim, 0.0);
  expect_round_trip(absent);
}

TEST(Config, UnknownFieldsAreListed) {
  Json changes = yarn({{"finetuned", true}});
  changes["my_field"] = 1;
  changes["another"] = Json::array();
  const ModelConfig c = parse_config(edited(changes), "c");
  EXPECT_EQ(c.unknown_fields, (std::vector<std::string>{"rope_scaling.finetuned", "another", "my_field"}));
}

TEST(Config, ASingleExpertPerGroup) {
  const ModelConfig c = parse_config(edited({{"n_routed_experts", 8}, {"num_experts_per_tok", 4}}), "c");
  EXPECT_EQ(c.route().n_group, 8);
}

TEST(Config, MissingFields) {
  for (const char* field : {"model_type",
                            "vocab_size",
                            "hidden_size",
                            "num_hidden_layers",
                            "intermediate_size",
                            "max_position_embeddings",
                            "num_attention_heads",
                            "q_lora_rank",
                            "kv_lora_rank",
                            "qk_nope_head_dim",
                            "qk_rope_head_dim",
                            "v_head_dim",
                            "num_experts_per_tok",
                            "n_shared_experts",
                            "moe_intermediate_size",
                            "n_group",
                            "topk_group",
                            "first_k_dense_replace",
                            "norm_topk_prob",
                            "routed_scaling_factor",
                            "rope_theta",
                            "rms_norm_eps"})
    expect_error(edited(Json::object(), {field}), {field, "is missing", "add it"});
  expect_error(edited({{"hidden_size", nullptr}}), {"hidden_size", "is null"});
  expect_error(edited(kV2LiteFields, {"topk_method"}), {"topk_method", "is missing"});
  for (const char* field : {"factor", "original_max_position_embeddings", "type"})
    expect_error(edited(yarn(Json::object(), {field})), {std::string("rope_scaling.") + field, "is missing"});
}

TEST(Config, WrongTypes) {
  expect_error(edited({{"hidden_size", "7168"}}), {"hidden_size", "\"7168\"", "integer"});
  expect_error(edited({{"hidden_size", 7168.5}}), {"hidden_size", "7168.5", "integer"});
  expect_error(edited({{"hidden_size", {1}}}), {"hidden_size", "a list", "integer"});
  expect_error(edited({{"rms_norm_eps", "1e-6"}}), {"rms_norm_eps", "number"});
  expect_error(edited({{"norm_topk_prob", 1}}), {"norm_topk_prob", "true or false"});
  expect_error(edited({{"model_type", 3}}), {"model_type", "string"});
  expect_error(edited({{"rope_scaling", 3}}), {"rope_scaling", "object"});
  expect_error(edited({{"architectures", "DeepseekV3ForCausalLM"}}), {"architectures", "list"});
  expect_error(edited({{"eos_token_id", {1, "a"}}}), {"eos_token_id", "integer"});
}

TEST(Config, Ranges) {
  for (const char* field : {"vocab_size", "hidden_size", "num_hidden_layers", "intermediate_size",
                            "v_head_dim", "max_position_embeddings", "num_attention_heads", "kv_lora_rank",
                            "qk_nope_head_dim", "qk_rope_head_dim", "num_experts_per_tok",
                            "moe_intermediate_size", "n_group", "topk_group", "moe_layer_freq"}) {
    for (int64_t value : {int64_t{-3}, int64_t{0}, int64_t{1} << 40}) {
      Json changes = {{field, value}};
      if (std::string(field) == "num_attention_heads") changes["num_key_value_heads"] = value;
      expect_error(edited(changes), {field, std::to_string(value), "must be from"});
    }
  }
  expect_error(edited({{"qk_rope_head_dim", 63}}), {"qk_rope_head_dim", "63", "even"});
  expect_error(edited({{"first_k_dense_replace", 62}}), {"first_k_dense_replace", "62", "61"});
  expect_error(edited({{"num_nextn_predict_layers", 2}}),
               {"num_nextn_predict_layers", "2", "not implemented"});
  expect_error(edited({{"rms_norm_eps", 0}}), {"rms_norm_eps", "above 0"});
  expect_error(edited({{"routed_scaling_factor", -1}}), {"routed_scaling_factor", "-1"});
  expect_error(edited({{"rope_theta", 1}}), {"rope_theta", "above 1"});
  expect_error(edited({{"bos_token_id", 129280}}), {"bos_token_id", "129280", "vocab_size"});
  expect_error(edited({{"eos_token_id", {1, 200000}}}), {"eos_token_id", "200000"});
  expect_error(edited({{"eos_token_id", -1}}), {"eos_token_id", "-1"});
  expect_error(edited({{"torch_dtype", "int3"}}), {"torch_dtype", "int3", "bfloat16"});
  expect_error(edited({{"num_hidden_layers", 4096},
                       {"hidden_size", 1 << 18},
                       {"n_routed_experts", 1 << 14},
                       {"moe_intermediate_size", 1 << 20}}),
               {"parameters"});
  // Beyond int64, and beyond double.
  std::string text = kV3;
  text.replace(text.find("129280"), 6, "99999999999999999999");
  expect_error(text, {"vocab_size"});
  text.replace(text.find("99999999999999999999"), 20, "18446744073709551615");
  expect_error(text, {"vocab_size", "beyond 64 bits"});
  text.replace(text.find("18446744073709551615"), 20, "1e999");
  expect_error(text, {"JSON"});
}

TEST(Config, Routing) {
  expect_error(edited({{"n_group", 7}}), {"n_routed_experts", "256", "n_group 7"});
  expect_error(edited({{"topk_group", 9}}), {"topk_group", "9", "8"});
  expect_error(edited({{"topk_group", 1}, {"num_experts_per_tok", 33}}),
               {"num_experts_per_tok", "33", "32 experts"});
  expect_error(edited({{"scoring_func", "softmax"}}), {"softmax", "noaux_tc"});
  expect_error(edited({{"topk_method", "greedy"}}), {"sigmoid", "greedy"});
  expect_error(edited({{"topk_method", "best"}}), {"best"});
  expect_error(edited({{"topk_method", "greedy"}, {"scoring_func", "softmax"}}), {"greedy", "deepseek_v3"});
}

TEST(Config, NotImplemented) {
  expect_error(edited({{"model_type", "deepseek_v32"}}),
               {"model_type", "deepseek_v32", "attention", "not implemented"});
  expect_error(edited({{"model_type", "deepseek_v4"}}), {"model_type", "deepseek_v4", "not implemented"});
  expect_error(edited({{"model_type", "llama"}}), {"model_type", "llama", "known"});
  expect_error(edited({{"architectures", {"DeepseekV3ForSequenceClassification"}}}),
               {"architectures", "Sequence"});
  expect_error(edited({{"num_key_value_heads", 8}}), {"num_key_value_heads", "8", "128"});
  expect_error(edited({{"hidden_act", "gelu"}}), {"hidden_act", "gelu", "silu"});
  expect_error(edited({{"attention_bias", true}}), {"attention_bias"});
  expect_error(edited({{"attention_dropout", 0.1}}), {"attention_dropout", "0.1"});
  expect_error(edited({{"rope_interleave", false}}), {"rope_interleave"});
  expect_error(edited({{"index_topk", 2048}}), {"index_topk"});
}

TEST(Config, RopeErrors) {
  expect_error(edited(yarn({{"type", "linear"}})), {"rope_scaling.type", "linear", "yarn"});
  expect_error(edited(yarn({{"rope_type", "linear"}})), {"rope_scaling.type", "linear", "yarn"});
  expect_error(edited(yarn({{"factor", 0.5}})), {"rope_scaling.factor", "0.5"});
  expect_error(edited(yarn({{"original_max_position_embeddings", 0}})), {"original_max_position_embeddings"});
  expect_error(edited(yarn({{"beta_fast", 0.5}})), {"beta_fast", "0.5"});
  expect_error(edited(yarn({{"beta_slow", 0}})), {"beta_slow"});
  expect_error(edited(yarn({{"mscale", -1}})), {"mscale", "-1"});
  expect_error(edited(yarn(Json::object(), {"mscale"})), {"rope_scaling.mscale", "disagree"});
  expect_error(edited(yarn(Json::object(), {"mscale_all_dim"})), {"rope_scaling.mscale_all_dim", "disagree"});
  expect_error(edited(yarn({{"mscale", 0.7}, {"mscale_all_dim", 0}})), {"mscale_all_dim", "0.7", "disagree"});
  expect_error(edited(yarn({{"attention_factor", 1.2}})), {"attention_factor"});
  expect_error(edited(yarn({{"truncate", false}})), {"truncate"});
  expect_error(edited(yarn({{"partial_rotary_factor", 0.5}})), {"partial_rotary_factor"});
  expect_error(edited({{"rope_parameters", {{"rope_type", "default"}, {"rope_theta", 10000}}}}),
               {"rope_parameters"});
  expect_error(
      edited({{"rope_parameters", {{"rope_type", "default"}, {"rope_theta", 5000}}}}, {"rope_scaling"}),
      {"rope_theta", "10000", "5000"});
}

TEST(Config, QuantizationErrors) {
  expect_error(edited(quantization({{"quant_method", "awq"}})),
               {"quantization_config.quant_method", "awq", "e4m3"});
  expect_error(edited(quantization({{"fmt", "e5m2"}})), {"quantization_config.fmt", "e5m2"});
  expect_error(edited(quantization({{"activation_scheme", "static"}})), {"activation_scheme", "static"});
  expect_error(edited(quantization({{"weight_block_size", {64, 128}}})), {"weight_block_size", "128"});
  expect_error(edited(quantization({{"weight_block_size", nullptr}})), {"weight_block_size"});
  expect_error(edited(quantization({{"scale_fmt", "e5m3"}})), {"scale_fmt", "e5m3"});
}

TEST(Config, HostileText) {
  for (const char* text :
       {"", "{", "[]", "null", "{\"a\":1", "{\"a\":01}", "\xff\xfe", "{\"a\":\"\xff\"}", "nan"})
    expect_error(text, {});
  expect_error(std::string(1 << 20, '['), {"nests deeper"});
  std::string deep;
  for (int i = 0; i < 100000; ++i) deep += "{\"a\":";
  expect_error(deep, {"nests deeper"});
  expect_error(std::string(8 << 20, ' '), {"bytes long"});
  expect_error("{\"model_type\":\"deepseek_v3\",\"model_type\":\"deepseek_v2\"}", {"model_type", "twice"});
}

TEST(Config, CheckOfAConfigFilledByHand) {
  ModelConfig c = parse_config(kV3, "c");
  c.rms_norm_eps = std::nan("");
  EXPECT_THROW(config_to_json(c), Error);
  c = parse_config(kV3, "c");
  c.rope.dim = 32;
  EXPECT_THROW(check_config(c, "recipe"), Error);
  c = parse_config(kV3, "c");
  c.fp8 = false;
  c.ue8m0_scales = true;
  EXPECT_THROW(check_config(c, "recipe"), Error);
}

TEST(Config, LoadNamesTheFile) {
  try {
    load_config("/nonexistent");
    FAIL();
  } catch (const Error& e) {
    EXPECT_NE(std::string(e.what()).find("/nonexistent/config.json"), std::string::npos) << e.what();
  }
}

}  // namespace
}  // namespace frugal::model
