#include "base/dtype.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "base/rng.h"

namespace frugal {
namespace {

float of_bits(uint32_t u) { return std::bit_cast<float>(u); }
uint32_t bits_of(float x) { return std::bit_cast<uint32_t>(x); }

constexpr Dtype kAll[] = {Dtype::kF64, Dtype::kF32, Dtype::kBF16, Dtype::kF16, Dtype::kF8E4M3, Dtype::kI64,
                          Dtype::kI32, Dtype::kI16, Dtype::kI8,   Dtype::kU8,  Dtype::kBool};

TEST(Dtype, NamesAndSizes) {
  const std::pair<const char*, int64_t> expected[] = {{"F64", 8},     {"F32", 4}, {"BF16", 2}, {"F16", 2},
                                                      {"F8_E4M3", 1}, {"I64", 8}, {"I32", 4},  {"I16", 2},
                                                      {"I8", 1},      {"U8", 1},  {"BOOL", 1}};
  for (size_t i = 0; i < std::size(kAll); ++i) {
    EXPECT_EQ(dtype_name(kAll[i]), expected[i].first);
    EXPECT_EQ(dtype_size(kAll[i]), expected[i].second);
    Dtype back = Dtype::kBool;
    EXPECT_TRUE(dtype_from_name(expected[i].first, &back));
    EXPECT_EQ(back, kAll[i]);
  }
  Dtype d = Dtype::kI8;
  for (const char* bad : {"", "f32", "F8_E5M2", "F321", "BF1"}) EXPECT_FALSE(dtype_from_name(bad, &d)) << bad;
  EXPECT_EQ(d, Dtype::kI8);
}

// Every bf16 number is a float; denormals are zeros with their sign and NaNs become quiet.
TEST(Bf16, EveryCodeRoundTrips) {
  for (uint32_t h = 0; h < 0x10000; ++h) {
    const uint16_t code = static_cast<uint16_t>(h);
    const uint16_t back = bf16_from_f32(f32_from_bf16(code));
    const bool denormal = (h & 0x7f80) == 0, nan = (h & 0x7f80) == 0x7f80 && (h & 0x7f) != 0;
    const uint32_t want = denormal ? h & 0x8000 : nan ? h | 0x40 : h;
    ASSERT_EQ(back, want) << h;
  }
}

TEST(Bf16, RoundsToTheNearestEven) {
  EXPECT_EQ(bf16_from_f32(of_bits(0x3f800000)), 0x3f80);
  EXPECT_EQ(bf16_from_f32(of_bits(0x3f807fff)), 0x3f80);
  EXPECT_EQ(bf16_from_f32(of_bits(0x3f808000)), 0x3f80);  // tie to even
  EXPECT_EQ(bf16_from_f32(of_bits(0x3f808001)), 0x3f81);
  EXPECT_EQ(bf16_from_f32(of_bits(0x3f818000)), 0x3f82);  // tie to even
  EXPECT_EQ(bf16_from_f32(of_bits(0x3f81ffff)), 0x3f82);
  EXPECT_EQ(bf16_from_f32(of_bits(0xbf818000)), 0xbf82);
  EXPECT_EQ(bf16_from_f32(of_bits(0x7f7f7fff)), 0x7f7f);
  EXPECT_EQ(bf16_from_f32(of_bits(0x7f7f8000)), 0x7f80);  // overflows to infinity
  EXPECT_EQ(bf16_from_f32(of_bits(0x7f800000)), 0x7f80);
  EXPECT_EQ(bf16_from_f32(of_bits(0xff800000)), 0xff80);
}

TEST(Bf16, DenormalsAndNan) {
  // The largest denormal would round up to the smallest normal number: it is zero.
  for (uint32_t u : {0x00000001u, 0x00008000u, 0x007fffffu}) {
    EXPECT_EQ(bf16_from_f32(of_bits(u)), 0);
    EXPECT_EQ(bf16_from_f32(of_bits(u | 0x80000000u)), 0x8000);
  }
  EXPECT_EQ(bf16_from_f32(of_bits(0x00800000)), 0x0080);
  // A payload in the low bits only must not become infinity.
  EXPECT_EQ(bf16_from_f32(of_bits(0x7f800001)), 0x7fc0);
  EXPECT_EQ(bf16_from_f32(of_bits(0xff80ffff)), 0xffc0);
  EXPECT_EQ(bf16_from_f32(of_bits(0x7fffffff)), 0x7fff);
}

TEST(Bf16, IsNearestAmongNeighbours) {
  for (uint64_t i = 0; i < 20000; ++i) {
    const float x = static_cast<float>(rng_normal(3, i) * std::exp(20 * rng_normal(4, i)));
    const uint16_t h = bf16_from_f32(x);
    if ((h & 0x7fff) == 0 || (h & 0x7fff) >= 0x7f7f) continue;
    const double d = std::fabs(static_cast<double>(f32_from_bf16(h)) - static_cast<double>(x));
    for (int step : {-1, 1}) {
      const double other = static_cast<double>(f32_from_bf16(static_cast<uint16_t>(h + step)));
      ASSERT_LE(d, std::fabs(other - static_cast<double>(x))) << x;
    }
    ASSERT_EQ(bits_of(round_bf16(x)), static_cast<uint32_t>(h) << 16);
  }
}

// 1-5-10, bias 15, from its definition.
TEST(F16, EveryCode) {
  for (uint32_t h = 0; h < 0x10000; ++h) {
    const float x = f32_from_f16(static_cast<uint16_t>(h));
    const uint32_t exponent = h >> 10 & 31, mantissa = h & 1023;
    if (exponent == 31 && mantissa != 0) {
      ASSERT_TRUE(std::isnan(x)) << h;
      continue;
    }
    double want = exponent == 31  ? std::numeric_limits<double>::infinity()
                  : exponent == 0 ? std::ldexp(mantissa, -24)
                                  : std::ldexp(1024 + mantissa, static_cast<int>(exponent) - 25);
    if (h & 0x8000) want = -want;
    ASSERT_EQ(static_cast<double>(x), want) << h;
    ASSERT_EQ(std::signbit(x), (h & 0x8000) != 0) << h;
  }
}

// 1-4-3, bias 7, no infinity, from its definition.
double e4m3_value(uint32_t byte) {
  const uint32_t exponent = byte >> 3 & 15, mantissa = byte & 7;
  const double v =
      exponent == 0 ? std::ldexp(mantissa, -9) : std::ldexp(8 + mantissa, static_cast<int>(exponent) - 10);
  return byte & 0x80 ? -v : v;
}
TEST(E4m3, EveryByteRoundTrips) {
  for (uint32_t b = 0; b < 256; ++b) {
    const float x = f32_from_e4m3(static_cast<uint8_t>(b));
    if ((b & 0x7f) == 0x7f) {
      ASSERT_TRUE(std::isnan(x));
      ASSERT_EQ(e4m3_from_f32(x), 0x7f);
      continue;
    }
    ASSERT_EQ(static_cast<double>(x), e4m3_value(b)) << b;
    ASSERT_EQ(std::signbit(x), b >= 128) << b;
    ASSERT_EQ(e4m3_from_f32(x), b);
    ASSERT_EQ(e4m3_from_f32(x, false), b);
  }
}

TEST(E4m3, MidpointsGoToTheEvenByteAndTheirNeighboursToTheNearer) {
  for (uint32_t b = 0; b < 0x7e; ++b) {
    const float middle = static_cast<float>((e4m3_value(b) + e4m3_value(b + 1)) / 2);
    const uint8_t even = static_cast<uint8_t>(b % 2 == 0 ? b : b + 1);
    ASSERT_EQ(e4m3_from_f32(middle), even) << b;
    ASSERT_EQ(e4m3_from_f32(-middle), even | 0x80) << b;
    ASSERT_EQ(e4m3_from_f32(std::nextafter(middle, 0.0f)), b) << b;
    ASSERT_EQ(e4m3_from_f32(std::nextafter(middle, 1e9f)), b + 1) << b;
  }
}

TEST(E4m3, OverflowUnderflowAndNan) {
  const float inf = std::numeric_limits<float>::infinity();
  EXPECT_EQ(e4m3_from_f32(464.0f), 0x7e);
  EXPECT_EQ(e4m3_from_f32(464.0f, false), 0x7e);
  EXPECT_EQ(e4m3_from_f32(std::nextafter(464.0f, inf)), 0x7e);
  EXPECT_EQ(e4m3_from_f32(std::nextafter(464.0f, inf), false), 0x7f);
  EXPECT_EQ(e4m3_from_f32(-1e30f), 0xfe);
  EXPECT_EQ(e4m3_from_f32(-1e30f, false), 0xff);
  EXPECT_EQ(e4m3_from_f32(inf), 0x7e);
  EXPECT_EQ(e4m3_from_f32(-inf, false), 0xff);
  EXPECT_EQ(e4m3_from_f32(-0.0f), 0x80);
  EXPECT_EQ(e4m3_from_f32(-1e-30f), 0x80);
  EXPECT_EQ(e4m3_from_f32(1e-40f), 0);
  EXPECT_EQ(e4m3_from_f32(std::numeric_limits<float>::quiet_NaN()), 0x7f);
  EXPECT_EQ(e4m3_from_f32(-std::numeric_limits<float>::quiet_NaN()), 0x7f);
}

}  // namespace
}  // namespace frugal
