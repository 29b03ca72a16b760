#include "kernels/attention.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <complex>
#include <cstring>
#include <memory>
#include <tuple>

#include "base/dtype.h"
#include "kernels/reference.h"
#include "test_values.h"

namespace frugal::kernels {
namespace {

constexpr Operand kOperands[] = {Operand::kF32, Operand::kBF16};

// T tokens, H query heads, G kv heads.
struct Problem {
  Operand operand = Operand::kF32;
  int64_t heads = 2, kv_heads = 2, key_dim = 24, value_dim = 20;
  float scale = 0.3f;
  std::vector<int64_t> lengths = {150};  // of the sequences
  bool values_in_keys = false;

  PageLayout layout() const { return {operand, kv_heads, key_dim, value_dim, values_in_keys}; }
  int64_t tokens() const {
    int64_t n = 0;
    for (int64_t length : lengths) n += length;
    return n;
  }
  std::vector<float> q() const { return test::normal("q", tokens() * heads * key_dim); }
  std::vector<float> k() const { return test::normal("k", tokens() * kv_heads * key_dim); }
  std::vector<float> v() const {
    if (kv_heads != 1) return test::normal("v", tokens() * kv_heads * value_dim);
    std::vector<float> front;  // of the keys, as in absorbed MLA
    const std::vector<float> keys = k();
    for (int64_t t = 0; t < tokens(); ++t)
      front.insert(front.end(), keys.begin() + t * key_dim, keys.begin() + t * key_dim + value_dim);
    return front;
  }
};

// Zeroed pages of one sequence, each in memory of its own, so that their order in memory means nothing.
class PageSet {
 public:
  PageSet(const PageLayout& layout, int64_t tokens) {
    for (int64_t t = 0; t < tokens; t += kPageTokens) {
      memory_.push_back(aligned_array<std::byte>(layout.page_bytes()));
      std::fill_n(memory_.back().get(), layout.page_bytes(), std::byte{0});
      pages_.push_back(memory_.back().get());
    }
  }
  Pages pages() const { return {pages_.data()}; }

 private:
  std::vector<AlignedPtr<std::byte>> memory_;
  std::vector<std::byte*> pages_;
};

struct Result {
  std::vector<float> out, lse;
};

// Writes and attends `chunk` tokens of every sequence per call (0: all).
Result run(Ctx& ctx, const Problem& p, int64_t chunk = 0) {
  const std::vector<float> q = p.q(), k = p.k(), v = p.v();
  Result r{std::vector<float>(static_cast<size_t>(p.tokens() * p.heads * p.value_dim)),
           std::vector<float>(static_cast<size_t>(p.tokens() * p.heads))};
  std::vector<std::unique_ptr<PageSet>> pages;
  for (int64_t length : p.lengths) pages.push_back(std::make_unique<PageSet>(p.layout(), length));
  const int64_t longest = *std::max_element(p.lengths.begin(), p.lengths.end());
  const int64_t step = chunk == 0 ? longest : chunk;
  for (int64_t at = 0; at < longest; at += step) {
    std::vector<PageWrite> writes;
    std::vector<AttentionSequence> sequences;
    int64_t first_row = 0;
    for (size_t s = 0; s < p.lengths.size(); ++s) {
      const int64_t n = std::min(step, p.lengths[s] - at), row = first_row + at;
      first_row += p.lengths[s];
      if (n <= 0) continue;
      writes.push_back({p.layout(), pages[s]->pages(), at, n, k.data() + row * p.kv_heads * p.key_dim,
                        p.kv_heads * p.key_dim, v.data() + row * p.kv_heads * p.value_dim,
                        p.kv_heads * p.value_dim, p.value_dim});
      sequences.push_back({pages[s]->pages(), row, n, at});
    }
    write_pages(ctx, writes);
    attention(ctx, {p.layout(), p.heads, p.scale, q.data(), r.out.data(), r.lse.data()}, sequences);
  }
  return r;
}

void expect_same(const Result& a, const Result& b, const std::string& what) {
  EXPECT_TRUE(test::same_bits(a.out, b.out)) << what;
  EXPECT_TRUE(test::same_bits(a.lse, b.lse)) << what;
}

// A page that is written as a whole needs no zeroes beforehand.
TEST(WritePages, WholePagesAreWrittenWhole) {
  Ctx ctx(2);
  for (Operand operand : kOperands) {
    Problem p{.operand = operand};
    p.lengths = {64};
    const PageLayout layout = p.layout();
    const auto size = static_cast<size_t>(layout.page_bytes());
    const std::vector<float> k = p.k(), v = p.v();
    std::vector<std::byte> whole(size + 64, std::byte{0xff}), single(size + 64, std::byte{0});
    const auto aligned = [](std::vector<std::byte>& x) {
      return x.data() + (64 - reinterpret_cast<uintptr_t>(x.data()) % 64) % 64;
    };
    std::byte *a = aligned(whole), *b = aligned(single);
    const int64_t ldk = p.kv_heads * p.key_dim, ldv = p.kv_heads * p.value_dim;
    const PageWrite at_once{layout, {&a}, 0, 64, k.data(), ldk, v.data(), ldv, p.value_dim};
    write_pages(ctx, {&at_once, 1});
    for (int64_t t = 0; t < 64; ++t) {
      const PageWrite one{layout, {&b}, t, 1, k.data() + t * ldk, ldk, v.data() + t * ldv, ldv, p.value_dim};
      write_pages(ctx, {&one, 1});
    }
    EXPECT_EQ(std::memcmp(a, b, size), 0);
  }
}

// ---- the contract, restated for one query (docs/numerics.md, sections 1 to 3) ----

float product(Operand operand, int64_t k, const float* a, const float* b, int64_t stride_b) {
  float acc = 0;
  if (operand == Operand::kF32) {
    for (int64_t i = 0; i < k; ++i) acc = std::fma(a[i], b[i * stride_b], acc);
    return acc;
  }
  for (int64_t block = 0; block < k; block += 32) {
    float chain[2] = {0, 0};
    for (int64_t i = block; i < std::min(k, block + 32); ++i)
      chain[i % 2] = std::fma(round_bf16(a[i]), round_bf16(b[i * stride_b]), chain[i % 2]);
    acc = acc + (chain[0] + chain[1]);
  }
  return acc;
}

float lane_sum(const std::vector<float>& x) {
  float lane[16] = {};
  for (size_t i = 0; i < x.size(); ++i) lane[i % 16] = i < 16 ? x[i] : lane[i % 16] + x[i];
  for (int w = 8; w >= 1; w /= 2)
    for (int i = 0; i < w; ++i) lane[i] = lane[i] + lane[i + w];
  return lane[0];
}

// q [key_dim]; keys and values of the positions 0 .. visible - 1 with their strides.
void restate(const Level& level, const Problem& p, const float* q, const float* k, int64_t stride_k,
             const float* v, int64_t stride_v, int64_t visible, float* out, float* lse) {
  float m = 0, l = 0;
  for (int64_t key0 = 0; key0 < visible; key0 += 64) {
    const int64_t n = std::min<int64_t>(64, visible - key0);
    std::vector<float> s, weights;
    for (int64_t j = key0; j < key0 + n; ++j)
      s.push_back(product(p.operand, p.key_dim, q, k + j * stride_k, 1) * p.scale);
    float top = key0 == 0 ? s[0] : m;
    for (float x : s) top = top > x ? top : x;
    for (float x : s) weights.push_back(level.exp1(x - top));
    const float a = key0 == 0 ? 0 : level.exp1(m - top), sum = lane_sum(weights);
    l = key0 == 0 ? sum : std::fma(l, a, sum);
    for (int64_t d = 0; d < p.value_dim; ++d) {
      const float pv = product(p.operand, n, weights.data(), v + key0 * stride_v + d, stride_v);
      out[d] = key0 == 0 ? pv : std::fma(out[d], a, pv);
    }
    m = top;
  }
  for (int64_t d = 0; d < p.value_dim; ++d) out[d] = out[d] / l;
  *lse = m + level.log1(l);
}

Result restated(const Level& level, const Problem& p) {
  const std::vector<float> q = p.q(), k = p.k(), v = p.v();
  Result r{std::vector<float>(static_cast<size_t>(p.tokens() * p.heads * p.value_dim)),
           std::vector<float>(static_cast<size_t>(p.tokens() * p.heads))};
  int64_t first = 0;
  for (int64_t length : p.lengths) {
    for (int64_t t = 0; t < length; ++t) {
      for (int64_t h = 0; h < p.heads; ++h) {
        const int64_t g = h / (p.heads / p.kv_heads), row = (first + t) * p.heads + h;
        restate(level, p, q.data() + row * p.key_dim, k.data() + (first * p.kv_heads + g) * p.key_dim,
                p.kv_heads * p.key_dim, v.data() + (first * p.kv_heads + g) * p.value_dim,
                p.kv_heads * p.value_dim, t + 1, r.out.data() + row * p.value_dim, r.lse.data() + row);
      }
    }
    first += length;
  }
  return r;
}

TEST(Attention, EqualsTheContract) {
  Ctx ctx(2);
  for (Operand operand : kOperands) {
    Problem p;
    p.operand = operand;
    p.lengths = {150, 1, 64, 65};
    expect_same(run(ctx, p), restated(ctx.level, p), "expanded");
    p.kv_heads = 1;  // absorbed: all query heads share one kv head
    p.heads = 3;
    p.key_dim = 40;
    p.value_dim = 33;
    expect_same(run(ctx, p), restated(ctx.level, p), "absorbed");
  }
}

// ---- values against double ----

template <class T>
std::vector<T> head_of(const std::vector<float>& x, int64_t first, int64_t tokens, int64_t heads,
                       int64_t head, int64_t dim, bool rounded) {
  std::vector<T> y;
  for (int64_t t = first; t < first + tokens; ++t)
    for (int64_t d = 0; d < dim; ++d) {
      const float value = x[static_cast<size_t>((t * heads + head) * dim + d)];
      y.push_back(static_cast<T>(static_cast<double>(rounded ? round_bf16(value) : value)));
    }
  return y;
}

double relative_norm(const std::vector<double>& error, const std::vector<double>& want) {
  return std::sqrt(reference::dot(error.data(), error.data(), static_cast<int64_t>(error.size())) /
                   reference::dot(want.data(), want.data(), static_cast<int64_t>(want.size())));
}

TEST(Attention, AgreesWithDouble) {
  Ctx ctx(2);
  for (Operand operand : kOperands) {
    Problem p;
    p.operand = operand;
    p.lengths = {150, 3};
    const bool rounded = operand == Operand::kBF16;
    const Result got = run(ctx, p);
    std::vector<double> want, error;
    int64_t first = 0;
    for (int64_t n : p.lengths) {
      for (int64_t h = 0; h < p.heads; ++h) {
        const auto a =
            reference::attention(head_of<double>(p.q(), first, n, p.heads, h, p.key_dim, rounded),
                                 head_of<double>(p.k(), first, n, p.heads, h, p.key_dim, rounded),
                                 head_of<double>(p.v(), first, n, p.heads, h, p.value_dim, rounded), n,
                                 static_cast<double>(p.scale));
        const std::vector<double> out = head_of<double>(got.out, first, n, p.heads, h, p.value_dim, false);
        for (size_t i = 0; i < out.size(); ++i) error.push_back(out[i] - a.out[i]);
        want.insert(want.end(), a.out.begin(), a.out.end());
        for (int64_t t = 0; t < n; ++t)
          EXPECT_NEAR(static_cast<double>(got.lse[static_cast<size_t>((first + t) * p.heads + h)]),
                      a.lse[static_cast<size_t>(t)], 2e-6);
      }
      first += n;
    }
    // bf16: weights are rounded to 8 bits.
    EXPECT_LT(relative_norm(error, want), rounded ? 2e-3 : 3e-7);
  }
}

// ---- invariance ----

TEST(Attention, ChunksOfAPrefillChangeNoBit) {
  Ctx ctx(2);
  for (Operand operand : kOperands) {
    for (int64_t kv_heads : {1, 2}) {
      Problem p;
      p.operand = operand;
      p.kv_heads = kv_heads;
      const Result whole = run(ctx, p);
      for (int64_t chunk : {1, 7, 48, 64, 65}) expect_same(run(ctx, p, chunk), whole, std::to_string(chunk));
    }
  }
}

TEST(Attention, NeighboursThreadsAndLevelsChangeNoBit) {
  for (Operand operand : kOperands) {
    Problem p;
    p.operand = operand;
    p.lengths = {100, 7, 64, 130};
    Ctx one(1);
    const Result want = run(one, p);
    for (int threads : {2, 3, 7}) {
      Ctx ctx(threads);
      expect_same(run(ctx, p), want, "threads");
    }
    for (const std::string& name : available_levels()) {
      Ctx ctx(2, level_by_name(name));
      expect_same(run(ctx, p), want, name);
    }
    // The first sequence alone: its inputs are the first rows.
    p.lengths = {100};
    const Result alone = run(one, p);
    EXPECT_TRUE(test::same_bits(alone.out.data(), want.out.data(), static_cast<int64_t>(alone.out.size())));
    EXPECT_TRUE(test::same_bits(alone.lse.data(), want.lse.data(), static_cast<int64_t>(alone.lse.size())));
  }
}

// A later key must not show, whatever its value.
// Values that are made from the keys are those that were written beside them.
TEST(Attention, ValuesMayBeTheFrontOfTheKeys) {
  for (const std::string& level : available_levels()) {
    for (const int threads : {1, 3}) {
      Ctx ctx(threads, level_by_name(level));
      for (const Operand operand : kOperands) {
        for (const auto& [heads, key_dim, value_dim] :
             {std::tuple{5, 24, 20}, {16, 72, 64}, {50, 40, 33}, {2, 37, 32}}) {
          Problem p{
              .operand = operand, .heads = heads, .kv_heads = 1, .key_dim = key_dim, .value_dim = value_dim};
          p.lengths = {130, 1, 64};
          const Result beside = run(ctx, p, 33);
          p.values_in_keys = true;
          expect_same(run(ctx, p, 33), beside, level);
          EXPECT_LT(p.layout().page_bytes(), (PageLayout{operand, 1, key_dim, value_dim}.page_bytes()));
        }
      }
    }
  }
}

TEST(Attention, IsCausal) {
  Ctx ctx(2);
  Problem p;
  const std::vector<float> q = p.q();
  std::vector<float> k = p.k(), v = p.v();
  const Result before = run(ctx, p);
  const int64_t changed = 70;
  for (size_t i = static_cast<size_t>(changed * p.heads * p.key_dim); i < k.size(); ++i) k[i] = 1e30f;
  for (size_t i = static_cast<size_t>(changed * p.heads * p.value_dim); i < v.size(); ++i) v[i] = -1e30f;
  const PageSet pages(p.layout(), p.tokens());
  const PageWrite write{p.layout(), pages.pages(),       0,        p.tokens(),
                        k.data(),   p.heads * p.key_dim, v.data(), p.heads * p.value_dim,
                        p.value_dim};
  write_pages(ctx, {&write, 1});
  std::vector<float> out(before.out.size());
  const AttentionSequence sequence{pages.pages(), 0, p.tokens(), 0};
  attention(ctx, {p.layout(), p.heads, p.scale, q.data(), out.data(), nullptr}, {&sequence, 1});
  EXPECT_TRUE(test::same_bits(out.data(), before.out.data(), changed * p.heads * p.value_dim));
  EXPECT_FALSE(test::same_bits(out, before.out));
}

TEST(Attention, ReadsBackWhatWasWritten) {
  Ctx ctx(2);
  for (Operand operand : kOperands) {
    Problem p{.operand = operand, .kv_heads = 1};
    p.lengths = {70};
    const std::vector<float> k = p.k(), v = p.v();
    const PageSet pages(p.layout(), 70);
    const PageWrite write{p.layout(), pages.pages(), 0, 70, k.data(), p.key_dim, v.data(), p.value_dim, p.value_dim};
    write_pages(ctx, {&write, 1});
    std::vector<float> got(k.size());
    read_keys(ctx, p.layout(), pages.pages(), 70, got.data());
    for (size_t i = 0; i < k.size(); ++i) EXPECT_EQ(got[i], operand == Operand::kBF16 ? round_bf16(k[i]) : k[i]);
  }
}

// The last tokens of a sequence whose keys have all been written, with q [count, heads, key_dim].
Result run_last(Ctx& ctx, const Problem& p, const std::vector<float>& q, const std::vector<float>& k, int64_t count) {
  const int64_t n = p.lengths[0];
  const PageSet pages(p.layout(), n);
  const PageWrite w{p.layout(), pages.pages(), 0, n, k.data(), p.key_dim, nullptr, 0, 0};
  write_pages(ctx, {&w, 1});
  Result r{std::vector<float>(static_cast<size_t>(count * p.heads * p.value_dim)),
           std::vector<float>(static_cast<size_t>(count * p.heads))};
  const AttentionSequence s{pages.pages(), 0, count, n - count};
  attention(ctx, {p.layout(), p.heads, p.scale, q.data(), r.out.data(), r.lse.data()}, {&s, 1});
  return r;
}

// Few tokens and many keys are shared out over the threads in another way; no bit may tell. The last length has more
// pages than scores are kept of at once.
TEST(Attention, SpreadingATokenOverThreadsChangesNoBit) {
  for (const auto& [heads, length] : {std::pair{16, 700}, {5, 450}, {100, 930}, {2, 64 * 130 + 5}}) {
    Problem p{.heads = heads, .kv_heads = 1, .key_dim = 168, .value_dim = 136};
    p.values_in_keys = true;
    p.lengths = {length};
    const std::vector<float> k = p.k(), q = test::normal("q", 2 * heads * p.key_dim);
    for (const std::string& level : available_levels()) {
      for (const Operand operand : kOperands) {
        p.operand = operand;
        Ctx one(1, level_by_name(level));
        for (const int64_t count : {1, 2}) {
          const Result want = run_last(one, p, q, k, count);
          for (int threads : {2, 3, 7}) {
            Ctx ctx(threads, level_by_name(level));
            expect_same(run_last(ctx, p, q, k, count), want, level);
          }
        }
      }
    }
  }
}

// ---- e4m3 pages ----

// What counts is byte * scale, rounded to bf16: the same as bf16 pages that are given these numbers.
TEST(Attention, QuantisedPagesAreThoseOfTheirValues) {
  for (const std::string& level : available_levels()) {
    for (const auto& [heads, key_dim, value_dim] : {std::tuple{16, 192, 128}, {3, 332, 300}, {50, 40, 32}}) {
      Problem p{.operand = Operand::kFP8, .heads = heads, .kv_heads = 1, .key_dim = key_dim, .value_dim = value_dim};
      p.values_in_keys = true;
      p.lengths = {195};
      const int64_t n = p.lengths[0];
      const std::vector<float> q = p.q();
      std::vector<float> k = p.k();
      for (size_t i = 0; i < k.size(); ++i) k[i] *= i % 7 == 0 ? 30.0f : 1e-3f;
      const auto attend = [&](Ctx& ctx, Operand operand, const std::vector<float>& keys, int64_t step) {
        p.operand = operand;
        const PageSet pages(p.layout(), n);
        Result r{std::vector<float>(static_cast<size_t>(n * p.heads * p.value_dim)), std::vector<float>(static_cast<size_t>(n * p.heads))};
        for (int64_t at = 0; at < n; at += step) {
          const int64_t m = std::min(step, n - at);
          const PageWrite w{p.layout(), pages.pages(), at, m, keys.data() + at * p.key_dim, p.key_dim, nullptr, 0, 0};
          write_pages(ctx, {&w, 1});
          const AttentionSequence s{pages.pages(), at, m, at};
          attention(ctx, {p.layout(), p.heads, p.scale, q.data(), r.out.data(), r.lse.data()}, {&s, 1});
        }
        return r;
      };
      Ctx ctx(2, level_by_name(level));
      p.operand = Operand::kFP8;
      const PageSet pages(p.layout(), n);
      const PageWrite w{p.layout(), pages.pages(), 0, n, k.data(), key_dim, nullptr, 0, 0};
      write_pages(ctx, {&w, 1});
      std::vector<float> values(k.size());
      read_keys(ctx, p.layout(), pages.pages(), n, values.data());
      double error = 0, size = 0;
      for (size_t i = 0; i < k.size(); ++i) {
        ASSERT_EQ(values[i], round_bf16(values[i]));
        error += std::pow(static_cast<double>(values[i] - k[i]), 2);
        size += std::pow(static_cast<double>(k[i]), 2);
      }
      EXPECT_LT(std::sqrt(error / size), 0.03);  // three bits of mantissa
      const Result want = attend(ctx, Operand::kBF16, values, n);
      expect_same(attend(ctx, Operand::kFP8, k, n), want, level);
      for (int64_t step : {int64_t{1}, int64_t{64}, n - 1})
        expect_same(attend(ctx, Operand::kFP8, k, step), want, level);
      Ctx three(3, level_by_name(level));
      expect_same(attend(three, Operand::kFP8, k, n - 1), want, level);
    }
  }
}
// FlashMLA's layout for DeepSeek-V3's latent: 656 bytes per token and layer.
TEST(Attention, BytesOfAQuantisedToken) {
  EXPECT_EQ((PageLayout{Operand::kFP8, 1, 576, 512, true}.page_bytes()), 64 * 656);
}

// ---- backward ----

struct Gradients {
  std::vector<float> dq, dk, dv;
};

// v lies in rows that are wider than its heads, as in kv_b's output.
Gradients run_backward(Ctx& ctx, const Problem& p, const std::vector<float>& dout) {
  const Result forward = run(ctx, p);
  const int64_t head_stride = p.value_dim + 5;
  std::vector<float> v_wide(static_cast<size_t>(p.tokens() * p.heads * head_stride), 9.0f);
  const std::vector<float> q = p.q(), k = p.k(), v = p.v();
  for (int64_t row = 0; row < p.tokens() * p.heads; ++row)
    std::copy_n(v.begin() + row * p.value_dim, p.value_dim, v_wide.begin() + row * head_stride);
  Gradients g{std::vector<float>(q.size(), 7.0f), std::vector<float>(k.size(), 7.0f),
              std::vector<float>(v.size(), 7.0f)};
  std::vector<AttentionSequence> sequences;
  int64_t first = 0;
  for (int64_t length : p.lengths) {
    sequences.push_back({{}, first, length, 0});
    first += length;
  }
  attention_backward(ctx,
                     {.operand = p.operand,
                      .heads = p.heads,
                      .key_dim = p.key_dim,
                      .value_dim = p.value_dim,
                      .scale = p.scale,
                      .q = q.data(),
                      .k = k.data(),
                      .v = v_wide.data(),
                      .v_stride = p.heads * head_stride,
                      .v_head_stride = head_stride,
                      .out = forward.out.data(),
                      .dout = dout.data(),
                      .lse = forward.lse.data(),
                      .dq = g.dq.data(),
                      .dk = g.dk.data(),
                      .dv = g.dv.data()},
                     sequences);
  return g;
}
// Representable in bf16, so that the same numbers enter every product.
std::vector<float> output_gradient(const Problem& p) {
  std::vector<float> d = test::normal("dout", p.tokens() * p.heads * p.value_dim);
  for (float& x : d) x = round_bf16(x);
  return d;
}

// Derivatives of sum(dout * out) of one head by the complex step: i-th element of q, k or v.
struct HeadReference {
  using Complex = std::complex<double>;
  std::vector<Complex> input[3];  // q, k, v
  std::vector<double> dout;
  int64_t n;
  double scale;
  double derivative(int which, size_t i) {
    constexpr double kStep = 1e-30;
    Complex& x = input[which][i];
    const Complex saved = x;
    x += Complex(0, kStep);
    const auto a = reference::attention(input[0], input[1], input[2], n, scale);
    x = saved;
    Complex f{};
    for (size_t j = 0; j < dout.size(); ++j) f += dout[j] * a.out[j];
    return f.imag() / kStep;
  }
};

TEST(AttentionBackward, IsTheDerivative) {
  Ctx ctx(2);
  for (Operand operand : kOperands) {
    Problem p;
    p.operand = operand;
    p.key_dim = 7;
    p.value_dim = 5;
    p.lengths = {131, 4};
    const bool rounded = operand == Operand::kBF16;
    const std::vector<float> dout = output_gradient(p);
    const Gradients g = run_backward(ctx, p, dout);
    const int64_t dims[3] = {p.key_dim, p.key_dim, p.value_dim};
    const std::vector<float>* const got[3] = {&g.dq, &g.dk, &g.dv};
    std::vector<double> want[3], error[3];
    int64_t first = 0;
    for (int64_t n : p.lengths) {
      for (int64_t h = 0; h < p.heads; ++h) {
        using Complex = HeadReference::Complex;
        HeadReference r{{head_of<Complex>(p.q(), first, n, p.heads, h, p.key_dim, rounded),
                         head_of<Complex>(p.k(), first, n, p.heads, h, p.key_dim, rounded),
                         head_of<Complex>(p.v(), first, n, p.heads, h, p.value_dim, rounded)},
                        head_of<double>(dout, first, n, p.heads, h, p.value_dim, false),
                        n,
                        static_cast<double>(p.scale)};
        for (int which = 0; which < 3; ++which) {
          const std::vector<double> mine =
              head_of<double>(*got[which], first, n, p.heads, h, dims[which], false);
          for (int32_t i : test::integers("sample", 30, static_cast<int64_t>(mine.size()))) {
            want[which].push_back(r.derivative(which, static_cast<size_t>(i)));
            error[which].push_back(mine[static_cast<size_t>(i)] - want[which].back());
          }
        }
      }
      first += n;
    }
    for (int which = 0; which < 3; ++which)
      EXPECT_LT(relative_norm(error[which], want[which]), rounded ? 1e-2 : 2e-6) << "qkv"[which];
  }
}

TEST(AttentionBackward, NeighboursThreadsAndLevelsChangeNoBit) {
  const auto expect_equal = [](const Gradients& a, const Gradients& b, const std::string& what) {
    EXPECT_TRUE(test::same_bits(a.dq, b.dq)) << what;
    EXPECT_TRUE(test::same_bits(a.dk, b.dk)) << what;
    EXPECT_TRUE(test::same_bits(a.dv, b.dv)) << what;
  };
  for (Operand operand : kOperands) {
    Problem p;
    p.operand = operand;
    p.lengths = {131, 7, 64};
    const std::vector<float> dout = output_gradient(p);
    Ctx one(1);
    const Gradients want = run_backward(one, p, dout);
    for (int threads : {2, 3, 7}) {
      Ctx ctx(threads);
      expect_equal(run_backward(ctx, p, dout), want, "threads");
    }
    for (const std::string& name : available_levels()) {
      Ctx ctx(2, level_by_name(name));
      expect_equal(run_backward(ctx, p, dout), want, name);
    }
    p.lengths = {131};
    const Gradients alone = run_backward(one, p, dout);
    EXPECT_TRUE(test::same_bits(alone.dq.data(), want.dq.data(), static_cast<int64_t>(alone.dq.size())));
    EXPECT_TRUE(test::same_bits(alone.dk.data(), want.dk.data(), static_cast<int64_t>(alone.dk.size())));
    EXPECT_TRUE(test::same_bits(alone.dv.data(), want.dv.data(), static_cast<int64_t>(alone.dv.size())));
  }
}

}  // namespace
}  // namespace frugal::kernels
