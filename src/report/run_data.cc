#include "report/run_data.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/files.h"
#include "cost/energy.h"
#include "model/flops.h"
#include "model/params.h"

namespace frugal::report {

using nlohmann::ordered_json;

namespace {
constexpr size_t kSamples = 48, kSampleBytes = 2000;

// Five digits are more than a screen shows.
ordered_json brief(double v) {
  if (!std::isfinite(v)) return nullptr;
  return std::strtod(fmt::format("{:.5g}", v).c_str(), nullptr);
}

ordered_json curve(const Series& s, size_t channel) {
  ordered_json mean = ordered_json::array(), min = mean, max = mean;
  bool any = false;
  for (size_t b = 0; b < s.size(); ++b) {
    mean.push_back(brief(s.mean(b, channel)));
    any = any || !mean.back().is_null();
    min.push_back(brief(s.min(b, channel)));
    max.push_back(brief(s.max(b, channel)));
  }
  if (!any) return nullptr;
  ordered_json c = {{"mean", mean}};
  if (s.width() > 1) {
    c["min"] = min;
    c["max"] = max;
  }
  return c;
}

ordered_json step_axis(const Series& s) {
  ordered_json steps = ordered_json::array();
  for (size_t b = 0; b < s.size(); ++b) steps.push_back(s.step(b));
  return steps;
}

ordered_json gradient_map(const RunLog& log) {
  ordered_json rows = ordered_json::array();
  for (size_t g = 0; g < log.group_names.size(); ++g) {
    ordered_json row = ordered_json::array();
    for (size_t b = 0; b < log.grad_norms.size(); ++b) row.push_back(brief(log.grad_norms.max(b, g)));
    rows.push_back(row);
  }
  return {{"names", log.group_names},
          {"step", step_axis(log.grad_norms)},
          {"width", log.grad_norms.width()},
          {"max", rows}};
}

ordered_json expert_maps(const RunLog& log) {
  if (log.experts.columns() == 0) return nullptr;
  ordered_json steps = ordered_json::array();
  for (size_t c = 0; c < log.experts.columns(); ++c) steps.push_back(log.experts.step(c));
  const float scale = log.experts.largest_bias();
  return {{"layers", log.moe_layers},
          {"step", steps},
          {"load", log.experts.load_base64()},
          {"bias", log.experts.bias_base64(scale)},
          {"bias_scale", brief(static_cast<double>(scale))}};
}

// At most kSamples of samples/step-NNNNNNNN.txt, evenly chosen, the last one among them.
ordered_json samples(const std::string& directory, int64_t last_step) {
  ordered_json list = ordered_json::array();
  if (!is_directory(directory)) return list;
  std::vector<std::pair<int64_t, std::string>> files;
  for (const std::string& name : list_directory(directory)) {
    long long step = 0;
    char end = 0;
    if (std::sscanf(name.c_str(), "step-%lld.tx%c", &step, &end) == 2 && step <= last_step)
      files.emplace_back(step, directory + "/" + name);
  }
  const size_t shown = std::min(files.size(), kSamples);
  for (size_t i = 0; i < shown; ++i) {
    const auto& [step, file] = files[(i + 1) * files.size() / shown - 1];
    std::string text = read_file(file);
    if (text.ends_with('\n')) text.pop_back();
    const bool cut = text.size() > kSampleBytes;
    if (cut) text.resize(kSampleBytes);
    list.push_back({{"step", step}, {"text", text}, {"cut", cut}});
  }
  return list;
}

// key -> value of a resolved recipe, as TOML writes it.
std::vector<std::pair<std::string, std::string>> recipe_rows(const train::Recipe& recipe) {
  std::vector<std::pair<std::string, std::string>> rows;
  const std::string text = train::recipe_to_toml(recipe);
  for (size_t at = 0; at < text.size();) {
    const size_t end = std::min(text.find('\n', at), text.size());
    const std::string line = text.substr(at, end - at);
    const size_t equals = line.find(" = ");
    if (!line.starts_with('#') && equals != std::string::npos)
      rows.emplace_back(line.substr(0, equals), line.substr(equals + 3));
    at = end + 1;
  }
  return rows;
}

// What names the run rather than shapes it: no preset says it.
bool names_the_run(const std::string& key) {
  return key == "data" || key == "out" || key == "preset" || key == "minutes";
}

ordered_json recipe_table(const train::Recipe& recipe) {
  const std::vector<std::string> presets = train::preset_names();
  const bool known = std::find(presets.begin(), presets.end(), recipe.preset) != presets.end();
  const train::Recipe base = known ? train::load_recipe(recipe.preset, {}) : train::Recipe{};
  const auto rows = recipe_rows(recipe), base_rows = recipe_rows(base);
  ordered_json list = ordered_json::array();
  for (size_t i = 0; i < rows.size(); ++i) {
    ordered_json row = {
        {"key", rows[i].first}, {"value", rows[i].second}, {"help", train::recipe_options()[i].help}};
    if (rows[i].second != base_rows[i].second && !names_the_run(rows[i].first))
      row["base"] = base_rows[i].second;
    list.push_back(row);
  }
  return {{"base", known ? recipe.preset + " preset" : "defaults"}, {"rows", list}};
}

ordered_json machine(const std::string& file) {
  if (!file_exists(file)) return nullptr;
  ordered_json m = ordered_json::parse(read_file(file), nullptr, false);
  return m.is_object() ? m : ordered_json(nullptr);
}

ordered_json totals(const train::Recipe& recipe, const RunLog& log, const ordered_json& machine) {
  const double tokens =
      static_cast<double>(log.last_step) * static_cast<double>(recipe.batch * recipe.sequence_length);
  const double flops_per_token =
      3 * model::forward_flops_per_token(recipe.model, recipe.sequence_length, true);
  ordered_json t = {
      {"tokens", tokens}, {"seconds", brief(log.seconds)}, {"flop", brief(tokens * flops_per_token)}};
  const auto threads = machine.is_object() ? machine.find("threads") : machine.end();
  if (machine.is_object() && threads != machine.end() && threads->is_number()) {
    const double core_hours = log.seconds * threads->get<double>() / 3600;
    t["core_hours"] = brief(core_hours);
    t["dollars"] = brief(core_hours * cost::kDollarsPerCoreHour);
    t["watt_hours"] = brief(core_hours * cost::kWattsPerCore);
    t["assumptions"] = fmt::format("estimates: ${} per core hour, {} W per core", cost::kDollarsPerCoreHour,
                                   cost::kWattsPerCore);
  }
  return t;
}

const char* state_name(RunState s) {
  return s == RunState::kRunning ? "running" : s == RunState::kFinished ? "finished" : "stopped";
}
}  // namespace

std::string run_json(const RunFacts& facts, const train::Recipe& recipe, const RunLog& log) {
  model::Weights weights;
  const ordered_json m = machine(facts.directory + "/machine.json");
  const double now =
      std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
  const ordered_json run = {
      {"name", facts.name},
      {"state", state_name(facts.state)},
      {"step", log.last_step},
      {"steps", recipe.steps},
      {"eta_seconds", brief(facts.eta_seconds)},
      {"updated", std::floor(now)},
      {"refresh_seconds", facts.refresh_seconds},
      {"damaged", {{"count", log.damaged}, {"lines", log.damaged_lines}}},
      {"parameters", model::build_param_table(recipe.model, &weights).elements},
      {"active_parameters", model::active_parameters(recipe.model)},
      {"vocab_size", recipe.model.vocab_size},
      {"totals", totals(recipe, log, m)},
      {"first_loss", brief(log.first_loss)},
      {"last_loss", brief(log.last_loss)},
      {"last_bits", brief(log.last_bits)},
      {"best_bits", brief(log.best_bits)},
      {"best_step", log.best_step},
      {"step_axis", step_axis(log.steps)},
      {"width", log.steps.width()},
      {"loss", curve(log.steps, kLoss)},
      {"mtp_loss", curve(log.steps, kMtpLoss)},
      {"balance_loss", curve(log.steps, kBalanceLoss)},
      {"lr", curve(log.steps, kLearningRate)},
      {"grad_norm", curve(log.steps, kGradNorm)},
      {"tokens_per_second", curve(log.steps, kTokensPerSecond)},
      {"peak_share", curve(log.steps, kPeakShare)},
      {"val_axis", step_axis(log.validations)},
      {"val_loss", curve(log.validations, kValLoss)},
      {"val_bits", curve(log.validations, kValBits)},
      {"val_mtp_loss", curve(log.validations, kValMtpLoss)},
      {"val_mtp_bits", curve(log.validations, kValMtpBits)},
      {"acceptance", curve(log.validations, kAcceptance)},
      {"grad_norms", log.grad_norms.size() > 0 ? gradient_map(log) : ordered_json(nullptr)},
      {"experts", expert_maps(log)},
      {"prompt", recipe.sample_prompt},
      {"samples", samples(facts.directory + "/samples", log.last_step)},
      {"recipe", recipe_table(recipe)},
      {"machine", m}};
  return run.dump(-1, ' ', false, ordered_json::error_handler_t::replace);
}

}  // namespace frugal::report
