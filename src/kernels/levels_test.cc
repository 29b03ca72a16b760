// Every level computes the bits of the plain scalar level; the scalar level computes what docs/numerics.md
// says.
#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdio>
#include <limits>
#include <memory>
#include <numeric>
#include <set>
#include <utility>

#include "base/dtype.h"
#include "base/threads.h"
#include "kernels/amx.h"
#include "kernels/ctx.h"
#include "kernels/gemm.h"
#include "kernels/reference.h"
#include "test_values.h"

namespace frugal::kernels {
namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();
constexpr int64_t kSizes[] = {1, 2, 15, 16, 17, 31, 33, 64, 100, 257};

// All levels that this machine runs besides the plain scalar one.
std::vector<const Level*> other_levels() {
  std::vector<const Level*> levels;
  for (const std::string& name : available_levels()) levels.push_back(&level_by_name(name));
  return levels;
}

// Normal values with denormals, zeros of both signs, huge and tiny ones among them. Infinities would make
// NaNs, whose bits are outside the contract.
std::vector<float> with_specials(const char* name, int64_t n, bool huge = true) {
  const float specials[] = {
      1e-40f, -1e-40f, 0.0f, -0.0f, 1.2e-38f, -1.2e-38f, 1.0f, huge ? 3e38f : 80.0f, huge ? -2e38f : -80.0f};
  std::vector<float> x = test::normal(name, n);
  for (size_t i = 3; i < x.size(); i += 5) x[i] = specials[i / 5 % std::size(specials)];
  return x;
}
std::vector<float> positive(std::vector<float> x) {
  for (float& v : x) v = std::fabs(v);
  return x;
}

// Where both have a NaN, its bits are outside the contract.
void canonical_nans(std::vector<float>* x) {
  for (float& v : *x)
    if (v != v) v = std::numeric_limits<float>::quiet_NaN();
}

class Levels : public ::testing::Test {
 protected:
  void SetUp() override { set_denormals_to_zero(); }

  // Calls f(level) -> outputs for every size's level and compares with the plain scalar level.
  template <class F>
  void expect_equal(const std::string& what, F f) {
    std::vector<float> want = f(level_scalar());
    canonical_nans(&want);
    for (const Level* level : other_levels()) {
      std::vector<float> got = f(*level);
      canonical_nans(&got);
      EXPECT_TRUE(test::same_bits(got, want)) << what << " at " << level->name;
    }
  }
  template <class F>
  void for_sizes(const char* what, F f) {
    for (int64_t n : kSizes)
      expect_equal(std::string(what) + " of " + std::to_string(n),
                   [&](const Level& level) { return f(level, n); });
  }
};

// Rows of a block for attention as f32 numbers, whatever width a level gives them.
std::vector<float> widened_block(const Level& l, Operand operand, const std::vector<float>& block,
                                 int64_t rows) {
  if (!l.narrow_a || operand != Operand::kBF16) return block;
  std::vector<float> wide(block.size(), 7.0f);
  for (int64_t r = 0; r < rows; ++r)
    l.widen_bf16(reinterpret_cast<const uint16_t*>(block.data() + r * kChunkStride), kKeyBlock,
                 wide.data() + r * kChunkStride);
  return wide;
}

// Outputs have a guard behind them: a kernel that writes too far is seen.
std::vector<float> output(int64_t n) { return std::vector<float>(static_cast<size_t>(n + 16), 7.0f); }

TEST_F(Levels, ElementwiseRows) {
  for_sizes("round_bf16", [](const Level& l, int64_t n) {
    std::vector<float> x = with_specials("x", n), y = output(n);
    for (size_t i = 0; i < x.size(); i += 7) x[i] = i % 2 ? kInf : -kInf;
    for (size_t i = 1; i < x.size(); i += 7)
      x[i] = std::bit_cast<float>(0x3f808000u + static_cast<uint32_t>(i % 2 * 0x10000));
    l.round_bf16(x.data(), n, y.data());
    return y;
  });
  for_sizes("add", [](const Level& l, int64_t n) {
    std::vector<float> y = output(n);
    l.add(with_specials("a", n).data(), with_specials("b", n).data(), n, y.data());
    return y;
  });
  for_sizes("add_scaled", [](const Level& l, int64_t n) {
    std::vector<float> y = with_specials("y", n + 16);
    l.add_scaled(1.7f, with_specials("x", n).data(), n, y.data());
    return y;
  });
  for_sizes("scale", [](const Level& l, int64_t n) {
    std::vector<float> y = output(n);
    l.scale(-0.3f, with_specials("x", n).data(), n, y.data());
    return y;
  });
  for_sizes("divide", [](const Level& l, int64_t n) {
    std::vector<float> y = output(n);
    l.divide(3.1f, with_specials("x", n).data(), n, y.data());
    return y;
  });
  for_sizes("rescale_add", [](const Level& l, int64_t n) {
    const std::vector<float> factor = {0.6f, -0.0f, 1.0f};
    std::vector<float> y = with_specials("y", 3 * (n + 16));
    l.rescale_add(factor.data(), with_specials("x", 3 * n).data(), 3, n, y.data(), n + 16);
    return y;
  });
}

TEST_F(Levels, Reductions) {
  for (bool huge : {false, true}) {
    for_sizes("reductions", [huge](const Level& l, int64_t n) {
      const std::vector<float> a = with_specials("a", n, huge), b = with_specials("b", n, false);
      return std::vector<float>{l.dot(a.data(), b.data(), n), l.sum_squares(b.data(), n),
                                l.row_max(a.data(), n)};
    });
  }
  for_sizes("row_max of zeros", [](const Level& l, int64_t n) {
    std::vector<float> x(static_cast<size_t>(n), -0.0f);
    for (size_t i = 0; i < x.size(); i += 3) x[i] = 0.0f;
    const float a = l.row_max(x.data(), n);
    for (float& v : x) v = -v;
    return std::vector<float>{a, l.row_max(x.data(), n)};
  });
  for_sizes("row_max of infinities", [](const Level& l, int64_t n) {
    std::vector<float> x(static_cast<size_t>(n), -kInf);
    const float a = l.row_max(x.data(), n);
    x.back() = kInf;
    return std::vector<float>{a, l.row_max(x.data(), n)};
  });
}

TEST_F(Levels, Norms) {
  for_sizes("rmsnorm", [](const Level& l, int64_t n) {
    std::vector<float> y = output(n);
    y.push_back(l.rmsnorm(with_specials("x", n, false).data(), with_specials("w", n, false).data(), 1e-6f, n,
                          y.data()));
    return y;
  });
  for_sizes("rmsnorm_backward", [](const Level& l, int64_t n) {
    std::vector<float> dx = with_specials("dx", n + 16), dw = with_specials("dw", n + 16);
    l.rmsnorm_backward(with_specials("x", n, false).data(), with_specials("w", n).data(), 0.7f,
                       test::normal("dy", n).data(), n, dx.data(), dw.data());
    dx.insert(dx.end(), dw.begin(), dw.end());
    return dx;
  });
}

TEST_F(Levels, Rope) {
  for (int64_t pairs : {1, 3, 7, 8, 9, 16, 31, 32}) {
    for (float sign : {1.0f, -1.0f}) {
      expect_equal("rope of " + std::to_string(pairs), [&](const Level& l) {
        std::vector<float> y = output(2 * pairs);
        const std::vector<float> angles = test::normal("angle", pairs);
        std::vector<float> cos, sin;
        for (float a : angles) {
          cos.push_back(std::cos(a));
          sin.push_back(std::sin(a));
        }
        l.rope(with_specials("x", 2 * pairs).data(), cos.data(), sin.data(), sign, pairs, y.data());
        return y;
      });
    }
  }
}

TEST_F(Levels, Swiglu) {
  for_sizes("swiglu", [](const Level& l, int64_t n) {
    std::vector<float> y = output(n);
    l.swiglu(with_specials("gate", n, false).data(), with_specials("up", n).data(), n, y.data());
    return y;
  });
  for_sizes("swiglu_backward", [](const Level& l, int64_t n) {
    std::vector<float> dgate = output(n), dup = output(n), act = with_specials("dy", n, false);
    const float dot =
        l.swiglu_backward(with_specials("gate", n, false).data(), with_specials("up", n, false).data(),
                          act.data(), 0.7f, n, dgate.data(), dup.data(), act.data());
    dgate.insert(dgate.end(), dup.begin(), dup.end());
    dgate.insert(dgate.end(), act.begin(), act.end());
    dgate.push_back(dot);
    return dgate;
  });
}

// Covers both ends of exp: the flush to zero and the overflow to infinity.
std::vector<float> wide_range(const char* name, int64_t n) {
  std::vector<float> x = test::uniform(name, n, -95, 92);
  const float edges[] = {-87.33654f, std::nextafter(-87.33654f, -100.0f), 88.72283f,
                         std::nextafter(88.72283f, 100.0f), 0.0f};
  for (size_t i = 2; i < x.size(); i += 6) x[i] = edges[i / 6 % std::size(edges)];
  return x;
}

TEST_F(Levels, Exponentials) {
  for_sizes("sigmoid", [](const Level& l, int64_t n) {
    std::vector<float> y = output(n);
    l.sigmoid(wide_range("x", n).data(), n, y.data());
    return y;
  });
  for_sizes("softmax", [](const Level& l, int64_t n) {
    std::vector<float> y = output(n);
    l.softmax(wide_range("x", n).data(), n, y.data());
    return y;
  });
  for_sizes("exp_sum", [](const Level& l, int64_t n) {
    std::vector<float> y = output(n);
    y.push_back(l.exp_sum(wide_range("x", n).data(), 0.0f, n, y.data()));
    return y;
  });
  for_sizes("exp_scaled", [](const Level& l, int64_t n) {
    std::vector<float> y = output(n);
    l.exp_scaled(wide_range("x", n).data(), 1.5f, -0.01f, n, y.data());
    return y;
  });
  expect_equal("exp1 and log1", [](const Level& l) {
    std::vector<float> y;
    for (float x : wide_range("x", 2000)) y.push_back(l.exp1(x));
    for (float x : positive(with_specials("x", 2000)))
      if (x >= std::numeric_limits<float>::min()) y.push_back(l.log1(x));
    return y;
  });
}

TEST_F(Levels, AttentionTiles) {
  constexpr int64_t kRows = 20, kCapacity = 24;
  const auto block = [] { return output(kCapacity * kChunkStride - 16); };
  for (Operand operand : {Operand::kF32, Operand::kBF16}) {
    for (int64_t visible : {-30, -7, 0, 1, 2, 15, 16, 17, 33, 63, 64, 200}) {
      for (bool first_block : {true, false}) {
        if (first_block && visible < 1) continue;
        expect_equal("softmax_tile of " + std::to_string(visible), [&](const Level& l) {
          const std::vector<float> s = test::normal("s", kRows * kKeyBlock, 20);
          std::vector<float> m = test::normal("m", kRows, 9), sum = positive(test::normal("l", kRows)),
                             factor(kRows), p = block();
          l.softmax_tile({kRows, visible, kCapacity, visible % 2, first_block, 0.3f, operand, s.data(),
                          m.data(), sum.data(), factor.data(), p.data()});
          p = widened_block(l, operand, p, kCapacity);
          for (const auto& x : {m, sum, factor}) p.insert(p.end(), x.begin(), x.end());
          return p;
        });
      }
      expect_equal("softmax_backward_tile of " + std::to_string(visible), [&](const Level& l) {
        const std::vector<float> s = test::normal("s", kRows * kKeyBlock, 20),
                                 dp = test::normal("dp", kRows * kKeyBlock),
                                 lse = test::normal("lse", kRows, 12), delta = test::normal("delta", kRows);
        std::vector<float> p = block(), ds = block();
        l.softmax_backward_tile({kRows, visible, kCapacity, 0.3f, operand, s.data(), dp.data(), lse.data(),
                                 delta.data(), p.data(), ds.data()});
        p = widened_block(l, operand, p, kCapacity);
        ds = widened_block(l, operand, ds, kCapacity);
        p.insert(p.end(), ds.begin(), ds.end());
        return p;
      });
    }
  }
}

// One row against its definition, and rows that see nothing.
TEST_F(Levels, SoftmaxTileIsTheOnlineSoftmax) {
  const Level& l = default_level();
  const std::vector<float> s = test::normal("s", 3 * kKeyBlock, 4);
  std::vector<float> m = {0.5f, 0.5f, 0.5f}, sum = {2.0f, 2.0f, 2.0f}, factor(3),
                     p = output(12 * kChunkStride - 16);
  l.softmax_tile(
      {3, -1, 12, 1, false, 0.25f, Operand::kF32, s.data(), m.data(), sum.data(), factor.data(), p.data()});
  for (int r = 0; r < 2; ++r) {  // visible: -1, 0, 1
    EXPECT_EQ(m[static_cast<size_t>(r)], 0.5f);
    EXPECT_EQ(sum[static_cast<size_t>(r)], 2.0f);
    EXPECT_EQ(factor[static_cast<size_t>(r)], 1.0f);
  }
  const float x = s[2 * kKeyBlock] * 0.25f, top = x > 0.5f ? x : 0.5f;
  EXPECT_EQ(m[2], top);
  EXPECT_EQ(factor[2], l.exp1(0.5f - top));
  EXPECT_EQ(p[2 * kChunkStride], l.exp1(x - top));
  EXPECT_EQ(sum[2], std::fma(2.0f, factor[2], p[2 * kChunkStride]));
  for (int64_t r = 0; r < 12; ++r)
    for (int64_t j = r == 2 ? 1 : 0; j < kKeyBlock; ++j)
      EXPECT_EQ(p[static_cast<size_t>(r * kChunkStride + j)], 0.0f) << r << " " << j;
}

TEST_F(Levels, NarrowAndWidenAreTheRoundingOfProducts) {
  for_sizes("narrow", [](const Level& l, int64_t n) {
    const std::vector<float> x = with_specials("x", n);
    std::vector<uint16_t> half(static_cast<size_t>(n) + 1, 0x7777);
    std::vector<float> wide(static_cast<size_t>(n) + 1, 5.0f), rounded(static_cast<size_t>(n));
    l.narrow_bf16(x.data(), n, half.data());
    l.widen_bf16(half.data(), n, wide.data());
    l.round_bf16(x.data(), n, rounded.data());
    EXPECT_EQ(half.back(), 0x7777);
    EXPECT_EQ(wide.back(), 5.0f);
    wide.pop_back();
    EXPECT_EQ(std::memcmp(wide.data(), rounded.data(), static_cast<size_t>(n) * sizeof(float)), 0) << n;
    return wide;
  });
}

TEST_F(Levels, Adamw) {
  for_sizes("adamw", [](const Level& l, int64_t n) {
    std::vector<float> param = with_specials("param", n + 16), m = test::normal("m", n + 16);
    std::vector<float> v = positive(test::normal("v", n + 16)), grad = with_specials("grad", n, false);
    l.adamw({.param = param.data(),
             .exp_avg = m.data(),
             .exp_avg_sq = v.data(),
             .grad = grad.data(),
             .n = n,
             .grad_scale = 0.7f,
             .beta1 = 0.9f,
             .beta2 = 0.95f,
             .eps = 1e-8f,
             .learning_rate = 1e-3f,
             .weight_decay = 0.1f,
             .bias_correction1 = 0.271f,
             .bias_correction2 = 0.142625f});
    param.insert(param.end(), m.begin(), m.end());
    param.insert(param.end(), v.begin(), v.end());
    return param;
  });
}

// ---- products ----

struct Packed {
  bool narrow_a;  // a layout of its own, which only its products show to be right
  std::vector<float> a_rows, a_cols;
  std::vector<uint16_t> b_rows, b_cols;
};
// A [m, k] and B [n, k] both ways; [k, m] and [k, n] are the same numbers transposed.
Packed pack(const Level& l, int64_t m, int64_t n, int64_t k, Operand operand) {
  const std::vector<float> a = with_specials("a", m * k, false), b = with_specials("b", n * k, false);
  std::vector<float> at(a.size()), bt(b.size());
  for (int64_t kk = 0; kk < k; ++kk) {
    for (int64_t i = 0; i < m; ++i) at[static_cast<size_t>(kk * m + i)] = a[static_cast<size_t>(i * k + kk)];
    for (int64_t j = 0; j < n; ++j) bt[static_cast<size_t>(kk * n + j)] = b[static_cast<size_t>(j * k + kk)];
  }
  Packed p;
  p.narrow_a = l.narrow_a && operand == Operand::kBF16;
  p.a_rows.assign(static_cast<size_t>(packed_a_rows_size(m, k)), 0.0f);
  p.a_cols.assign(static_cast<size_t>(packed_a_cols_size(m, k)), 0.0f);
  const int64_t panel = packed_b_bytes(kPanelCols, k, operand) / 2;
  p.b_rows.assign(static_cast<size_t>(packed_b_bytes(n, k, operand) / 2), 0);
  p.b_cols = p.b_rows;
  l.pack_a_rows(a.data(), k, nullptr, m, k, operand, p.a_rows.data());
  std::vector<int32_t> forwards(static_cast<size_t>(k));  // by index for odd m
  std::iota(forwards.begin(), forwards.end(), 0);
  l.pack_a_cols(at.data(), m, m % 2 ? forwards.data() : nullptr, m, k, operand, p.a_cols.data());
  for (int64_t j = 0; j < n; j += kPanelCols) {
    const int64_t columns = std::min<int64_t>(kPanelCols, n - j);
    l.pack_b_rows(b.data() + j * k, k, columns, k, operand, p.b_rows.data() + j / kPanelCols * panel);
    l.pack_b_cols(bt.data() + j, n, nullptr, columns, k, operand, p.b_cols.data() + j / kPanelCols * panel);
  }
  return p;
}

struct ProductShape {
  int64_t m, n, k;
};
constexpr ProductShape kShapes[] = {{1, 1, 1},     {2, 31, 2},    {3, 32, 31},  {4, 33, 32},  {5, 64, 33},
                                    {7, 5, 100},   {8, 70, 64},   {9, 32, 255}, {11, 17, 96}, {12, 33, 256},
                                    {13, 40, 257}, {25, 64, 288}, {47, 3, 300}, {95, 9, 40},  {96, 65, 600}};

TEST_F(Levels, Packing) {
  for (const ProductShape& s : kShapes) {
    for (Operand operand : {Operand::kF32, Operand::kBF16}) {
      const Packed want = pack(level_scalar(), s.m, s.n, s.k, operand);
      EXPECT_TRUE(test::same_bits(want.b_rows, want.b_cols)) << "both ways to pack B";
      for (const Level* l : other_levels()) {
        const Packed got = pack(*l, s.m, s.n, s.k, operand);
        const std::string what = fmt::format("{} {} {} at {}", s.m, s.n, s.k, l->name);
        EXPECT_TRUE(got.narrow_a || test::same_bits(got.a_rows, want.a_rows)) << what;
        EXPECT_TRUE(got.narrow_a || test::same_bits(got.a_cols, want.a_cols)) << what;
        EXPECT_TRUE(test::same_bits(got.b_rows, want.b_rows)) << what;
        EXPECT_TRUE(test::same_bits(got.b_cols, want.b_cols)) << what;
      }
    }
  }
}

TEST_F(Levels, Sweeps) {
  for (const ProductShape& s : kShapes) {
    for (Operand operand : {Operand::kF32, Operand::kBF16}) {
      for (Accumulate accumulate : {Accumulate::kStore, Accumulate::kAddFinished, Accumulate::kContinue}) {
        expect_equal(fmt::format("sweep {} {} {}", s.m, s.n, s.k), [&](const Level& l) {
          const Packed p = pack(l, s.m, s.n, s.k, operand);
          const int64_t ldc = s.n + 3;  // the gap must stay as it is
          std::vector<float> by_rows = test::normal("c", s.m * ldc + 16), by_cols = by_rows;
          SweepArgs args{.a = p.a_rows.data(),
                         .a_layout = ALayout::kRowMajor,
                         .rows = s.m,
                         .b = p.b_rows.data(),
                         .k = s.k,
                         .columns = s.n,
                         .c = by_rows.data(),
                         .ldc = ldc,
                         .accumulate = accumulate,
                         .operand = operand};
          l.sweep(args);
          args.a = p.a_cols.data();
          args.a_layout = ALayout::kKMajor;
          args.c = by_cols.data();
          l.sweep(args);
          EXPECT_TRUE(test::same_bits(by_rows, by_cols)) << "layouts of A";
          return by_rows;
        });
      }
    }
  }
}

TEST_F(Levels, AnEmptySumIsZero) {
  for (const Level* l : other_levels()) {
    for (Accumulate way : {Accumulate::kStore, Accumulate::kAddFinished, Accumulate::kContinue}) {
      for (const auto& [rows, columns] :
           {std::pair<int64_t, int64_t>{12, 32}, {5, 40}}) {  // whole tiles and edges
        const std::vector<float> before = test::normal("c", rows * columns);
        std::vector<float> c = before, a(16);
        l->sweep({.a = a.data(),
                  .a_layout = ALayout::kKMajor,
                  .rows = rows,
                  .b = a.data(),
                  .k = 0,
                  .columns = columns,
                  .c = c.data(),
                  .ldc = columns,
                  .accumulate = way,
                  .operand = Operand::kF32});
        EXPECT_TRUE(
            test::same_bits(c, way == Accumulate::kStore ? std::vector<float>(c.size(), 0.0f) : before))
            << l->name;
      }
    }
  }
}

// ---- the scalar level against the contract ----

// docs/numerics.md, section 2: lane i mod 16, a lane starts with its first element, lanes fold 8, 4, 2, 1.
template <class First, class Next, class Fold>
float in_lanes(int64_t n, float empty, First first_value, Next next, Fold fold) {
  float lane[16];
  for (int i = 0; i < 16; ++i) lane[i] = empty;
  for (int64_t i = 0; i < n; ++i) lane[i % 16] = i < 16 ? first_value(i) : next(lane[i % 16], i);
  for (int w = 8; w >= 1; w /= 2)
    for (int i = 0; i < w; ++i) lane[i] = fold(lane[i], lane[i + w]);
  return lane[0];
}

TEST_F(Levels, ReductionsFollowTheContract) {
  const auto plus = [](float a, float b) { return a + b; };
  const auto larger = [](float a, float b) { return a > b ? a : b; };
  for (int64_t n : kSizes) {
    const std::vector<float> a = test::normal("a", n), b = test::normal("b", n);
    const auto at = [](const std::vector<float>& x, int64_t i) { return x[static_cast<size_t>(i)]; };
    const float dot = in_lanes(
        n, 0.0f, [&](int64_t i) { return at(a, i) * at(b, i); },
        [&](float s, int64_t i) { return std::fma(at(a, i), at(b, i), s); }, plus);
    const float max = in_lanes(
        n, -kInf, [&](int64_t i) { return at(a, i); },
        [&](float s, int64_t i) { return larger(s, at(a, i)); }, larger);
    EXPECT_EQ(level_scalar().dot(a.data(), b.data(), n), dot) << n;
    EXPECT_EQ(level_scalar().row_max(a.data(), n), max) << n;
  }
}

TEST_F(Levels, RoundBf16IsTheDtypes) {
  std::vector<float> x, y(65536), want;
  for (uint32_t i = 0; i < 65536; ++i)
    x.push_back(std::bit_cast<float>(i * 65537u));  // every exponent, many mantissas
  level_scalar().round_bf16(x.data(), 65536, y.data());
  for (float v : x) want.push_back(round_bf16(v));
  EXPECT_TRUE(test::same_bits(y, want));
}

// Bounds: the largest errors over 300 million arguments were 8.33e-8, 1.45e-7 and 8.00e-8.
TEST_F(Levels, ExpLogAndSigmoidAreWithinTheirBounds) {
  const Level& l = *other_levels().back();
  constexpr int64_t kCount = 1 << 18;
  const std::vector<float> x = test::uniform("exp", kCount, -87.3, 88.7),
                           near = test::uniform("near", kCount, -1, 1);
  std::vector<float> y(kCount);
  double worst_exp = 0, worst_sigmoid = 0, worst_log = 0;
  for (const std::vector<float>& in : {x, near}) {
    l.exp_sum(in.data(), 0.0f, kCount, y.data());
    for (size_t i = 0; i < y.size(); ++i)
      worst_exp = std::max(worst_exp,
                           std::fabs(static_cast<double>(y[i]) / std::exp(static_cast<double>(in[i])) - 1));
    l.sigmoid(in.data(), kCount, y.data());
    for (size_t i = 0; i < y.size(); ++i)
      worst_sigmoid =
          std::max(worst_sigmoid,
                   std::fabs(static_cast<double>(y[i]) * (1 + std::exp(-static_cast<double>(in[i]))) - 1));
  }
  for (float v : x) {
    const float arguments[] = {
        std::exp(v), 1 + 0.4f * v / 88,
        std::bit_cast<float>(std::bit_cast<uint32_t>(1.0f) + static_cast<uint32_t>(v + 88))};
    for (float a : arguments) {
      const double want = std::log(static_cast<double>(a));
      if (want != 0) worst_log = std::max(worst_log, std::fabs(static_cast<double>(l.log1(a)) / want - 1));
    }
  }
  EXPECT_LT(worst_exp, 8.5e-8);
  EXPECT_LT(worst_sigmoid, 1.5e-7);
  EXPECT_LT(worst_log, 8.2e-8);
  EXPECT_GT(std::min({worst_exp, worst_sigmoid, worst_log}), 4e-8)
      << "errors this small mean that nothing was compared";
}

TEST_F(Levels, ExpAtItsEnds) {
  for (const Level* l : other_levels()) {
    EXPECT_EQ(l->exp1(0.0f), 1.0f);
    EXPECT_EQ(l->exp1(-kInf), 0.0f);
    EXPECT_EQ(l->exp1(kInf), kInf);
    EXPECT_EQ(l->exp1(-87.34f), 0.0f);
    EXPECT_EQ(l->exp1(88.73f), kInf);
    EXPECT_GT(l->exp1(-87.33654f), 0.0f);
    EXPECT_LT(l->exp1(88.72283f), kInf);
    EXPECT_TRUE(std::isnan(l->exp1(std::numeric_limits<float>::quiet_NaN())));
    EXPECT_EQ(l->log1(1.0f), 0.0f);
    float y[2];
    const float x[] = {-200.0f, 200.0f};
    l->sigmoid(x, 2, y);
    EXPECT_EQ(y[0], 0.0f);
    EXPECT_EQ(y[1], 1.0f);
  }
}

// ---- the best level against naive references in double ----

double relative_error(const std::vector<float>& got, const std::vector<double>& want) {
  double worst = 0, scale = 0;
  for (size_t i = 0; i < want.size(); ++i) {
    worst = std::max(worst, std::fabs(static_cast<double>(got[i]) - want[i]));
    scale = std::max(scale, std::fabs(want[i]));
  }
  return worst / scale;
}

TEST_F(Levels, RowsAgreeWithTheReferences) {
  const Level& l = *other_levels().back();
  for (int64_t n : kSizes) {
    const std::vector<float> x = test::normal("x", n, 2), w = test::normal("w", n);
    const std::vector<double> x64 = test::converted<double>(x), w64 = test::converted<double>(w);
    std::vector<float> y(x.size());
    const float r = l.rmsnorm(x.data(), w.data(), 1e-3f, n, y.data());
    EXPECT_LT(relative_error(y, reference::rmsnorm(x64, w64, 1e-3)), 5e-7) << n;
    const double mean = reference::dot(x64.data(), x64.data(), n) / static_cast<double>(n);
    EXPECT_NEAR(static_cast<double>(r) * std::sqrt(mean + 1e-3), 1, 3e-7) << n;
    l.swiglu(x.data(), w.data(), n, y.data());
    EXPECT_LT(relative_error(y, reference::swiglu(x64, w64)), 3e-7) << n;
    l.softmax(x.data(), n, y.data());
    EXPECT_LT(relative_error(y, reference::softmax(x64)), 5e-7) << n;
  }
}

// The complex step gives derivatives without cancellation.
TEST_F(Levels, SwigluBackwardIsTheDerivative) {
  using Complex = std::complex<double>;
  const Level& l = *other_levels().back();
  const int64_t n = 33;
  const std::vector<float> gate = test::normal("gate", n, 3), up = test::normal("up", n),
                           dy = test::normal("dy", n);
  constexpr float kWeight = 0.75f;
  std::vector<float> dgate(gate.size()), dup(gate.size()), act(gate.size()), plain(gate.size());
  const float dot =
      l.swiglu_backward(gate.data(), up.data(), dy.data(), kWeight, n, dgate.data(), dup.data(), act.data());
  l.swiglu(gate.data(), up.data(), n, plain.data());
  EXPECT_EQ(dot, l.dot(plain.data(), dy.data(), n)) << "the gradient of the weight";
  l.scale(kWeight, plain.data(), n, plain.data());
  EXPECT_TRUE(test::same_bits(act, plain)) << "forward's activation again";
  constexpr double kStep = 1e-30;
  std::vector<double> want_gate, want_up;
  for (size_t i = 0; i < gate.size(); ++i) {
    const double g = static_cast<double>(gate[i]), u = static_cast<double>(up[i]),
                 d = static_cast<double>(kWeight) * static_cast<double>(dy[i]);
    want_gate.push_back(d * reference::swiglu<Complex>({Complex(g, kStep)}, {Complex(u)})[0].imag() / kStep);
    want_up.push_back(d * reference::swiglu<Complex>({Complex(g)}, {Complex(u, kStep)})[0].imag() / kStep);
  }
  EXPECT_LT(relative_error(dgate, want_gate), 5e-7);
  EXPECT_LT(relative_error(dup, want_up), 3e-7);
}

// ---- selection and linkage ----

#if defined(__x86_64__)
TEST(LevelNames, AmxIsAskedForItsBitsFirst) {
  const std::vector<std::string> names = available_levels();
  if (std::find(names.begin(), names.end(), "avx512") == names.end())
    GTEST_SKIP() << "this machine has no AVX-512";
  const Level& avx512 = level_by_name("avx512");
  for (const std::string& name : names) EXPECT_TRUE(same_products(level_by_name(name), avx512)) << name;
  Level wrong = avx512;
  wrong.sweep = [](const SweepArgs& s) {
    level_by_name("avx512").sweep(s);
    s.c[s.rows * s.ldc - 1] += 1e-4f;
  };
  EXPECT_FALSE(same_products(wrong, avx512)) << "bf16";
  wrong = avx512;
  wrong.group_sweep = [](const GroupSweepArgs& s) {
    level_by_name("avx512").group_sweep(s);
    s.c[s.rows * s.ldc - 1] = 0;
  };
  EXPECT_FALSE(same_products(wrong, avx512)) << "int8";
}
#endif

TEST(LevelNames, AreKnown) {
  const std::vector<std::string> names = available_levels();
  ASSERT_FALSE(names.empty());
  EXPECT_EQ(names.front(), "scalar");
  for (const std::string& name : names) EXPECT_EQ(level_by_name(name).name, name);
  EXPECT_THROW(level_by_name("sse9"), Error);
  EXPECT_THROW(level_by_name(""), Error);
}

#if defined(FRUGAL_CORE_ARCHIVE) && defined(__ELF__)
// An inline function compiled with AVX-512 and merged by the linker would run on machines without it.
TEST(LevelObjects, ExportNothingButTheirTable) {
  FILE* nm = ::popen("nm -C " FRUGAL_CORE_ARCHIVE " 2>/dev/null", "r");
  ASSERT_NE(nm, nullptr);
  std::set<std::string> objects;
  std::string object, line;
  for (int c = std::fgetc(nm); c != EOF; c = std::fgetc(nm)) {
    if (c != '\n') {
      line += static_cast<char>(c);
      continue;
    }
    if (line.ends_with(":")) object = line.substr(0, line.size() - 1);
    const bool level = object.find("level_") != std::string::npos && object.find("test") == std::string::npos;
    if (level) objects.insert(object);
    // "address type name": capital letters are visible to the linker, U is undefined here.
    const std::string::size_type type = line.find_first_of("TtDdBbRrVvWwuUCG", 17);
    if (level && type == 17 && std::string("TDBRVWuCG").find(line[type]) != std::string::npos) {
      const std::string name = line.substr(type + 2);
      const bool table = (name.starts_with("frugal::kernels::level_") && name.ends_with("()")) ||
                         name.starts_with("frugal::kernels::group_sweep_avx512_vnni(");
      const bool sanitizer = name.starts_with("__odr_asan") || name.starts_with("typeinfo ") ||
                             name.starts_with("DW.ref.");  // data
      EXPECT_TRUE(table || sanitizer) << object << " exports " << name;
    }
    line.clear();
  }
  const int status = ::pclose(nm);
  if (status != 0) GTEST_SKIP() << "nm could not read " FRUGAL_CORE_ARCHIVE;
#if defined(__x86_64__)
  EXPECT_EQ(objects.size(), 7u);
#else
  EXPECT_GE(objects.size(), 1u);
#endif
}
#endif

}  // namespace
}  // namespace frugal::kernels
