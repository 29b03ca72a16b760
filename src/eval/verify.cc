#include "eval/verify.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/files.h"
#include "eval/verify_cases.h"

namespace frugal::eval {

namespace {
using Json = nlohmann::json;

bool is_model_case(const std::string& directory) { return file_exists(directory + "/model.safetensors"); }
bool is_vector_case(const std::string& directory) { return file_exists(directory + "/golden.safetensors"); }
bool is_case(const std::string& directory) {
  return is_model_case(directory) || is_vector_case(directory) || holds_tokenizer_case(directory);
}

std::string line_of(const Check& c) {
  return fmt::format("  {} {:<44} {:>9.2e}  limit {:>7.1e}  {}", c.pass ? "pass" : "FAIL", c.tensor, c.error,
                     c.tolerance, c.note);
}

Json number(double x) {
  if (std::isfinite(x)) return x;
  return nullptr;
}
Json json_of(const CaseReport& r) {
  Json checks = Json::array();
  for (const Check& c : r.checks)
    checks.push_back({{"tensor", c.tensor},
                      {"error", number(c.error)},
                      {"tolerance", c.tolerance},
                      {"pass", c.pass},
                      {"note", c.note}});
  return {{"directory", r.directory}, {"passed", r.passed()}, {"checks", checks}, {"unchecked", r.unchecked}};
}

struct Totals {
  int64_t checks = 0, passed = 0, unchecked = 0, cases = 0, cases_passed = 0;
};
Totals add_up(const std::vector<CaseReport>& reports) {
  Totals t;
  for (const CaseReport& r : reports) {
    ++t.cases;
    t.cases_passed += r.passed();
    t.checks += static_cast<int64_t>(r.checks.size());
    t.passed += std::count_if(r.checks.begin(), r.checks.end(), [](const Check& c) { return c.pass; });
    t.unchecked += static_cast<int64_t>(r.unchecked.size());
  }
  return t;
}

void print_line(const std::string& line) { std::fputs((line + "\n").c_str(), stdout); }
std::string dump(const Json& j) { return j.dump(-1, ' ', false, Json::error_handler_t::replace); }
}  // namespace

bool CaseReport::passed() const {
  return unchecked.empty() && !checks.empty() &&
         std::all_of(checks.begin(), checks.end(), [](const Check& c) { return c.pass; });
}

std::vector<std::string> case_directories(const std::string& directory) {
  if (!is_directory(directory)) fail(directory, "is not a directory", "name a directory of golden data");
  if (is_case(directory)) return {directory};
  std::vector<std::string> found;
  bool any_case = false;
  for (const std::string& name : list_directory(directory)) {
    const std::string path = directory + "/" + name;
    if (!is_directory(path)) continue;
    found.push_back(path);
    any_case = any_case || is_case(path);
  }
  if (!any_case)
    fail(directory, "holds no golden data",
         "expected golden.safetensors, cases.json or subdirectories with one of them");
  return found;
}

CaseReport verify_directory(kernels::Ctx& ctx, const std::string& directory) {
  try {
    if (is_model_case(directory)) return verify_model(ctx, directory);
    if (is_vector_case(directory)) return verify_vectors(ctx, directory);
    if (holds_tokenizer_case(directory)) return verify_tokenizer(directory);
    return {directory, {}, {"everything: no golden data was recognised"}};
  } catch (const Error& e) {
    return {directory, {{"(error)", std::nan(""), 0, false, e.what()}}, {"what follows the error"}};
  }
}

void print_report(const CaseReport& r, bool json) {
  if (json) {
    print_line(dump(json_of(r)));
    return;
  }
  print_line(r.directory);
  for (const Check& c : r.checks) print_line(line_of(c));
  for (const std::string& name : r.unchecked) print_line("  not checked: " + name);
}

void print_summary(const std::vector<CaseReport>& reports, bool json) {
  const Totals t = add_up(reports);
  const bool passed = t.cases > 0 && t.cases_passed == t.cases;
  if (json) {
    print_line(dump({{"passed", passed},
                     {"checks", t.checks},
                     {"checks_passed", t.passed},
                     {"unchecked", t.unchecked},
                     {"cases", t.cases},
                     {"cases_passed", t.cases_passed}}));
    return;
  }
  for (const CaseReport& r : reports) {
    if (r.passed()) continue;
    print_line("failures and gaps in " + r.directory);
    for (const Check& c : r.checks)
      if (!c.pass) print_line(line_of(c));
    for (const std::string& name : r.unchecked) print_line("  not checked: " + name);
    if (r.checks.empty()) print_line("  nothing was compared");
  }
  print_line(fmt::format("{} {}/{} checks, {} not checked, {}/{} cases", passed ? "PASS" : "FAIL", t.passed,
                         t.checks, t.unchecked, t.cases_passed, t.cases));
}

}  // namespace frugal::eval
