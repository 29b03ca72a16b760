// Tensor: a typed view of memory that somebody else owns (an Arena, a mapped file). Row-major, contiguous.
#pragma once

#include <array>
#include <cstdint>
#include <initializer_list>
#include <string>

#include "base/dtype.h"
#include "base/error.h"

namespace frugal {

struct Shape {
  static constexpr int kMaxRank = 8;
  int rank = 0;
  std::array<int64_t, kMaxRank> dims{};

  Shape() = default;
  Shape(std::initializer_list<int64_t> d) {
    FRUGAL_ASSERT(static_cast<int>(d.size()) <= kMaxRank, "rank {} over {}", d.size(), kMaxRank);
    for (int64_t x : d) dims[static_cast<size_t>(rank++)] = x;
  }
  int64_t operator[](int i) const { return dims[static_cast<size_t>(i)]; }
  int64_t elements() const {
    int64_t n = 1;
    for (int i = 0; i < rank; ++i) n *= dims[static_cast<size_t>(i)];
    return n;
  }
  friend bool operator==(const Shape&, const Shape&) = default;
};

std::string to_string(const Shape& shape);  // "[2, 32, 64]"

struct Tensor {
  void* data = nullptr;
  Dtype dtype = Dtype::kF32;
  Shape shape;

  int64_t elements() const { return shape.elements(); }
  int64_t bytes() const { return elements() * dtype_size(dtype); }
  template <class T>
  T* as() const {
    FRUGAL_ASSERT(static_cast<int64_t>(sizeof(T)) == dtype_size(dtype), "{} is not {} bytes wide",
                  dtype_name(dtype), sizeof(T));
    return static_cast<T*>(data);
  }
};

}  // namespace frugal
