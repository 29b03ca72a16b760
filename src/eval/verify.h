// `frugal verify`: runs golden directories through this build on this machine. What a directory holds is told
// by its files and tensor names. Every tensor is an input, a check, or named as unchecked.
#pragma once

#include <string>
#include <vector>

#include "kernels/ctx.h"

namespace frugal::eval {

struct Check {
  std::string tensor;
  double error =
      0;  // in the unit of the tolerance: absolute, relative, elements that differ; `note` says which
  double tolerance = 0;
  bool pass = false;
  std::string note;
};

struct CaseReport {
  std::string directory;
  std::vector<Check> checks;
  std::vector<std::string> unchecked;  // tensors and files that nothing compared
  // Everything was checked, at least one thing was, and nothing failed.
  bool passed() const;
};

// `directory` itself if it holds golden data, else its subdirectories, sorted. Throws Error when there are
// none.
std::vector<std::string> case_directories(const std::string& directory);
// Runs one case. An Error on the way is a failed check of that case.
CaseReport verify_directory(kernels::Ctx& ctx, const std::string& directory);

// A directory with model.safetensors (eval/verify_model.cc).
CaseReport verify_model(kernels::Ctx& ctx, const std::string& directory);

// To stdout: one line per tensor, or one JSON object per case.
void print_report(const CaseReport& report, bool json);
// The last line, `PASS n/n` or `FAIL n/m`, after the failures and what was not checked.
void print_summary(const std::vector<CaseReport>& reports, bool json);

}  // namespace frugal::eval
