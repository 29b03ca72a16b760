#include "train/checkpoint.h"

#include <xxhash.h>

#include <algorithm>
#include <charconv>
#include <cstring>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/files.h"
#include "base/log.h"
#include "model/model_files.h"

namespace frugal::train {

using nlohmann::json;

namespace {
const char* const kStateFiles[] = {"masters", "exp_avg", "exp_avg_sq"};

std::string step_name(int64_t step) { return fmt::format("step-{:08d}", step); }

// Steps of the complete-looking checkpoints of a run, newest first.
std::vector<std::string> checkpoint_names(const std::string& run) {
  std::vector<std::string> names;
  if (!is_directory(run + "/checkpoints")) return names;
  for (const std::string& n : list_directory(run + "/checkpoints"))
    if (n.starts_with("step-")) names.push_back(n);
  std::sort(names.rbegin(), names.rend());
  return names;
}

std::string checksum(const std::string& path) {
  const MappedFile file(path);
  return fmt::format("{:016x}", XXH3_64bits(file.bytes().data(), file.bytes().size()));
}

// The tensor of a parameter in one of kStateFiles.
Tensor state_tensor(size_t file, const model::Model& m, const Optimizer& optimizer, const model::Param& p) {
  if (file == 0) return {m.masters() + p.offset(), Dtype::kF32, p.shape};
  return file == 1 ? optimizer.exp_avg(p) : optimizer.exp_avg_sq(p);
}

void write_state_tensors(const std::string& path, size_t file, const model::Model& m,
                         const Optimizer& optimizer) {
  std::vector<NamedTensor> tensors;
  for (const model::Param& p : m.table.params)
    tensors.push_back({p.name, state_tensor(file, m, optimizer, p)});
  write_safetensors(path, tensors, {});
}

void read_state_tensors(const std::string& path, size_t file, const model::Model& m,
                        const Optimizer& optimizer) {
  const SafetensorsFile stored(path);
  for (const model::Param& p : m.table.params) {
    const Tensor &from = stored.at(p.name), to = state_tensor(file, m, optimizer, p);
    if (from.shape != to.shape || from.dtype != to.dtype)
      fail(path,
           fmt::format("{} is {} {}, expected {} {}", p.name, dtype_name(from.dtype), to_string(from.shape),
                       dtype_name(to.dtype), to_string(to.shape)),
           "the checkpoint belongs to another model or another setting of `moments`");
    std::memcpy(to.data, from.data, static_cast<size_t>(to.bytes()));
  }
}

void write_manifest(const std::string& directory) {
  json files = json::object();
  for (const std::string& name : list_directory(directory))
    if (name != "trainer") files[name] = checksum(directory + "/" + name);
  for (const std::string& name : list_directory(directory + "/trainer"))
    files["trainer/" + name] = checksum(directory + "/trainer/" + name);
  write_file_atomic(directory + "/trainer/manifest.json", json{{"xxh3_64", files}}.dump(2) + "\n");
}

// Empty when every file is there and has its checksum, else what is wrong.
std::string damage_of(const std::string& directory) {
  try {
    const json manifest = json::parse(read_file(directory + "/trainer/manifest.json"));
    for (const auto& [name, expected] : manifest.at("xxh3_64").items())
      if (checksum(directory + "/" + name) != expected.get<std::string>())
        return name + " does not match its checksum";
    return "";
  } catch (const std::exception& e) {
    return e.what();
  }
}
}  // namespace

void save_checkpoint(const std::string& run, const TrainerState& state, const model::Model& m,
                     const Optimizer& optimizer, const text::Tokenizer& tokenizer, int64_t keep) {
  const std::string target = run + "/checkpoints/" + step_name(state.step);
  if (is_directory(target)) {
    if (damage_of(target).empty()) return;  // the same step was saved before a restart
    remove_all(target);
  }
  const std::string tmp = run + "/checkpoints/.writing";
  remove_all(tmp);
  make_directories(tmp + "/trainer");
  model::save_model(m, tmp);
  tokenizer.save(tmp);
  for (size_t i = 0; i < 3; ++i)
    write_state_tensors(tmp + "/trainer/" + kStateFiles[i] + ".safetensors", i, m, optimizer);
  const json s = {{"step", state.step},
                  {"loader", {{"epoch", state.loader.epoch}, {"position", state.loader.position}}},
                  {"data_fingerprint", fmt::format("{:016x}", state.data_fingerprint)},
                  {"best_validation", state.best_validation}};
  write_file_atomic(tmp + "/trainer/state.json", s.dump(2) + "\n");
  write_manifest(tmp);
  publish_directory(tmp, target);
  // A damaged checkpoint does not count as one of those that are kept.
  int64_t good = 0;
  for (const std::string& name : checkpoint_names(run)) {
    const std::string directory = run + "/checkpoints/" + name;
    if (good == keep || !damage_of(directory).empty())
      remove_all(directory);
    else
      ++good;
  }
}

std::string newest_checkpoint(const std::string& run) {
  for (const std::string& name : checkpoint_names(run)) {
    const std::string directory = run + "/checkpoints/" + name;
    const std::string damage = damage_of(directory);
    if (damage.empty()) return directory;
    warn("{} is damaged and skipped: {}", directory, damage);
  }
  fail(run, "holds no complete checkpoint", "train anew with another out=DIR");
}

TrainerState load_checkpoint(kernels::Ctx& ctx, const std::string& directory, model::Model* m,
                             Optimizer* optimizer) {
  for (size_t i = 0; i < 3; ++i)
    read_state_tensors(directory + "/trainer/" + kStateFiles[i] + ".safetensors", i, *m, *optimizer);
  TrainerState state;
  const std::string file = directory + "/trainer/state.json";
  try {
    const json s = json::parse(read_file(file));
    state.step = s.at("step").get<int64_t>();
    state.loader = {s.at("loader").at("epoch").get<int64_t>(), s.at("loader").at("position").get<int64_t>()};
    const std::string hex = s.at("data_fingerprint").get<std::string>();
    std::from_chars(hex.data(), hex.data() + hex.size(), state.data_fingerprint, 16);
    state.best_validation = s.at("best_validation").get<double>();
  } catch (const json::exception& e) {
    fail(file, std::string("not a trainer state: ") + e.what(), "use another checkpoint");
  }
  m->pack(ctx, state.step);
  return state;
}

}  // namespace frugal::train
