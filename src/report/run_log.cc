#include "report/run_log.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "base/files.h"
#include "model/params.h"
#include "train/gradient_groups.h"

namespace frugal::report {

using nlohmann::json;

namespace {
constexpr size_t kDamagedNamed = 5;
constexpr size_t kExpertCells = 60000;  // values of a heat map, 4/3 characters each

std::vector<std::string> group_names(const train::Recipe& recipe) {
  model::Weights weights;
  std::vector<std::string> names;
  for (const auto& g : train::gradient_groups(recipe.model, model::build_param_table(recipe.model, &weights)))
    names.push_back(g.name);
  return names;
}

std::vector<std::string> moe_layer_names(const model::ModelConfig& c) {
  std::vector<std::string> names;
  for (int64_t l = 0; l < c.num_hidden_layers; ++l)
    if (c.is_moe_layer(l)) names.push_back(fmt::format("layer {}", l));
  if (c.n_routed_experts > 0 && c.num_nextn_predict_layers > 0) names.emplace_back("MTP");
  return names;
}

size_t expert_rows(const model::ModelConfig& c) {
  return moe_layer_names(c).size() * static_cast<size_t>(c.n_routed_experts);
}
size_t expert_columns(const model::ModelConfig& c, size_t points) {
  return std::clamp<size_t>(kExpertCells / std::max<size_t>(1, expert_rows(c)), 8,
                            std::max<size_t>(8, points / 4));
}

double number(const json& line, const char* key) {
  const auto at = line.find(key);
  return at != line.end() && at->is_number() ? at->get<double>() : kAbsent;
}
// A list of so many numbers.
bool numbers(const json& list, size_t count, std::vector<double>* out) {
  if (!list.is_array() || list.size() != count) return false;
  for (const json& v : list) {
    if (!v.is_number()) return false;
    out->push_back(v.get<double>());
  }
  return true;
}
}  // namespace

RunLog::RunLog(const train::Recipe& r, size_t points)
    : steps(kStepChannels, points),
      validations(kValidationChannels, std::max<size_t>(1, points / 2)),
      grad_norms(report::group_names(r).size(), std::max<size_t>(1, points / 4)),
      experts(expert_rows(r.model), expert_columns(r.model, points)),
      group_names(report::group_names(r)),
      moe_layers(moe_layer_names(r.model)),
      experts_per_layer_(static_cast<size_t>(r.model.n_routed_experts)) {}

void RunLog::read(const std::string& file) {
  const MappedFile mapped(file);
  std::string_view text = mapped.text();
  // What stands after the last line end is still being written, or was when the run was killed.
  for (size_t end; (end = text.find('\n')) != std::string_view::npos; text.remove_prefix(end + 1))
    add(text.substr(0, end));
}

void RunLog::add(std::string_view line) {
  ++line_;
  if (add_checked(line)) return;
  ++damaged;
  if (damaged_lines.size() < kDamagedNamed) damaged_lines.push_back(line_);
}

bool RunLog::add_checked(std::string_view text) {
  const json line = json::parse(text.begin(), text.end(), nullptr, false);
  if (!line.is_object() || !line.contains("step") || !line["step"].is_number_unsigned()) return false;
  const auto step = static_cast<int64_t>(line["step"].get<uint64_t>());
  if (step < 1) return false;
  if (line.contains("loss")) {
    const double loss = number(line, "loss");
    std::vector<double> norms;
    if (step <= last_step || !std::isfinite(loss)) return false;
    if (line.contains("grad_norms") && !numbers(line["grad_norms"], group_names.size(), &norms)) return false;
    steps.add(step, std::vector<double>{loss, number(line, "mtp_loss"), number(line, "balance_loss"),
                                        number(line, "lr"), number(line, "grad_norm"),
                                        number(line, "tokens_per_second"), number(line, "peak_share")});
    if (!norms.empty()) grad_norms.add(step, norms);
    if (first_step == 0) {
      first_step = step;
      first_loss = loss;
    }
    last_step = step;
    last_loss = loss;
    if (const double s = number(line, "seconds"); std::isfinite(s)) seconds += s;
    return true;
  }
  if (line.contains("val_loss")) {
    if (step <= last_validation_ || !std::isfinite(number(line, "val_loss"))) return false;
    last_validation_ = step;
    last_bits = number(line, "val_bits_per_byte");
    if (std::isfinite(last_bits) && !(last_bits >= best_bits)) {
      best_bits = last_bits;
      best_step = step;
    }
    validations.add(
        step, std::vector<double>{number(line, "val_loss"), last_bits, number(line, "val_mtp_loss"),
                                  number(line, "val_mtp_bits_per_byte"), number(line, "mtp_acceptance")});
    return true;
  }
  if (line.contains("expert_tokens")) {
    if (step <= last_experts_ || !line.contains("router_bias")) return false;
    const json &tokens = line["expert_tokens"], &bias = line["router_bias"];
    if (!tokens.is_array() || tokens.size() != moe_layers.size() || !bias.is_array() ||
        bias.size() != moe_layers.size())
      return false;
    std::vector<float> loads, biases;
    for (size_t l = 0; l < moe_layers.size(); ++l) {
      std::vector<double> counts, values;
      if (!numbers(tokens[l], experts_per_layer_, &counts) || !numbers(bias[l], experts_per_layer_, &values))
        return false;
      double mean = 0;
      for (const double n : counts) mean += n / static_cast<double>(counts.size());
      for (const double n : counts) loads.push_back(mean > 0 ? static_cast<float>(n / mean) : 0.0f);
      for (const double b : values) biases.push_back(static_cast<float>(b));
    }
    last_experts_ = step;
    experts.add(step, std::move(loads), std::move(biases));
    return true;
  }
  return true;  // a kind of line that a later version writes
}

}  // namespace frugal::report
