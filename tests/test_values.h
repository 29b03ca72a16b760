// What many unit tests need: reproducible values, comparison of bits, a directory that goes away.
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include "base/files.h"
#include "base/rng.h"

namespace frugal::test {

// Standard normal values times `scale`; the same for the same name.
inline std::vector<float> normal(std::string_view name, int64_t n, double scale = 1) {
  const uint64_t key = rng_key(1, name);
  std::vector<float> x;
  for (int64_t i = 0; i < n; ++i)
    x.push_back(static_cast<float>(scale * rng_normal(key, static_cast<uint64_t>(i))));
  return x;
}
inline std::vector<float> uniform(std::string_view name, int64_t n, double low, double high) {
  const uint64_t key = rng_key(2, name);
  std::vector<float> x;
  for (int64_t i = 0; i < n; ++i)
    x.push_back(static_cast<float>(low + (high - low) * rng_uniform(key, static_cast<uint64_t>(i))));
  return x;
}
// Integers in [0, below).
inline std::vector<int32_t> integers(std::string_view name, int64_t n, int64_t below) {
  const uint64_t key = rng_key(3, name);
  std::vector<int32_t> x;
  for (int64_t i = 0; i < n; ++i)
    x.push_back(
        static_cast<int32_t>(rng_uniform(key, static_cast<uint64_t>(i)) * static_cast<double>(below)));
  return x;
}

template <class To, class From>
std::vector<To> converted(const std::vector<From>& x) {
  return std::vector<To>(x.begin(), x.end());
}

template <class T>
::testing::AssertionResult same_bits(const T* a, const T* b, int64_t n) {
  if (n == 0 || std::memcmp(a, b, static_cast<size_t>(n) * sizeof(T)) == 0)
    return ::testing::AssertionSuccess();
  int64_t i = 0, differ = 0, first = -1;
  for (; i < n; ++i) {
    if (std::memcmp(a + i, b + i, sizeof(T)) == 0) continue;
    if (differ++ == 0) first = i;
  }
  return ::testing::AssertionFailure()
         << differ << " of " << n << " differ, first [" << first << "]: " << a[first] << " and " << b[first];
}
template <class T>
::testing::AssertionResult same_bits(const std::vector<T>& a, const std::vector<T>& b) {
  if (a.size() != b.size())
    return ::testing::AssertionFailure() << a.size() << " and " << b.size() << " values";
  return same_bits(a.data(), b.data(), static_cast<int64_t>(a.size()));
}

class TemporaryDirectory {
 public:
  TemporaryDirectory() {
    const char* base = std::getenv("TMPDIR");
    std::string pattern = std::string(base && base[0] ? base : "/tmp") + "/frugal_test_XXXXXX";
    path_ = ::mkdtemp(pattern.data()) ? pattern : "";
    EXPECT_FALSE(path_.empty()) << "no temporary directory below " << pattern;
  }
  ~TemporaryDirectory() {
    if (!path_.empty()) remove_all(path_);
  }
  TemporaryDirectory(const TemporaryDirectory&) = delete;
  TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;
  std::string operator/(std::string_view name) const { return path_ + "/" + std::string(name); }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

}  // namespace frugal::test
