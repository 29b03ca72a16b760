// Rotary tables: frequencies, cos and sin, a rotated sample, the softmax scale.
#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "base/files.h"
#include "eval/verify_cases.h"
#include "kernels/rope.h"
#include "model/config.h"
#include "text/json_checked.h"

namespace frugal::eval {

namespace {
using kernels::Ctx;
using Json = nlohmann::json;

// The case's rope fields in an otherwise plain config, so that they go through the same parser as a model's.
model::ModelConfig rope_config(const Json& fields, const std::string& where) {
  Json j = {{"model_type", "deepseek_v3"},
            {"vocab_size", 8},
            {"hidden_size", 8},
            {"num_hidden_layers", 1},
            {"intermediate_size", 8},
            {"max_position_embeddings", 163840},
            {"num_attention_heads", 1},
            {"q_lora_rank", nullptr},
            {"kv_lora_rank", 8},
            {"v_head_dim", 8},
            {"n_routed_experts", 0},
            {"rms_norm_eps", 1e-6}};
  for (const auto& [key, value] : fields.items()) j[key] = value;
  return model::parse_config(j.dump(), where);
}

void verify_rotation(Ctx& ctx, GoldenFile& g, const std::string& prefix, const kernels::RopeTable& table,
                     const std::vector<int32_t>& positions, CaseReport* report) {
  const Shape shape = g.shape(prefix + ".x", 4);
  const int64_t tokens = static_cast<int64_t>(positions.size()), heads = shape[2], dim = 2 * table.pairs();
  const Shape expected{1, tokens, heads, dim};
  const std::vector<double> x64 = g.f64(prefix + ".x", expected);
  std::vector<float> x(x64.begin(), x64.end());
  kernels::rope(ctx, table, positions.data(), tokens, heads, x.data(), heads * dim, dim, 1.0f);
  const std::vector<double> want = g.f64(prefix + ".x_rotated_pairs", expected);
  double largest = 0;
  for (double w : want) largest = std::max(largest, std::fabs(w));
  // Input, cos, sin, two products and a sum are rounded to float32 once each.
  add_check(report, prefix + ".x_rotated_pairs", largest_distance(x, want) / largest,
            {3e-7, "of the maximum"});
}

void verify_rope_case(Ctx& ctx, GoldenFile& g, const std::string& prefix, const model::ModelConfig& config,
                      const std::vector<int32_t>& positions, CaseReport* report) {
  const int64_t n = static_cast<int64_t>(positions.size()), pairs = config.rope.dim / 2;
  check_relative(report, prefix + ".inv_freq", kernels::rope_inv_freq(config.rope),
                 g.f64(prefix + ".inv_freq", {pairs}), 5e-7);
  const double factor = kernels::rope_cos_sin_factor(config.rope),
               scale = static_cast<double>(config.softmax_scale());
  check_relative(report, prefix + ".cos_sin_factor", {factor}, g.f64(prefix + ".cos_sin_factor", {1}), 1e-12);
  constexpr double kFloatStep = 1.2e-7;
  check_relative(report, prefix + ".softmax_scale", {scale}, g.f64(prefix + ".softmax_scale", {1}),
                 kFloatStep);
  kernels::RopeTable table(config.rope);
  table.extend(1 + *std::max_element(positions.begin(), positions.end()));
  std::vector<float> cos, sin;
  for (int32_t p : positions) {
    cos.insert(cos.end(), table.cos(p), table.cos(p) + pairs);
    sin.insert(sin.end(), table.sin(p), table.sin(p) + pairs);
  }
  // The float32 table of a double frequency and angle.
  check_absolute(report, prefix + ".cos", cos, g.f64(prefix + ".cos", {n, pairs}), kFloatStep);
  check_absolute(report, prefix + ".sin", sin, g.f64(prefix + ".sin", {n, pairs}), kFloatStep);
  verify_rotation(ctx, g, prefix, table, positions, report);
}
}  // namespace

void verify_rope(Ctx& ctx, GoldenFile& g, const std::string& directory, CaseReport* report) {
  const std::string path = directory + "/config.json";
  const Json configs = text::parse_checked(read_file(path), path);
  text::Field::root(configs, path).object();
  std::vector<int32_t> positions;
  for (int64_t p : g.i64("positions", {g.shape("positions", 1)[0]})) {
    if (p < 0 || p >= 1 << 20) fail(g.path() + ": positions", fmt::format("holds {}", p), "");
    positions.push_back(static_cast<int32_t>(p));
  }
  if (positions.empty()) fail(g.path() + ": positions", "is empty", "");
  for (const auto& [name, fields] : configs.items()) {
    const std::string where = path + ": " + name;
    if (!fields.is_object()) fail(where, "is not an object", "");
    verify_rope_case(ctx, g, name, rope_config(fields, where), positions, report);
  }
}

}  // namespace frugal::eval
