// log.jsonl of a run (docs/formats.md).
#pragma once

#include <cstdint>
#include <string>

namespace frugal::train {

class RunLog {
 public:
  explicit RunLog(std::string path) : path_(std::move(path)) {}
  // Throws Error when the line cannot be written whole.
  void append(const std::string& line);
  // Removes lines of later steps, which a resumed run will write again, and lines that were cut off.
  void keep_until(int64_t step);

  // Sum of the training steps' times, as logged.
  double step_seconds() const;

 private:
  std::string path_;
};

}  // namespace frugal::train
