// A golden.safetensors that remembers which tensors were used, so that verify can name the rest. Dtypes and
// shapes are checked where a tensor is taken: the file comes from outside.
#pragma once

#include <cstring>
#include <set>
#include <string>
#include <vector>

#include "base/safetensors.h"
#include "eval/verify.h"

namespace frugal::eval {

class GoldenFile {
 public:
  explicit GoldenFile(const std::string& path) : file_(path) {}

  const std::string& path() const { return file_.path(); }
  bool has(const std::string& name) const { return file_.find(name) != nullptr; }
  // Names that end with `suffix`, without it.
  std::vector<std::string> prefixes(const std::string& suffix) const;
  // The shape of a tensor of this rank; Error otherwise. Rank -1: any.
  const Shape& shape(const std::string& name, int rank = -1) const;
  std::vector<std::string> unused() const;

  // Copies of a tensor, which counts as used from now on. Error when it is missing or has another dtype or
  // shape.
  std::vector<float> f32(const std::string& name, const Shape& shape) {
    return copy<float>(name, Dtype::kF32, shape);
  }
  std::vector<double> f64(const std::string& name, const Shape& shape) {
    return copy<double>(name, Dtype::kF64, shape);
  }
  std::vector<int64_t> i64(const std::string& name, const Shape& shape) {
    return copy<int64_t>(name, Dtype::kI64, shape);
  }
  std::vector<int32_t> i32(const std::string& name, const Shape& shape) {
    return copy<int32_t>(name, Dtype::kI32, shape);
  }
  std::vector<int8_t> i8(const std::string& name, const Shape& shape) {
    return copy<int8_t>(name, Dtype::kI8, shape);
  }
  std::vector<uint8_t> e4m3(const std::string& name, const Shape& shape) {
    return copy<uint8_t>(name, Dtype::kF8E4M3, shape);
  }
  std::vector<float> widened_bf16(const std::string& name, const Shape& shape) {
    return to_f32(take(name, Dtype::kBF16, shape));
  }

 private:
  const Tensor& take(const std::string& name, Dtype dtype, const Shape& shape);
  template <class T>
  std::vector<T> copy(const std::string& name, Dtype dtype, const Shape& shape) {
    const Tensor& t = take(name, dtype, shape);
    std::vector<T> v(static_cast<size_t>(t.elements()));
    if (!v.empty()) std::memcpy(v.data(), t.data, static_cast<size_t>(t.bytes()));  // it need not be aligned
    return v;
  }

  SafetensorsFile file_;
  std::set<std::string> used_;
};

// ---- comparisons; NaN on one side only is an infinite error ----

struct Limit {
  double tolerance;
  const char* note;
};
void add_check(CaseReport* report, const std::string& name, double error, Limit limit);
double distance(double got, double want);
double median_distance(const std::vector<float>& got, const std::vector<float>& want);

template <class Got, class Want>
double largest_distance(const std::vector<Got>& got, const std::vector<Want>& want) {
  FRUGAL_ASSERT(got.size() == want.size(), "{} values against {}", got.size(), want.size());
  double worst = 0;
  for (size_t i = 0; i < want.size(); ++i) {
    const double d = distance(static_cast<double>(got[i]), static_cast<double>(want[i]));
    if (d > worst) worst = d;
  }
  return worst;
}
template <class Got, class Want>
void check_absolute(CaseReport* report, const std::string& name, const std::vector<Got>& got,
                    const std::vector<Want>& want, double tolerance) {
  add_check(report, name, largest_distance(got, want), {tolerance, "absolute"});
}
void check_relative(CaseReport* report, const std::string& name, const std::vector<double>& got,
                    const std::vector<double>& want, double tolerance);
template <class T>
void check_bits(CaseReport* report, const std::string& name, const std::vector<T>& got,
                const std::vector<T>& want) {
  FRUGAL_ASSERT(got.size() == want.size(), "{} values against {}", got.size(), want.size());
  int64_t differ = 0;
  for (size_t i = 0; i < want.size(); ++i) differ += std::memcmp(&got[i], &want[i], sizeof(T)) != 0;
  add_check(report, name, static_cast<double>(differ), {0, "elements that differ"});
}

}  // namespace frugal::eval
