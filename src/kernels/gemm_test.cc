// Products against an exact restatement of docs/numerics.md, section 1: equal bits, in every layout, with any
// number of threads, a row alone or in a batch.
#include "kernels/gemm.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <functional>
#include <memory>

#include "base/dtype.h"
#include "test_values.h"

namespace frugal::kernels {
namespace {

using At = std::function<float(int64_t)>;

// One element: the product over k from +0, or continued from `c`.
float restated(Operand operand, int64_t k, const At& a, const At& b, float c) {
  if (operand == Operand::kF32) {
    for (int64_t i = 0; i < k; ++i) c = std::fma(a(i), b(i), c);
    return c;
  }
  for (int64_t block = 0; block < k; block += 32) {
    float even = 0, odd = 0;
    for (int64_t i = block; i < block + 32; ++i) {
      const float x = i < k ? round_bf16(a(i)) : 0.0f, y = i < k ? round_bf16(b(i)) : 0.0f;
      float& chain = i % 2 == 0 ? even : odd;
      chain = std::fma(x, y, chain);
    }
    c = c + (even + odd);
  }
  return c;
}
float accumulated(Operand operand, int64_t k, const At& a, const At& b, float c, Accumulate accumulate) {
  switch (accumulate) {
    case Accumulate::kStore:
      return restated(operand, k, a, b, 0.0f);
    case Accumulate::kAddFinished:
      return c + restated(operand, k, a, b, 0.0f);
    default:
      return restated(operand, k, a, b, c);
  }
}

constexpr Operand kOperands[] = {Operand::kF32, Operand::kBF16};
constexpr Accumulate kWays[] = {Accumulate::kStore, Accumulate::kAddFinished, Accumulate::kContinue};
constexpr int kThreads[] = {1, 2, 3, 7};

struct Sizes {
  int64_t m, n, k;
};
constexpr Sizes kSizes[] = {{1, 1, 1},     {2, 3, 5},     {5, 33, 31},   {13, 32, 32}, {12, 64, 33},
                            {97, 40, 257}, {100, 7, 600}, {3, 100, 64},  {200, 31, 1}, {96, 96, 100},
                            {1, 200, 300}, {13, 40, 513}, {20, 70, 1100}};

float at(const std::vector<float>& x, int64_t i) { return x[static_cast<size_t>(i)]; }

// Packed weights of a Linear [out, in], both directions.
struct Weight {
  Weight(Ctx& ctx, const std::vector<float>& values, int64_t out, int64_t in, Operand operand)
      : panels(aligned_array<char>(packed_b_bytes(out, in, operand))),
        transposed(aligned_array<char>(packed_b_bytes(in, out, operand))),
        matrix{operand, out, in, panels.get(), transposed.get(), -1} {
    pack_matrix(ctx, values.data(), &matrix, 5);
  }
  AlignedPtr<char> panels, transposed;
  Matrix matrix;
};

// Values with some denormals, which are zeros, and magnitudes over ten decades.
std::vector<float> values(const char* name, int64_t n) {
  std::vector<float> x = test::normal(name, n);
  for (size_t i = 4; i < x.size(); i += 9) x[i] *= i % 2 ? 1e-5f : 1e5f;
  for (size_t i = 7; i < x.size(); i += 31) x[i] = i % 2 ? 1e-40f : -1e-39f;
  return x;
}

TEST(Gemm, ForwardEqualsTheRestatement) {
  for (int threads : kThreads) {
    Ctx ctx(threads);
    for (const Sizes& s : kSizes) {
      for (Operand operand : kOperands) {
        const std::vector<float> x = values("x", s.m * s.k), w = values("w", s.n * s.k);
        const Weight weight(ctx, w, s.n, s.k, operand);
        EXPECT_EQ(weight.matrix.version, 5);
        for (Accumulate way : kWays) {
          const std::vector<float> before = test::normal("y", s.m * s.n);
          std::vector<float> y = before, want = before;
          gemm(ctx, {x.data(), s.k, nullptr, s.m, weight.matrix.forward(), y.data(), s.n}, way);
          if (threads > 1 && way != Accumulate::kStore) continue;  // the restatement is slow
          for (int64_t i = 0; i < s.m; ++i)
            for (int64_t j = 0; j < s.n; ++j)
              want[static_cast<size_t>(i * s.n + j)] = accumulated(
                  operand, s.k, [&](int64_t k) { return at(x, i * s.k + k); },
                  [&](int64_t k) { return at(w, j * s.k + k); }, at(before, i * s.n + j), way);
          EXPECT_TRUE(test::same_bits(y, want)) << s.m << " " << s.n << " " << s.k << " threads " << threads;
        }
      }
    }
  }
}

TEST(Gemm, BackwardEqualsTheRestatement) {
  Ctx ctx(2);
  for (const Sizes& s : kSizes) {
    for (Operand operand : kOperands) {
      // dx [m, in] = dy [m, out] W: k runs over out.
      const int64_t out = s.k, in = s.n;
      const std::vector<float> dy = values("dy", s.m * out), w = values("w", out * in);
      const Weight weight(ctx, w, out, in, operand);
      std::vector<float> dx(static_cast<size_t>(s.m * in)), want;
      gemm(ctx, {dy.data(), out, nullptr, s.m, weight.matrix.backward(), dx.data(), in}, Accumulate::kStore);
      for (int64_t i = 0; i < s.m; ++i)
        for (int64_t j = 0; j < in; ++j)
          want.push_back(restated(
              operand, out, [&](int64_t k) { return at(dy, i * out + k); },
              [&](int64_t k) { return at(w, k * in + j); }, 0.0f));
      EXPECT_TRUE(test::same_bits(dx, want)) << s.m << " " << s.n << " " << s.k;
    }
  }
}

TEST(Gemm, GathersRowsByIndex) {
  Ctx ctx(2);
  const int64_t rows = 101, n = 35, k = 70, source = 40;
  for (Operand operand : kOperands) {
    const std::vector<float> x = values("x", source * k), w = values("w", n * k);
    const std::vector<int32_t> index = test::integers("index", rows, source);
    const Weight weight(ctx, w, n, k, operand);
    std::vector<float> gathered, direct(static_cast<size_t>(rows * n)), indexed = direct;
    for (int32_t i : index) gathered.insert(gathered.end(), x.begin() + i * k, x.begin() + (i + 1) * k);
    gemm(ctx, {gathered.data(), k, nullptr, rows, weight.matrix.forward(), direct.data(), n},
         Accumulate::kStore);
    gemm(ctx, {x.data(), k, index.data(), rows, weight.matrix.forward(), indexed.data(), n},
         Accumulate::kStore);
    EXPECT_TRUE(test::same_bits(indexed, direct));
  }
}

TEST(Gemm, LeavesGapsBetweenRowsAlone) {
  Ctx ctx(3);
  const int64_t m = 30, n = 37, k = 50, lda = 57, ldc = 45;
  const std::vector<float> x = values("x", m * lda), w = values("w", n * k);
  const Weight weight(ctx, w, n, k, Operand::kF32);
  std::vector<float> y(static_cast<size_t>(m * ldc), 7.0f);
  gemm(ctx, {x.data(), lda, nullptr, m, weight.matrix.forward(), y.data(), ldc}, Accumulate::kStore);
  for (int64_t i = 0; i < m; ++i) {
    for (int64_t j = n; j < ldc; ++j) ASSERT_EQ(at(y, i * ldc + j), 7.0f);
    const float first = restated(
        Operand::kF32, k, [&](int64_t kk) { return at(x, i * lda + kk); },
        [&](int64_t kk) { return at(w, kk); }, 0.0f);
    ASSERT_EQ(at(y, i * ldc), first);
  }
}

TEST(Gemm, ARowAloneHasTheBitsItHasInABatch) {
  Ctx ctx(2);
  const int64_t m = 205, n = 70, k = 130;
  for (Operand operand : kOperands) {
    const std::vector<float> x = values("x", m * k);
    const Weight weight(ctx, values("w", n * k), n, k, operand);
    std::vector<float> batch(static_cast<size_t>(m * n)), alone = batch;
    gemm(ctx, {x.data(), k, nullptr, m, weight.matrix.forward(), batch.data(), n}, Accumulate::kStore);
    for (int64_t i = 0; i < m; ++i)
      gemm(ctx, {x.data() + i * k, k, nullptr, 1, weight.matrix.forward(), alone.data() + i * n, n},
           Accumulate::kStore);
    EXPECT_TRUE(test::same_bits(alone, batch));
  }
}

// An accumulator that is stored and loaded between blocks of k gives the bits of one pass.
TEST(Gemm, ContinuedProductsAreOneProduct) {
  Ctx ctx(2);
  const int64_t m = 19, n = 45, k = 300;
  for (Operand operand : kOperands) {
    const std::vector<float> x = values("x", m * k), w = values("w", n * k);
    const Weight whole(ctx, w, n, k, operand);
    std::vector<float> once(static_cast<size_t>(m * n)), parts = once;
    gemm(ctx, {x.data(), k, nullptr, m, whole.matrix.forward(), once.data(), n}, Accumulate::kStore);
    int64_t first = 0;
    for (int64_t size : {64, 32, 96, 108}) {  // bf16 splits at multiples of its block of 32
      std::vector<float> part;
      for (int64_t j = 0; j < n; ++j)
        part.insert(part.end(), w.begin() + j * k + first, w.begin() + j * k + first + size);
      const Weight weight(ctx, part, n, size, operand);
      gemm(ctx, {x.data() + first, k, nullptr, m, weight.matrix.forward(), parts.data(), n},
           first == 0 ? Accumulate::kStore : Accumulate::kContinue);
      first += size;
    }
    ASSERT_EQ(first, k);
    EXPECT_TRUE(test::same_bits(parts, once));
  }
}

// Experts of very different load, some without a token.
constexpr int64_t kLoads[] = {0, 5, 97, 0, 1, 33, 12, 0, 200, 0};
constexpr int64_t kSlots = 348;

TEST(GroupedGemm, EqualsTheGroupsOneByOne) {
  const int64_t n = 40, k = 65;
  for (Operand operand : kOperands) {
    std::vector<float> want;
    for (int threads : kThreads) {
      Ctx ctx(threads);
      const std::vector<float> x = values("x", kSlots * k);
      const std::vector<int32_t> index = test::integers("index", kSlots, kSlots);
      std::vector<std::unique_ptr<Weight>> weights;
      std::vector<GemmGroup> groups;
      std::vector<float> y(static_cast<size_t>(kSlots * n), 7.0f), single = y;
      int64_t first = 0;
      for (int64_t load : kLoads) {
        weights.push_back(std::make_unique<Weight>(ctx, values(std::to_string(first + load).c_str(), n * k),
                                                   n, k, operand));
        groups.push_back({x.data(), k, index.data() + first, load, weights.back()->matrix.forward(),
                          y.data() + first * n, n});
        GemmGroup alone = groups.back();
        alone.c = single.data() + first * n;
        gemm(ctx, alone, Accumulate::kStore);
        first += load;
      }
      ASSERT_EQ(first, kSlots);
      grouped_gemm(ctx, groups, Accumulate::kStore);
      EXPECT_TRUE(test::same_bits(y, single)) << threads;
      if (want.empty()) want = y;
      EXPECT_TRUE(test::same_bits(y, want)) << threads;
    }
  }
}

TEST(GroupedGemm, NothingToDo) {
  Ctx ctx(2);
  grouped_gemm(ctx, {}, Accumulate::kStore);
  const Weight weight(ctx, values("w", 4), 2, 2, Operand::kF32);
  float y[2] = {7, 7};
  gemm(ctx, {nullptr, 2, nullptr, 0, weight.matrix.forward(), y, 2}, Accumulate::kStore);
  EXPECT_EQ(y[0], 7.0f);
}

// ---- weight gradients: k runs over the rows ----

std::vector<float> restated_gradient(const WeightGradient& w, Accumulate way) {
  std::vector<float> dw(w.dw, w.dw + w.out * w.in);
  for (int64_t o = 0; o < w.out; ++o)
    for (int64_t i = 0; i < w.in; ++i) {
      float& c = dw[static_cast<size_t>(o * w.in + i)];
      c = accumulated(
          w.operand, w.rows, [&](int64_t t) { return w.dy[(w.dy_index ? w.dy_index[t] : t) * w.ld_dy + o]; },
          [&](int64_t t) { return w.x[(w.index ? w.index[t] : t) * w.ldx + i]; }, c, way);
    }
  return dw;
}

TEST(WeightGradient, EqualsTheRestatement) {
  for (int threads : kThreads) {
    Ctx ctx(threads);
    for (const Sizes& s : kSizes) {
      if (threads > 1 && s.m * s.n * s.k > 300000) continue;  // the restatement is slow
      for (Operand operand : kOperands) {
        for (Accumulate way : kWays) {
          // dw [out, in] over `rows` tokens; x is gathered for every second shape, dy for the others.
          const int64_t out = s.m, in = s.n, rows = s.k, ld_dy = out + 3, ldx = in + 2;
          const std::vector<float> dy = values("dy", rows * ld_dy), x = values("x", rows * ldx);
          const std::vector<int32_t> index = test::integers("index", rows, rows);
          std::vector<float> dw = test::normal("dw", out * in);
          const bool gather_x = s.m % 2 != 0;
          const WeightGradient w{.dy = dy.data(),
                                 .ld_dy = ld_dy,
                                 .x = x.data(),
                                 .ldx = ldx,
                                 .index = gather_x ? index.data() : nullptr,
                                 .rows = rows,
                                 .dw = dw.data(),
                                 .out = out,
                                 .in = in,
                                 .operand = operand,
                                 .name = "",
                                 .dy_index = gather_x ? nullptr : index.data()};
          const std::vector<float> want = restated_gradient(w, way);
          weight_gradient(ctx, w, way);
          EXPECT_TRUE(test::same_bits(dw, want)) << s.m << " " << s.n << " " << s.k << " threads " << threads;
        }
      }
    }
  }
}

TEST(WeightGradient, GroupsAreIndependentAndEmptyOnesAddNothing) {
  for (Operand operand : kOperands) {
    for (int threads : kThreads) {
      for (const auto& [out, in] :
           {std::pair<int64_t, int64_t>{130, 33}, {20, 600}}) {  // one stretch of columns, several
        Ctx ctx(threads);
        const std::vector<float> dy = values("dy", kSlots * out), x = values("x", kSlots * in);
        const std::vector<int32_t> index = test::integers("index", kSlots, kSlots);
        std::vector<float> dw = test::normal("dw", static_cast<int64_t>(std::size(kLoads)) * out * in);
        std::vector<WeightGradient> groups;
        std::vector<float> want;
        int64_t first = 0, at_group = 0;
        for (int64_t load : kLoads) {
          groups.push_back({dy.data() + first * out, out, x.data(), in, index.data() + first, load,
                            dw.data() + at_group++ * out * in, out, in, operand});
          std::vector<float> one(groups.back().dw, groups.back().dw + out * in), before = one;
          WeightGradient alone = groups.back();
          alone.dw = one.data();
          weight_gradient(ctx, alone, Accumulate::kAddFinished);
          if (load == 0) {
            EXPECT_TRUE(test::same_bits(one, before));
          }
          want.insert(want.end(), one.begin(), one.end());
          first += load;
        }
        grouped_weight_gradient(ctx, groups, Accumulate::kAddFinished);
        EXPECT_TRUE(test::same_bits(dw, want)) << threads;
      }
    }
  }
}

// Large enough to be cut into several parts per thread, anywhere in a block of rows or a stretch of columns.
TEST(Gemm, ManyPartsGiveTheSameBits) {
  const int64_t m = 300, n = 1100, out = 900, in = 610;
  for (const int64_t k : {40, 540})  // in one pass, and in two
    for (Operand operand : kOperands) {
      const std::vector<float> x = values("x", m * k), w = values("w", n * k), dy = values("dy", k * out),
                               rows = values("rows", k * in);
      std::vector<float> want;
      for (int threads : kThreads) {
        Ctx ctx(threads);
        const Weight weight(ctx, w, n, k, operand);
        std::vector<float> y(static_cast<size_t>(m * n)), dw = test::normal("dw", out * in);
        gemm(ctx, {x.data(), k, nullptr, m, weight.matrix.forward(), y.data(), n}, Accumulate::kStore);
        weight_gradient(ctx, {dy.data(), out, rows.data(), in, nullptr, k, dw.data(), out, in, operand},
                        Accumulate::kAddFinished);
        y.insert(y.end(), dw.begin(), dw.end());
        if (want.empty()) want = y;
        EXPECT_TRUE(test::same_bits(y, want)) << k << ", " << threads;
      }
    }
}

TEST(PackMatrices, EqualsThePanelsOneByOne) {
  constexpr std::pair<int64_t, int64_t> kMatrices[] = {{70, 40}, {3, 500}, {257, 33}, {1, 1}, {64, 64}};
  for (Operand operand : kOperands) {
    for (int threads : kThreads) {
      Ctx ctx(threads);
      std::vector<std::vector<float>> sources;
      std::vector<std::unique_ptr<Weight>> apart, together;
      for (const auto& [out, in] : kMatrices) {
        sources.push_back(values(std::to_string(out).c_str(), out * in));
        const std::vector<float> other(sources.back().size(), 7.0f);
        apart.push_back(std::make_unique<Weight>(ctx, other, out, in, operand));
        together.push_back(std::make_unique<Weight>(ctx, other, out, in, operand));
        pack_b_rows(ctx, sources.back().data(), in, out, in, operand, apart.back()->panels.get());
        pack_b_cols(ctx, sources.back().data(), in, in, out, operand, apart.back()->transposed.get());
      }
      std::vector<MatrixValues> list;
      for (size_t i = 0; i < sources.size(); ++i) list.push_back({&together[i]->matrix, sources[i].data()});
      pack_matrices(ctx, list, 9);
      for (size_t i = 0; i < sources.size(); ++i) {
        const Matrix& m = together[i]->matrix;
        EXPECT_EQ(m.version, 9);
        EXPECT_EQ(std::memcmp(m.panels, apart[i]->panels.get(),
                              static_cast<size_t>(packed_b_bytes(m.out, m.in, operand))),
                  0);
        EXPECT_EQ(std::memcmp(m.panels_transposed, apart[i]->transposed.get(),
                              static_cast<size_t>(packed_b_bytes(m.in, m.out, operand))),
                  0);
      }
    }
  }
}

TEST(Gemm, AllLevelsGiveTheSameBits) {
  const int64_t m = 110, n = 77, k = 301;
  for (Operand operand : kOperands) {
    std::vector<float> want;
    for (const std::string& name : available_levels()) {
      Ctx ctx(2, level_by_name(name));
      const std::vector<float> x = values("x", m * k), dy = values("dy", m * n);
      const Weight weight(ctx, values("w", n * k), n, k, operand);
      std::vector<float> y(static_cast<size_t>(m * n)), dw(static_cast<size_t>(n * k), 0.0f);
      gemm(ctx, {x.data(), k, nullptr, m, weight.matrix.forward(), y.data(), n}, Accumulate::kStore);
      weight_gradient(ctx, {dy.data(), n, x.data(), k, nullptr, m, dw.data(), n, k, operand},
                      Accumulate::kAddFinished);
      y.insert(y.end(), dw.begin(), dw.end());
      if (want.empty()) want = y;
      EXPECT_TRUE(test::same_bits(y, want)) << name;
    }
  }
}

}  // namespace
}  // namespace frugal::kernels
