// Products with int8, int4 and e4m3 weights against a plain restatement of docs/numerics.md, section 1: equal
// bits at every level, with any number of threads, a row alone or in a batch.
#include <gtest/gtest.h>

#include <cmath>
#include <memory>

#include "base/dtype.h"
#include "kernels/gemm.h"
#include "kernels/quant.h"
#include "test_values.h"

namespace frugal::kernels {
namespace {

constexpr Operand kIntegers[] = {Operand::kInt8, Operand::kInt4};

// A row of numbers as integers with a scale per 128.
struct Quantised {
  std::vector<int> q;
  std::vector<float> scale;
};
Quantised quantised(const float* x, int64_t n, float limit) {
  Quantised r;
  for (int64_t at = 0; at < n; at += 128) {
    float amax = 0;
    const int64_t end = std::min(n, at + 128);
    for (int64_t i = at; i < end; ++i) amax = std::max(amax, std::fabs(x[i]));
    const float s = amax / limit;
    r.scale.push_back(s < 1.17549435e-38f ? 1.0f : s);
    for (int64_t i = at; i < end; ++i) r.q.push_back(static_cast<int>(std::nearbyint(x[i] / r.scale.back())));
  }
  return r;
}
std::vector<float> restated(const std::vector<float>& x, const std::vector<float>& w, int64_t m, int64_t n,
                            int64_t k, Operand operand) {
  std::vector<float> c;
  for (int64_t i = 0; i < m; ++i) {
    const Quantised a = quantised(x.data() + i * k, k, 127);
    for (int64_t j = 0; j < n; ++j) {
      const Quantised b = quantised(w.data() + j * k, k, operand == Operand::kInt4 ? 7 : 127);
      float acc = 0;
      for (int64_t at = 0; at < k; at += 128) {
        int p = 0;
        for (int64_t l = at; l < std::min(k, at + 128); ++l)
          p += a.q[static_cast<size_t>(l)] * b.q[static_cast<size_t>(l)];
        const size_t g = static_cast<size_t>(at / 128);
        const float s = a.scale[g] * b.scale[g];
        acc = std::fma(static_cast<float>(p), s, acc);
      }
      c.push_back(acc);
    }
  }
  return c;
}

struct Packed {
  Packed(Ctx& ctx, const std::vector<float>& w, int64_t out, int64_t in, Operand operand)
      : panels(aligned_array<char>(packed_b_bytes(out, in, operand))), matrix{operand,      out,     in,
                                                                              panels.get(), nullptr, -1} {
    pack_matrix(ctx, w.data(), &matrix, 1);
  }
  AlignedPtr<char> panels;
  Matrix matrix;
};

// Magnitudes over ten decades, whole groups of zeros, the largest value of a group in every place.
std::vector<float> values(const char* name, int64_t n) {
  std::vector<float> x = test::normal(name, n);
  for (size_t i = 0; i < x.size(); ++i) {
    if (i % 1024 >= 896) x[i] = 0;
    if (i % 640 < 128) x[i] *= i % 3 ? 1e-6f : 1e4f;
  }
  return x;
}

TEST(IntegerProducts, EqualTheRestatementAtEveryLevel) {
  struct Sizes {
    int64_t m, n, k;
  };
  for (const auto& [m, n, k] : {Sizes{1, 1, 1}, Sizes{2, 33, 127}, Sizes{3, 32, 128}, Sizes{5, 40, 200},
                                Sizes{13, 7, 1007}, Sizes{97, 65, 256}, Sizes{30, 96, 129}}) {
    const std::vector<float> x = values("x", m * k), w = values("w", n * k);
    for (const Operand operand : kIntegers) {
      const std::vector<float> want = restated(x, w, m, n, k, operand);
      for (const std::string& level : available_levels()) {
        for (const int threads : {1, 3}) {
          Ctx ctx(threads, level_by_name(level));
          const Packed b(ctx, w, n, k, operand);
          std::vector<float> c(want.size(), NAN);
          gemm(ctx, {x.data(), k, nullptr, m, b.matrix.forward(), c.data(), n}, Accumulate::kStore);
          EXPECT_TRUE(test::same_bits(c, want))
              << m << " x " << n << " x " << k << ", " << level << ", " << threads << " threads, operand "
              << static_cast<int>(operand);
        }
      }
    }
  }
}

// The largest sums that a group can have, of either sign.
TEST(IntegerProducts, TheLargestNumbersDoNotOverflow) {
  const int64_t m = 5, n = 64, k = 256;
  std::vector<float> x(static_cast<size_t>(m * k)), w(static_cast<size_t>(n * k));
  for (size_t i = 0; i < x.size(); ++i) x[i] = i / static_cast<size_t>(k) % 2 ? -127.0f : 127.0f;
  for (size_t i = 0; i < w.size(); ++i) w[i] = i / static_cast<size_t>(k) % 3 ? 7.0f : -7.0f;
  for (const Operand operand : kIntegers) {
    const std::vector<float> want = restated(x, w, m, n, k, operand);
    for (const std::string& level : available_levels()) {
      Ctx ctx(1, level_by_name(level));
      const Packed b(ctx, w, n, k, operand);
      std::vector<float> c(want.size(), NAN);
      gemm(ctx, {x.data(), k, nullptr, m, b.matrix.forward(), c.data(), n}, Accumulate::kStore);
      EXPECT_TRUE(test::same_bits(c, want)) << level << ", operand " << static_cast<int>(operand);
    }
  }
}

TEST(IntegerProducts, ARowDoesNotDependOnItsNeighbours) {
  const int64_t m = 50, n = 70, k = 384;
  Ctx ctx(2);
  const std::vector<float> x = values("x", m * k);
  for (const Operand operand : kIntegers) {
    const Packed b(ctx, values("w", n * k), n, k, operand);
    std::vector<float> together(static_cast<size_t>(m * n)), alone(together.size());
    gemm(ctx, {x.data(), k, nullptr, m, b.matrix.forward(), together.data(), n}, Accumulate::kStore);
    for (int64_t i = 0; i < m; ++i)
      gemm(ctx, {x.data() + i * k, k, nullptr, 1, b.matrix.forward(), alone.data() + i * n, n},
           Accumulate::kStore);
    EXPECT_TRUE(test::same_bits(alone, together));
  }
}

// Tiles are made of twelve, six, ... one row.
TEST(IntegerProducts, AnyNumberOfRows) {
  const int64_t most = 26, n = 40, k = 200;
  const std::vector<float> x = values("x", most * k), w = values("w", n * k);
  for (const Operand operand : kIntegers) {
    const std::vector<float> want = restated(x, w, most, n, k, operand);
    for (const std::string& level : available_levels()) {
      Ctx ctx(1, level_by_name(level));
      const Packed b(ctx, w, n, k, operand);
      for (int64_t m = 1; m <= most; ++m) {
        std::vector<float> c(static_cast<size_t>((m + 1) * n), 7.0f);
        gemm(ctx, {x.data(), k, nullptr, m, b.matrix.forward(), c.data(), n}, Accumulate::kStore);
        EXPECT_TRUE(test::same_bits(c.data(), want.data(), m * n)) << m << ", " << level;
        EXPECT_EQ(c[static_cast<size_t>(m * n)], 7.0f) << m << ", " << level;
      }
    }
  }
}

TEST(IntegerProducts, GroupsTakeTheirRowsByIndex) {
  const int64_t source = 9, n = 40, k = 200;
  Ctx ctx(2);
  const std::vector<float> x = values("x", source * k);
  const std::vector<int32_t> index = {8, 0, 3, 3, 7};
  for (const Operand operand : kIntegers) {
    const Packed b(ctx, values("w", n * k), n, k, operand);
    std::vector<float> all(static_cast<size_t>(source * n)), some(index.size() * static_cast<size_t>(n));
    gemm(ctx, {x.data(), k, nullptr, source, b.matrix.forward(), all.data(), n}, Accumulate::kStore);
    gemm(ctx,
         {x.data(), k, index.data(), static_cast<int64_t>(index.size()), b.matrix.forward(), some.data(), n},
         Accumulate::kStore);
    for (size_t i = 0; i < index.size(); ++i)
      EXPECT_TRUE(test::same_bits(some.data() + static_cast<int64_t>(i) * n, all.data() + index[i] * n, n));
  }
}

PackedB packed_bytes(int64_t n, int64_t k, AlignedPtr<char>* panels) {
  std::vector<uint8_t> q(static_cast<size_t>(n * k));
  for (size_t i = 0; i < q.size(); ++i) q[i] = static_cast<uint8_t>((i * 37 + i / 251) % 120);
  const auto scale = test::uniform("s", quant_blocks(n) * quant_blocks(k), 1e-3, 2e-2);
  *panels = aligned_array<char>(packed_b_bytes(n, k, Operand::kFP8));
  pack_fp8(q.data(), scale.data(), n, k, 0, (n + kPanelCols - 1) / kPanelCols, panels->get());
  return {Operand::kFP8, panels->get(), n, k};
}

// Groups of one token in a row, others between them, the same rows by another stride, more rows, less of k.
std::vector<GemmGroup> groups_of_few_rows(const float* x, int64_t k, const int32_t* token,
                                          const PackedB& wide, const PackedB& narrow) {
  std::vector<GemmGroup> groups;
  const auto add = [&](int64_t first, int64_t rows, int64_t lda, const PackedB& w, bool indexed) {
    groups.push_back(
        {indexed ? x : x + first * k, lda, indexed ? token + first : nullptr, rows, w, nullptr, wide.n});
  };
  for (const int64_t first : {0, 0, 1, 1, 2, 0, 0, 2, 2}) {
    add(first, 1, k, wide, true);
    add(first, 1, k, wide, false);
  }
  add(0, 2, k, wide, true);
  add(0, 2, 2 * k, wide, false);
  add(1, 2, k, wide, true);
  add(0, 30, k, wide, true);
  add(1, 29, k, wide, true);
  add(0, 1, k, wide, false);
  add(0, 1, k, narrow, false);
  add(0, 1, k, wide, false);
  return groups;
}

// A thread packs rows once for successive parts and for experts of one token, and only then.
TEST(GroupedProducts, EveryGroupHasItsOwnRows) {
  const int64_t n = 72, k = 700, less = 40, most = 30, tokens = 6;
  const std::vector<float> x = values("x", tokens * k);
  std::vector<int32_t> token = {0, 1, 2};
  while (token.size() < most) token.push_back(static_cast<int32_t>(token.size() * 7 % tokens));
  for (const std::string& level : available_levels())
    for (const Operand operand :
         {Operand::kF32, Operand::kBF16, Operand::kInt8, Operand::kInt4, Operand::kFP8})
      for (const int threads : {1, 2}) {
        Ctx ctx(threads, level_by_name(level));
        AlignedPtr<char> panels[2];
        std::vector<std::unique_ptr<Packed>> packed;
        const auto weights = [&](int64_t depth, AlignedPtr<char>* bytes) {
          if (operand == Operand::kFP8) return packed_bytes(n, depth, bytes);
          packed.push_back(std::make_unique<Packed>(ctx, values("w", n * depth), n, depth, operand));
          return packed.back()->matrix.forward();
        };
        auto groups =
            groups_of_few_rows(x.data(), k, token.data(), weights(k, panels), weights(less, panels + 1));
        const size_t size = static_cast<size_t>(most * n);
        std::vector<float> got(groups.size() * size), want = got;
        for (size_t i = 0; i < groups.size(); ++i) {
          for (int64_t row = 0; row < groups[i].rows; ++row) {  // each alone
            GemmGroup one = groups[i];
            one.a += (one.index ? one.index[row] : row) * one.lda;
            one.index = nullptr;
            one.rows = 1;
            one.c = want.data() + i * size + static_cast<size_t>(row * n);
            gemm(ctx, one, Accumulate::kStore);
          }
          groups[i].c = got.data() + i * size;
        }
        grouped_gemm(ctx, groups, Accumulate::kStore);
        EXPECT_TRUE(test::same_bits(got, want))
            << level << ", " << static_cast<int>(operand) << ", " << threads;
      }
}

TEST(IntegerProducts, WhatIsNotFiniteComesOutAsNaN) {
  const int64_t n = 33, k = 256;
  Ctx ctx(1);
  std::vector<float> x = test::normal("x", 3 * k), c(static_cast<size_t>(3 * n));
  x[5] = NAN;
  x[static_cast<size_t>(k + 200)] = INFINITY;
  const Packed b(ctx, test::normal("w", n * k), n, k, Operand::kInt8);
  gemm(ctx, {x.data(), k, nullptr, 3, b.matrix.forward(), c.data(), n}, Accumulate::kStore);
  for (size_t i = 0; i < c.size(); ++i) EXPECT_EQ(std::isnan(c[i]), i < static_cast<size_t>(2 * n)) << i;
}

// e4m3 panels against the definition that unpacks both sides (kernels/quant.h).
TEST(Fp8Products, EqualTheDefinitionAtEveryLevel) {
  struct Sizes {
    int64_t m, n, k;
  };
  for (const auto& [m, n, k] : {Sizes{1, 1, 1}, Sizes{2, 33, 127}, Sizes{5, 200, 128}, Sizes{13, 40, 334},
                                Sizes{97, 300, 513}, Sizes{12, 64, 256}}) {
    Ctx ctx(2);
    const std::vector<float> x = values("x", m * k);
    std::vector<uint8_t> q(static_cast<size_t>(n * k));
    for (size_t i = 0; i < q.size(); ++i) q[i] = static_cast<uint8_t>((i * 37 + i / 251) % 256);
    for (uint8_t& b : q)
      if ((b & 127) == 127) b = 3;  // not a number: below
    const std::vector<float> scale = test::uniform("s", quant_blocks(n) * quant_blocks(k), 1e-3, 2e-2);
    std::vector<float> want(static_cast<size_t>(m * n));
    block_scaled_product(
        ctx,
        {.m = m, .n = n, .k = k, .a = x.data(), .b_q = q.data(), .b_scale = scale.data(), .c = want.data()});
    const auto panels = aligned_array<char>(packed_b_bytes(n, k, Operand::kFP8));
    const int64_t count = (n + kPanelCols - 1) / kPanelCols;
    pack_fp8(q.data(), scale.data(), n, k, 0, count / 2, panels.get());
    pack_fp8(q.data(), scale.data(), n, k, count / 2, count, panels.get());
    for (const std::string& level : available_levels()) {
      for (const int threads : {1, 3}) {
        Ctx other(threads, level_by_name(level));
        std::vector<float> c(want.size(), NAN);
        gemm(other, {x.data(), k, nullptr, m, {Operand::kFP8, panels.get(), n, k}, c.data(), n},
             Accumulate::kStore);
        EXPECT_TRUE(test::same_bits(c, want)) << m << " x " << n << " x " << k << ", " << level;
      }
    }
  }
}

// Every byte, NaN included, by a product with the unit matrix.
TEST(Fp8Products, EveryByteIsWidenedExactly) {
  const int64_t k = 32;
  std::vector<uint8_t> q(static_cast<size_t>(256 * k), 0);
  for (int64_t j = 0; j < 256; ++j) q[static_cast<size_t>(j * k + 5)] = static_cast<uint8_t>(j);
  const std::vector<float> scale = {1.0f, 1.0f};
  const auto panels = aligned_array<char>(packed_b_bytes(256, k, Operand::kFP8));
  pack_fp8(q.data(), scale.data(), 256, k, 0, 8, panels.get());
  std::vector<float> x(static_cast<size_t>(k), 0.0f), c(256);
  x[5] = 1.0f;
  for (const std::string& level : available_levels()) {
    Ctx ctx(1, level_by_name(level));
    gemm(ctx, {x.data(), k, nullptr, 1, {Operand::kFP8, panels.get(), 256, k}, c.data(), 256},
         Accumulate::kStore);
    for (int j = 0; j < 256; ++j) {
      const float want = f32_from_e4m3(static_cast<uint8_t>(j));
      EXPECT_TRUE(c[static_cast<size_t>(j)] == want ||
                  (std::isnan(want) && std::isnan(c[static_cast<size_t>(j)])))
          << level << " byte " << j << ": " << c[static_cast<size_t>(j)] << " is not " << want;
    }
  }
}

// Activations at both ends of f32, where kernels for few rows must not lose a bit to a factor of theirs.
TEST(Fp8Products, ActivationsOfEverySize) {
  const int64_t n = 45, k = 160;
  for (int64_t m : {1, 2, 3, 4, 5, 6, 7, 8, 11, 12, 13}) {
    for (float size : {0x1p-126f, 0x1p-110f, 0x1p-90f, 1.0f, 0x1p90f, 0x1p110f, 0x1p127f}) {
      std::vector<uint8_t> q(static_cast<size_t>(n * k));
      for (size_t i = 0; i < q.size(); ++i) q[i] = static_cast<uint8_t>(i * 37 % 127 + i / 61 % 2 * 128);
      const std::vector<float> scale = {0x1p-20f, 0.7f};
      const auto panels = aligned_array<char>(packed_b_bytes(n, k, Operand::kFP8));
      pack_fp8(q.data(), scale.data(), n, k, 0, 2, panels.get());
      std::vector<float> x = test::normal("x", m * k), want;
      for (size_t i = 0; i < x.size(); ++i) x[i] *= i % 3 == 0 ? size : i % 3 == 1 ? 0.0f : 1.0f;
      for (const std::string& level : available_levels()) {
        Ctx ctx(1, level_by_name(level));
        std::vector<float> c(static_cast<size_t>(m * n));
        gemm(ctx, {x.data(), k, nullptr, m, {Operand::kFP8, panels.get(), n, k}, c.data(), n},
             Accumulate::kStore);
        for (float& v : c)
          if (std::isnan(v)) v = NAN;
        if (want.empty()) want = c;
        EXPECT_TRUE(test::same_bits(c, want)) << m << " rows of size " << size << " at " << level;
      }
    }
  }
}

// 8.25 and 4.25 bits per weight.
TEST(IntegerProducts, SizeOfPanels) {
  EXPECT_EQ(packed_b_bytes(2048, 1408, Operand::kInt8), 2048 * 1408 * 33 / 32);
  EXPECT_EQ(packed_b_bytes(2048, 1408, Operand::kInt4), 2048 * 1408 * 17 / 32);
}

}  // namespace
}  // namespace frugal::kernels
