#include "model/convert_progress.h"

#include <filesystem>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "model/manifest.h"

namespace frugal::model {

using nlohmann::json;

namespace {
std::string state_path(const std::string& directory) { return directory + "/.progress.json"; }
}  // namespace

std::string conversion_job(const std::string& from, const CheckpointFiles& files,
                           const std::string& options) {
  std::string text =
      options + "\n" + absolute_path(from + "/.") + "\n" + read_file(from + "/config.json") + "\n";
  for (const auto& shard : files.shards()) {
    const auto changed = std::filesystem::last_write_time(shard->path()).time_since_epoch().count();
    text += fmt::format("{} {}\n", shard->file_bytes(), changed);
    for (const auto& [name, t] : shard->tensors())
      text += fmt::format("{} {} {}\n", name, dtype_name(t.dtype), to_string(t.shape));
  }
  Checksum sum;
  sum.add(text.data(), text.size());
  return sum.hex();
}

ConvertState read_convert_state(const std::string& directory, const std::string& job) {
  ConvertState state{job, {}};
  if (!file_exists(state_path(directory))) return state;
  try {
    const json j = json::parse(read_file(state_path(directory)));
    if (j.at("job").get<std::string>() == job)
      state.shards = j.at("shards").get<std::vector<std::map<std::string, std::string>>>();
  } catch (const json::exception&) {
    state.shards.clear();  // rubbish: start anew
  }
  return state;
}

void write_convert_state(const std::string& directory, const ConvertState& state) {
  write_file_atomic(state_path(directory), json{{"job", state.job}, {"shards", state.shards}}.dump() + "\n");
}

void remove_convert_state(const std::string& directory) { remove_all(state_path(directory)); }

}  // namespace frugal::model
