// What an interrupted conversion has finished: OUT.writing/.progress.json, so that the same call goes on
// behind it.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "model/model_files.h"

namespace frugal::model {

// Sums (manifest.h) of the tensors of every shard that lies finished and synced in the directory.
struct ConvertState {
  std::string job;  // of the source's files and what is made of them; another job starts anew
  std::vector<std::map<std::string, std::string>> shards;
};
// A hash of names, types and shapes of all tensors, config.json, and the files' sizes and times of change.
std::string conversion_job(const std::string& from, const CheckpointFiles& files, const std::string& options);
// Empty if there is none, or one of another job.
ConvertState read_convert_state(const std::string& directory, const std::string& job);
void write_convert_state(const std::string& directory, const ConvertState& state);
void remove_convert_state(const std::string& directory);

}  // namespace frugal::model
