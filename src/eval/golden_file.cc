#include "eval/golden_file.h"

#include <cmath>
#include <limits>

#include "base/error.h"

namespace frugal::eval {

std::vector<std::string> GoldenFile::prefixes(const std::string& suffix) const {
  std::vector<std::string> found;
  for (const auto& [name, tensor] : file_.tensors())
    if (name.size() > suffix.size() && name.ends_with(suffix))
      found.push_back(name.substr(0, name.size() - suffix.size()));
  return found;
}

const Tensor& GoldenFile::take(const std::string& name, Dtype dtype, const Shape& shape) {
  const Tensor& t = file_.at(name);
  if (t.dtype != dtype || t.shape != shape)
    fail(path() + ": " + name,
         fmt::format("is {} {}, not {} {}", dtype_name(t.dtype), to_string(t.shape), dtype_name(dtype),
                     to_string(shape)),
         "the file does not fit the case that it seems to be");
  used_.insert(name);
  return t;
}

const Shape& GoldenFile::shape(const std::string& name, int rank) const {
  const Tensor& t = file_.at(name);
  if (rank >= 0 && t.shape.rank != rank)
    fail(path() + ": " + name, fmt::format("has shape {}, not {} dimensions", to_string(t.shape), rank), "");
  return t.shape;
}

std::vector<std::string> GoldenFile::unused() const {
  std::vector<std::string> names;
  for (const auto& [name, tensor] : file_.tensors())
    if (!used_.contains(name)) names.push_back(name);
  return names;
}

double distance(double got, double want) {
  constexpr double kInf = std::numeric_limits<double>::infinity();
  if (std::isnan(want)) return std::isnan(got) ? 0.0 : kInf;
  if (got == want) return 0.0;  // infinities too
  const double d = std::fabs(got - want);
  return std::isnan(d) ? kInf : d;
}

void add_check(CaseReport* report, const std::string& name, double error, Limit limit) {
  report->checks.push_back({name, error, limit.tolerance, error <= limit.tolerance, limit.note});
}

void check_relative(CaseReport* report, const std::string& name, const std::vector<double>& got,
                    const std::vector<double>& want, double tolerance) {
  FRUGAL_ASSERT(got.size() == want.size(), "{} values against {}", got.size(), want.size());
  double worst = 0;
  for (size_t i = 0; i < want.size(); ++i) {
    const double d = distance(got[i], want[i]);
    if (d > 0 && d / std::fabs(want[i]) > worst) worst = d / std::fabs(want[i]);
  }
  add_check(report, name, worst, {tolerance, "relative"});
}

double median_distance(const std::vector<float>& got, const std::vector<float>& want) {
  FRUGAL_ASSERT(got.size() == want.size(), "{} values against {}", got.size(), want.size());
  std::vector<double> d;
  for (size_t i = 0; i < got.size(); ++i)
    d.push_back(distance(static_cast<double>(got[i]), static_cast<double>(want[i])));
  std::nth_element(d.begin(), d.begin() + static_cast<std::ptrdiff_t>(d.size() / 2), d.end());
  return d[d.size() / 2];
}

}  // namespace frugal::eval
