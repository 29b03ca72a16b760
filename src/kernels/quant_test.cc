#include "kernels/quant.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "base/dtype.h"
#include "base/rng.h"
#include "base/safetensors.h"

namespace frugal::kernels {
namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();

std::vector<float> normal(const char* name, int64_t n) {
  std::vector<float> x(static_cast<size_t>(n));
  for (int64_t i = 0; i < n; ++i)
    x[static_cast<size_t>(i)] = static_cast<float>(rng_normal(rng_key(7, name), static_cast<uint64_t>(i)));
  return x;
}
// Random bytes without the two NaN codes.
std::vector<uint8_t> finite_bytes(const char* name, int64_t n) {
  std::vector<uint8_t> q(static_cast<size_t>(n));
  for (int64_t i = 0; i < n; ++i) {
    const double u = rng_uniform(rng_key(7, name), static_cast<uint64_t>(i));
    const auto byte = static_cast<uint8_t>(u * 256);
    q[static_cast<size_t>(i)] = (byte & 0x7f) == 0x7f ? 0x38 : byte;
  }
  return q;
}
template <class T>
void expect_same_bits(const std::vector<T>& a, const std::vector<T>& b) {
  ASSERT_EQ(a.size(), b.size());
  EXPECT_EQ(std::memcmp(a.data(), b.data(), a.size() * sizeof(T)), 0);
}

TEST(E4m3, EncodingTheDecodeTableIsTheIdentity) {
  for (int byte = 0; byte < 256; ++byte) {
    const float x = f32_from_e4m3(static_cast<uint8_t>(byte));
    if ((byte & 0x7f) == 0x7f) {
      EXPECT_TRUE(std::isnan(x));
      EXPECT_EQ(e4m3_from_f32(x), 0x7f);
    } else {
      EXPECT_EQ(e4m3_from_f32(x), byte);
      EXPECT_EQ(e4m3_from_f32(x, false), byte);
    }
  }
}

TEST(E4m3, EveryMidpointGoesToTheEvenByte) {
  for (int byte = 0; byte + 1 < 0x7f; ++byte) {
    const float low = f32_from_e4m3(static_cast<uint8_t>(byte)),
                high = f32_from_e4m3(static_cast<uint8_t>(byte + 1));
    const float middle = (low + high) / 2;  // exact
    const int even = byte % 2 == 0 ? byte : byte + 1;
    EXPECT_EQ(e4m3_from_f32(middle), even);
    EXPECT_EQ(e4m3_from_f32(-middle), even | 0x80);
    EXPECT_EQ(e4m3_from_f32(std::nextafter(middle, 0.0f)), byte);
    EXPECT_EQ(e4m3_from_f32(std::nextafter(middle, kInf)), byte + 1);
  }
}

TEST(Ue8m0, RoundsUpToAPowerOfTwo) {
  EXPECT_EQ(ue8m0_scale(1.0f), 1.0f);
  EXPECT_EQ(ue8m0_scale(std::nextafter(1.0f, 2.0f)), 2.0f);
  EXPECT_EQ(ue8m0_scale(std::nextafter(1.0f, 0.0f)), 1.0f);
  EXPECT_EQ(ue8m0_scale(0x1.8p-20f), 0x1p-19f);
  EXPECT_EQ(ue8m0_scale(kInf), kInf);
  EXPECT_TRUE(std::isnan(ue8m0_scale(std::nanf(""))));
}

TEST(QuantiseActivations, OddShapesAndNothingLost) {
  Ctx ctx(2);
  const int64_t rows = 5, channels = 301, stride = 307, blocks = quant_blocks(channels);
  const std::vector<float> x = normal("x", rows * stride);
  std::vector<uint8_t> q(static_cast<size_t>(rows * channels));
  std::vector<float> scale(static_cast<size_t>(rows * blocks)), back(q.size());
  for (bool ue8m0 : {false, true}) {
    quantise_activations(ctx, x.data(), stride, rows, channels, ue8m0, q.data(), scale.data());
    dequantise_activations(ctx, q.data(), scale.data(), rows, channels, back.data());
    for (int64_t t = 0; t < rows; ++t) {
      for (int64_t i = 0; i < channels; ++i) {
        const float s = scale[static_cast<size_t>(t * blocks + i / kQuantBlock)];
        const float want = x[static_cast<size_t>(t * stride + i)];
        // Half a step: 2^-4 relative for normals, 2^-10 s below.
        EXPECT_NEAR(back[static_cast<size_t>(t * channels + i)], want, std::fabs(want) / 16 + s * 0x1p-10f);
      }
    }
  }
}

TEST(QuantiseActivations, ZeroBlockNanAndInfinity) {
  Ctx ctx(1);
  std::vector<float> x(3 * 128, 0.0f), scale(3);
  x[128 + 5] = std::nanf("");
  x[128 + 6] = 3.0f;
  x[256 + 5] = kInf;
  std::vector<uint8_t> q(x.size());
  quantise_activations(ctx, x.data(), 128, 3, 128, false, q.data(), scale.data());
  EXPECT_EQ(scale[0], 1e-4f / 448.0f);
  EXPECT_EQ(q[0], 0);
  EXPECT_TRUE(std::isnan(scale[1]));
  EXPECT_EQ(q[256 + 5], 0x7f);  // inf / inf
}

TEST(QuantiseWeights, RaggedEdgesAndABlockOfZeros) {
  Ctx ctx(2);
  const int64_t out = 130, in = 259;
  std::vector<float> w = normal("w", out * in);
  for (int64_t r = 0; r < 128; ++r) std::fill_n(w.data() + r * in + 128, 128, 0.0f);
  w[128 * in + 258] = -1000.0f;
  std::vector<uint8_t> q(w.size());
  std::vector<float> scale(2 * 3), back(w.size());
  quantise_weights(ctx, w.data(), out, in, q.data(), scale.data());
  dequantise_weights(ctx, q.data(), scale.data(), out, in, back.data());
  EXPECT_EQ(scale[1], 1.0f);
  EXPECT_EQ(scale[5], 1000.0f / 448.0f);
  EXPECT_EQ(q[128 * in + 258], 0xfe);
  for (int64_t r = 0; r < out; ++r) {
    for (int64_t i = 0; i < in; ++i) {
      const auto at = static_cast<size_t>(r * in + i);
      const float s = scale[static_cast<size_t>(r / 128 * 3 + i / 128)];
      EXPECT_NEAR(back[at], w[at], std::fabs(w[at]) / 16 + s * 0x1p-10f);
    }
  }
  // Quantising what was dequantised changes nothing: the largest value of a block is +-448 steps.
  std::vector<uint8_t> again(q.size());
  quantise_weights(ctx, back.data(), out, in, again.data(), scale.data());
  expect_same_bits(q, again);
}

TEST(QuantiseWeights, ABlockOfDenormalsIsZero) {
  Ctx ctx(1);
  const std::vector<float> w(4, -1e-40f);
  std::vector<uint8_t> q(4);
  std::vector<float> scale(1);
  quantise_weights(ctx, w.data(), 1, 4, q.data(), scale.data());
  EXPECT_EQ(scale[0], 1.0f);
  EXPECT_EQ(q[0] & 0x7f, 0);
}

// ---- the product against its definition, one operation at a time ----

float bf16_block(const float* a, const float* b, int64_t k) {
  float acc = 0;
  for (int64_t at = 0; at < k; at += 32) {
    float even = 0, odd = 0;
    for (int64_t i = at; i < std::min<int64_t>(k, at + 32); i += 2) even = std::fma(a[i], b[i], even);
    for (int64_t i = at + 1; i < std::min<int64_t>(k, at + 32); i += 2) odd = std::fma(a[i], b[i], odd);
    acc = acc + (even + odd);
  }
  return acc;
}

std::vector<float> plain_product(const BlockScaledProduct& p) {
  std::vector<float> c(static_cast<size_t>(p.m * p.n)), a(static_cast<size_t>(p.k)), b(a);
  const int64_t blocks = quant_blocks(p.k);
  for (int64_t i = 0; i < p.m; ++i) {
    for (int64_t k = 0; k < p.k; ++k)
      a[static_cast<size_t>(k)] = p.a_q ? f32_from_e4m3(p.a_q[i * p.k + k]) : round_bf16(p.a[i * p.k + k]);
    for (int64_t j = 0; j < p.n; ++j) {
      for (int64_t k = 0; k < p.k; ++k) b[static_cast<size_t>(k)] = f32_from_e4m3(p.b_q[j * p.k + k]);
      float acc = 0;
      for (int64_t kb = 0; kb < blocks; ++kb) {
        const int64_t at = kb * kQuantBlock;
        const float product = bf16_block(a.data() + at, b.data() + at, std::min(kQuantBlock, p.k - at));
        float s = p.b_scale[j / kQuantBlock * blocks + kb];
        if (p.a_q) s = p.a_scale[i * blocks + kb] * s;
        acc = std::fma(product, s, acc);
      }
      c[static_cast<size_t>(i * p.n + j)] = acc;
    }
  }
  return c;
}

TEST(BlockScaledProduct, EveryLevelAndThreadCountMatchesTheDefinition) {
  set_denormals_to_zero();
  struct Size {
    int64_t m, n, k;
  };
  for (const Size& size : {Size{1, 1, 1}, Size{3, 130, 129}, Size{101, 200, 391}, Size{7, 33, 256}}) {
    const std::vector<uint8_t> a_q = finite_bytes("a", size.m * size.k),
                               b_q = finite_bytes("b", size.n * size.k);
    const std::vector<float> a = normal("wide", size.m * size.k);
    std::vector<float> a_scale = normal("sa", size.m * quant_blocks(size.k));
    std::vector<float> b_scale = normal("sb", quant_blocks(size.n) * quant_blocks(size.k));
    std::vector<float> c(static_cast<size_t>(size.m * size.n));
    BlockScaledProduct p{.m = size.m, .n = size.n, .k = size.k, .b_q = b_q.data(), .b_scale = b_scale.data()};
    p.c = c.data();
    for (bool w8a8 : {true, false}) {
      p.a_q = w8a8 ? a_q.data() : nullptr;
      p.a_scale = a_scale.data();
      p.a = w8a8 ? nullptr : a.data();
      const std::vector<float> want = plain_product(p);
      for (const std::string& level : available_levels()) {
        for (int threads : {1, 2}) {
          Ctx ctx(threads, level_by_name(level));
          std::fill(c.begin(), c.end(), std::nanf(""));
          block_scaled_product(ctx, p);
          expect_same_bits(c, want);
        }
      }
    }
  }
}

// ---- golden vectors ----

class GoldenQuant : public testing::Test {
 protected:
  void SetUp() override {
    const char* root = std::getenv("FRUGAL_GOLDEN_DIR");
    if (root == nullptr) GTEST_SKIP() << "FRUGAL_GOLDEN_DIR is not set";
    file_ = std::make_unique<SafetensorsFile>(std::string(root) + "/h_quant/golden.safetensors");
  }
  template <class T>
  std::vector<T> get(const char* name) const {
    const Tensor& t = file_->at(name);
    return std::vector<T>(t.as<T>(), t.as<T>() + t.elements());
  }
  std::unique_ptr<SafetensorsFile> file_;
};

TEST_F(GoldenQuant, Codec) {
  const std::vector<float> in = get<float>("e4m3.encode_in");
  const std::vector<uint8_t> saturating = get<uint8_t>("e4m3.encode_saturating");
  const std::vector<uint8_t> overflowing = get<uint8_t>("e4m3.encode_nan_overflow");
  for (size_t i = 0; i < in.size(); ++i) {
    EXPECT_EQ(e4m3_from_f32(in[i]), saturating[i]) << in[i];
    EXPECT_EQ(e4m3_from_f32(in[i], false), overflowing[i]) << in[i];
  }
}

TEST_F(GoldenQuant, ActivationsAndWeights) {
  Ctx ctx;
  const std::vector<float> x = get<float>("act.x"), w = get<float>("weight.w");
  std::vector<uint8_t> q(x.size());
  std::vector<float> scale(6 * 3), back(x.size());
  for (bool ue8m0 : {false, true}) {
    const std::string prefix = ue8m0 ? "act.ue8m0." : "act.";
    quantise_activations(ctx, x.data(), 384, 6, 384, ue8m0, q.data(), scale.data());
    dequantise_activations(ctx, q.data(), scale.data(), 6, 384, back.data());
    expect_same_bits(q, get<uint8_t>((prefix + "q").c_str()));
    expect_same_bits(scale, get<float>((prefix + "scale").c_str()));
    expect_same_bits(back, get<float>((prefix + "dequant").c_str()));
  }
  q.resize(w.size());
  back.resize(w.size());
  scale.resize(2 * 3);
  quantise_weights(ctx, w.data(), 200, 334, q.data(), scale.data());
  dequantise_weights(ctx, q.data(), scale.data(), 200, 334, back.data());
  expect_same_bits(q, get<uint8_t>("weight.q"));
  expect_same_bits(scale, get<float>("weight.scale_inv"));
  expect_same_bits(back, get<float>("weight.dequant"));
}

TEST_F(GoldenQuant, Product) {
  Ctx ctx;
  const std::vector<uint8_t> b_q = get<uint8_t>("gemm.b_q");
  const std::vector<float> b_scale = get<float>("gemm.b_scale_inv");
  std::vector<float> c(6 * 200);
  BlockScaledProduct p{.m = 6, .n = 200, .k = 384, .b_q = b_q.data(), .b_scale = b_scale.data()};
  p.c = c.data();
  for (bool ue8m0 : {false, true}) {
    const std::string prefix = ue8m0 ? "act.ue8m0." : "act.";
    const std::vector<uint8_t> a_q = get<uint8_t>((prefix + "q").c_str());
    const std::vector<float> a_scale = get<float>((prefix + "scale").c_str());
    p.a_q = a_q.data();
    p.a_scale = a_scale.data();
    block_scaled_product(ctx, p);
    const std::vector<float> want = get<float>(ue8m0 ? "gemm.c_ue8m0" : "gemm.c");
    for (size_t row = 0; row < 6; ++row) {
      float largest = 0;
      for (size_t j = 0; j < 200; ++j) largest = std::max(largest, std::fabs(want[row * 200 + j]));
      for (size_t j = 0; j < 200; ++j) EXPECT_NEAR(c[row * 200 + j], want[row * 200 + j], 2e-6f * largest);
    }
  }
}

}  // namespace
}  // namespace frugal::kernels
