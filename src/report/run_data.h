// What the page knows of a run, as JSON (src/report/page.js reads it).
#pragma once

#include <string>

#include "report/run_log.h"

namespace frugal::report {

enum class RunState { kRunning, kFinished, kStopped };

struct RunFacts {
  std::string directory, name;  // name: as legends call the run
  RunState state = RunState::kStopped;
  double eta_seconds = kAbsent;
  double refresh_seconds = 0;  // of a page that reads `report-data.js` while the run goes on; 0: never
};

// The JSON text of one run; reads samples/ and machine.json of the directory.
std::string run_json(const RunFacts& facts, const train::Recipe& recipe, const RunLog& log);

}  // namespace frugal::report
