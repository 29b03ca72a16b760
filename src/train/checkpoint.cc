#include "train/checkpoint.h"

#include <algorithm>
#include <cstring>
#include <nlohmann/json.hpp>

#include "base/disk.h"
#include "base/error.h"
#include "base/files.h"
#include "base/log.h"
#include "model/model_files.h"
#include "train/bad_values.h"
#include "train/manifest.h"

namespace frugal::train {

using nlohmann::json;

namespace {
const char* const kStateFiles[] = {"trainer/masters.safetensors", "trainer/exp_avg.safetensors",
                                   "trainer/exp_avg_sq.safetensors"};
const char* const kModelFile = "model.safetensors";
const std::map<std::string, std::string> kModelMetadata = {{"format", "pt"}};

std::string step_name(int64_t step) { return fmt::format("step-{:08d}", step); }

// Names of the checkpoints of a run, newest first.
std::vector<std::string> checkpoint_names(const std::string& run) {
  std::vector<std::string> names;
  if (!is_directory(run + "/checkpoints")) return names;
  for (const std::string& n : list_directory(run + "/checkpoints"))
    if (n.starts_with("step-")) names.push_back(n);
  std::sort(names.rbegin(), names.rend());
  return names;
}

std::vector<TensorEntry> state_entries(const model::ParamTable& table, Dtype type) {
  std::vector<TensorEntry> entries;
  for (const model::Param& p : table.params) entries.push_back({p.name, type, p.shape});
  return entries;
}
std::vector<TensorEntry> model_entries(const model::ParamTable& table, kernels::Operand operand) {
  std::vector<TensorEntry> entries;
  for (const model::SavedTensor& t : model::saved_tensors(table, operand)) entries.push_back(t.entry);
  return entries;
}

void write_state_file(const std::string& directory, const char* name, const model::Model& m, Dtype type,
                      const void* values, Manifest* manifest) {
  SafetensorsWriter out(directory + "/" + name, state_entries(m.table, type), {});
  TensorSums& sums = manifest->tensors[name];
  for (const model::Param& p : m.table.params) {
    const std::byte* data = static_cast<const std::byte*>(values) + p.offset() * dtype_size(type);
    const int64_t bytes = p.elements() * dtype_size(type);
    sums[p.name] = checksum(data, bytes);
    out.write(data, bytes);
  }
  out.close();
}

void write_model_file(const std::string& directory, const model::Model& m, const float* masters,
                      Manifest* manifest) {
  SafetensorsWriter out(directory + "/" + kModelFile, model_entries(m.table, m.operand), kModelMetadata);
  TensorSums& sums = manifest->tensors[kModelFile];
  std::vector<uint16_t> buffer;
  for (const model::SavedTensor& t : model::saved_tensors(m.table, m.operand)) {
    const void* data = model::saved_values(t, masters, &buffer);
    sums[t.entry.name] = checksum(data, t.entry.bytes());
    out.write(data, t.entry.bytes());
  }
  out.close();
}

std::string state_json(const TrainerState& s) {
  return json{{"step", s.step},
              {"loader", {{"epoch", s.loader.epoch}, {"position", s.loader.position}}},
              {"data_fingerprint", fmt::format("{:016x}", s.data_fingerprint)},
              {"source_hashes", s.source_hashes},
              {"best_validation", s.best_validation},
              {"validation", s.validation},
              {"tokens", s.tokens},
              {"skipped", s.skipped},
              {"loss_trend",
               {{"steps", s.trend.steps}, {"mean", s.trend.mean}, {"variance", s.trend.variance}}}}
             .dump(2) +
         "\n";
}

TrainerState read_state(const std::string& directory) {
  TrainerState state;
  const std::string file = directory + "/trainer/state.json";
  try {
    const json s = json::parse(read_file(file));
    state.step = s.at("step").get<int64_t>();
    state.loader = {s.at("loader").at("epoch").get<int64_t>(), s.at("loader").at("position").get<int64_t>()};
    state.data_fingerprint = std::stoull(s.at("data_fingerprint").get<std::string>(), nullptr, 16);
    state.source_hashes = s.at("source_hashes").get<std::vector<uint64_t>>();
    state.best_validation = s.at("best_validation").get<double>();
    state.validation = s.at("validation").get<double>();
    state.tokens = s.at("tokens").get<double>();
    state.skipped = s.at("skipped").get<int64_t>();
    const json& trend = s.at("loss_trend");
    state.trend = {trend.at("steps").get<int64_t>(), trend.at("mean").get<double>(),
                   trend.at("variance").get<double>()};
  } catch (const Error&) {
    throw;
  } catch (const std::exception& e) {
    fail(file, std::string("not a trainer state: ") + e.what(), "use another checkpoint");
  }
  return state;
}

void read_state_tensors(const std::string& path, const model::Model& m, Dtype type, void* values) {
  const SafetensorsFile file(path);
  for (const model::Param& p : m.table.params) {
    const Tensor& t = file.at(p.name);
    if (t.shape != p.shape || t.dtype != type)
      fail(path,
           fmt::format("{} is {} {}, expected {} {}", p.name, dtype_name(t.dtype), to_string(t.shape),
                       dtype_name(type), to_string(p.shape)),
           "the checkpoint belongs to another model or another setting of `moments`");
    std::memcpy(static_cast<std::byte*>(values) + p.offset() * dtype_size(type), t.data,
                static_cast<size_t>(t.bytes()));
  }
}
}  // namespace

std::string checkpoint_path(const std::string& run, int64_t step) {
  return run + "/checkpoints/" + step_name(step);
}

int64_t checkpoint_bytes(const model::ParamTable& table, kernels::Operand operand, Dtype moments,
                         int64_t tokenizer_bytes) {
  // config.json, generation_config.json, README.md, state.json; a line of the manifest beside the tensor's
  // name.
  constexpr int64_t kSmallFiles = 24 << 10, kManifestLine = 40, kBlock = 4096, kFiles = 11;
  const std::vector<TensorEntry> masters = state_entries(table, Dtype::kF32),
                                 moment = state_entries(table, moments),
                                 model = model_entries(table, operand);
  int64_t bytes = safetensors_bytes(masters, {}) + 2 * safetensors_bytes(moment, {}) +
                  safetensors_bytes(model, kModelMetadata);
  for (const TensorEntry& e : masters) bytes += 3 * (kManifestLine + static_cast<int64_t>(e.name.size()));
  for (const TensorEntry& e : model) bytes += kManifestLine + static_cast<int64_t>(e.name.size());
  return bytes + tokenizer_bytes + kSmallFiles + kFiles * kBlock;
}

void write_checkpoint(const CheckpointSource& source, const TrainerState& state, const StateValues& values,
                      const std::string& card) {
  const model::Model& m = *source.model;
  const std::string target = checkpoint_path(source.run, state.step);
  const std::string bad = bad_weight(m.table, values.masters);
  if (!bad.empty())
    fail(target, bad + " holds a value that is not finite, so nothing is saved",
         "resume from the checkpoint before it with a lower learning_rate");
  if (is_directory(target)) {
    if (checkpoint_damage(target).empty()) return;  // the same step was saved before a restart
    remove_all(target);
  }
  const std::string tmp = source.run + "/checkpoints/.writing";
  remove_all(tmp);
  require_disk(source.run + "/checkpoints",
               checkpoint_bytes(m.table, m.operand, values.moments, source.tokenizer->file_bytes()),
               "the checkpoint " + step_name(state.step));
  make_directories(tmp + "/trainer");
  Manifest manifest;
  write_model_file(tmp, m, values.masters, &manifest);
  write_state_file(tmp, kStateFiles[0], m, Dtype::kF32, values.masters, &manifest);
  write_state_file(tmp, kStateFiles[1], m, values.moments, values.exp_avg, &manifest);
  write_state_file(tmp, kStateFiles[2], m, values.moments, values.exp_avg_sq, &manifest);
  model::save_model_config(m, tmp);
  source.tokenizer->save(tmp);
  if (!card.empty()) write_file_atomic(tmp + "/README.md", card);
  write_file_atomic(tmp + "/trainer/state.json", state_json(state));
  write_manifest(tmp, std::move(manifest));
  // A power failure must not leave a checkpoint of steps that the log has lost.
  if (file_exists(source.run + "/log.jsonl")) sync_file(source.run + "/log.jsonl");
  publish_directory(tmp, target);
}

void remove_old_checkpoints(const std::string& run, int64_t keep, std::set<std::string>* verified) {
  for (const std::string& name : checkpoint_names(run)) {
    const std::string directory = run + "/checkpoints/" + name;
    if (verified->contains(name)) continue;
    const std::string damage = checkpoint_damage(directory);
    if (damage.empty()) {
      verified->insert(name);
    } else {
      warn("{} is damaged and removed: {}", directory, damage);
      remove_all(directory);
    }
  }
  const std::string best = best_checkpoint(run).first;
  int64_t newer = 0;
  for (const std::string& name : checkpoint_names(run))
    if (newer++ >= keep && run + "/checkpoints/" + name != best) remove_all(run + "/checkpoints/" + name);
}

std::string newest_checkpoint(const std::string& run) {
  for (const std::string& name : checkpoint_names(run)) {
    const std::string directory = run + "/checkpoints/" + name;
    const std::string damage = checkpoint_damage(directory);
    if (damage.empty()) return directory;
    warn("{} is damaged and skipped: {}", directory, damage);
  }
  fail(run, "holds no complete checkpoint", "train anew with another out=DIR");
}

std::pair<std::string, double> best_checkpoint(const std::string& run) {
  std::pair<std::string, double> best{"", 0};
  for (const std::string& name : checkpoint_names(run)) {  // newest first: the older one wins a tie
    const std::string directory = run + "/checkpoints/" + name;
    if (!file_exists(directory + "/trainer/state.json")) continue;
    const double validation = read_state(directory).validation;
    if (validation > 0 && (best.second == 0 || validation <= best.second)) best = {directory, validation};
  }
  return best;
}

TrainerState load_checkpoint(kernels::Ctx& ctx, const std::string& directory, model::Model* m,
                             Optimizer* optimizer) {
  read_state_tensors(directory + "/" + kStateFiles[0], *m, Dtype::kF32, m->masters());
  read_state_tensors(directory + "/" + kStateFiles[1], *m, optimizer->moments(), optimizer->exp_avg());
  read_state_tensors(directory + "/" + kStateFiles[2], *m, optimizer->moments(), optimizer->exp_avg_sq());
  const TrainerState state = read_state(directory);
  m->pack(ctx, state.step);
  return state;
}

}  // namespace frugal::train
