#include "train/run_log.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/files.h"

namespace frugal::train {

using nlohmann::json;

void RunLog::append(const std::string& line) {
  append_file(path_, line + "\n", "free disk space and resume the run");
}

namespace {
// Calls f(text, json) for every line; json is discarded where the text is not JSON.
template <class F>
void for_each_line(const std::string& path, F f) {
  const MappedFile file(path);
  const std::string_view text = file.text();
  for (size_t at = 0; at < text.size();) {
    const size_t end = std::min(text.find('\n', at), text.size());
    const std::string_view line = text.substr(at, end - at);
    f(line, json::parse(line.begin(), line.end(), nullptr, false));
    at = end + 1;
  }
}
}  // namespace

void RunLog::keep_until(int64_t step) {
  if (!file_exists(path_)) return;
  std::string kept;
  for_each_line(path_, [&](std::string_view text, const json& line) {
    if (line.is_object() && line.contains("step") && line["step"].is_number_integer() &&
        line["step"].get<int64_t>() <= step)
      kept.append(text).append("\n");
  });
  write_file_atomic(path_, kept);
}

double RunLog::step_seconds() const {
  double seconds = 0;
  for_each_line(path_, [&](std::string_view, const json& line) {
    if (line.is_object() && line.contains("loss") && line.contains("seconds") && line["seconds"].is_number())
      seconds += line["seconds"].get<double>();
  });
  return seconds;
}

}  // namespace frugal::train
