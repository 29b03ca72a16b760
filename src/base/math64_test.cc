#include "base/math64.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/rng.h"

namespace frugal {
namespace {

// Reference: the 64-bit mantissa long double of libm, where long double has one.
static_assert(std::numeric_limits<long double>::digits >= 64);

template <class Mine, class Reference>
double worst(double low, double high, bool relative, Mine mine, Reference reference) {
  double error = 0;
  for (uint64_t i = 0; i < 100000; ++i) {
    const double x = low + (high - low) * rng_uniform(7, i);
    const long double want = reference(static_cast<long double>(x));
    const long double difference = std::fabs(static_cast<long double>(mine(x)) - want);
    error = std::max(error, static_cast<double>(relative ? difference / std::fabs(want) : difference));
  }
  return error;
}
long double expl_(long double x) { return std::exp(x); }
long double logl_(long double x) { return std::log(x); }
long double sinl_(long double x) { return std::sin(x); }
long double cosl_(long double x) { return std::cos(x); }

TEST(Math64, ExpIsWithinItsBound) {
  EXPECT_LT(worst(-1, 1, true, exp64, expl_), 1e-15);
  EXPECT_LT(worst(-700, 700, true, exp64, expl_), 1e-15);
}

TEST(Math64, ExpAtItsEnds) {
  EXPECT_EQ(exp64(0), 1);
  EXPECT_EQ(exp64(710), std::numeric_limits<double>::infinity());
  EXPECT_EQ(exp64(-746), 0);
  EXPECT_EQ(exp64(-std::numeric_limits<double>::infinity()), 0);
  EXPECT_TRUE(std::isnan(exp64(std::numeric_limits<double>::quiet_NaN())));
  EXPECT_LT(std::fabs(exp64(709.78) / std::exp(709.78) - 1), 1e-15);
  EXPECT_LT(std::fabs(exp64(-708) / std::exp(-708.0) - 1), 1e-15);
}

TEST(Math64, LogIsWithinItsBound) {
  EXPECT_LT(worst(0.5, 0.99, true, log64, logl_), 1e-15);
  EXPECT_LT(worst(0.99, 1.01, true, log64, logl_), 1e-15);
  EXPECT_LT(worst(1.01, 1e6, true, log64, logl_), 1e-15);
  EXPECT_EQ(log64(1), 0);
  EXPECT_LT(std::fabs(log64(1e-300) / std::log(1e-300) - 1), 1e-15);
  EXPECT_LT(std::fabs(log64(1e300) / std::log(1e300) - 1), 1e-15);
}

TEST(Math64, SinAndCosAreWithinTheirBound) {
  for (double range : {1.0, 100.0, 163840.0, 1.6e6}) {
    EXPECT_LT(worst(-range, range, false, sin64, sinl_), 1e-15) << range;
    EXPECT_LT(worst(-range, range, false, cos64, cosl_), 1e-15) << range;
  }
}

// The argument reduction is exact below 2^20 quarter turns only.
TEST(Math64, SinAndCosOfLargeArguments) {
  EXPECT_LT(worst(-1e8, 1e8, false, sin64, sinl_), 1e-8);
  EXPECT_LT(worst(-1e8, 1e8, false, cos64, cosl_), 1e-8);
}

// Arguments next to a multiple of pi/2 lose everything if the reduction does.
TEST(Math64, SinAndCosNearTheirZeros) {
  for (double k : {1.0, 2.0, 3.0, 1000.0, 104347.0, 1000000.0}) {
    const double x = k * (kPi / 2);
    EXPECT_NEAR(sin64(x), static_cast<double>(std::sin(static_cast<long double>(x))), 1e-15) << k;
    EXPECT_NEAR(cos64(x), static_cast<double>(std::cos(static_cast<long double>(x))), 1e-15) << k;
  }
}

TEST(Math64, QuadrantsHaveTheRightSigns) {
  EXPECT_EQ(sin64(0), 0);
  EXPECT_EQ(cos64(0), 1);
  EXPECT_NEAR(sin64(kPi / 2), 1, 1e-16);
  EXPECT_NEAR(sin64(-kPi / 2), -1, 1e-16);
  EXPECT_NEAR(cos64(kPi), -1, 1e-16);
  EXPECT_NEAR(cos64(-kPi), -1, 1e-16);
  EXPECT_NEAR(sin64(-1), -std::sin(1.0), 1e-16);
  EXPECT_NEAR(cos64(-3), std::cos(3.0), 2e-16);
}

TEST(Math64, PowIsWithinItsBound) {
  for (uint64_t i = 0; i < 20000; ++i) {
    const double base = 0.01 + 1e5 * rng_uniform(8, i), exponent = 8 * rng_uniform(9, i) - 4;
    const long double want = std::pow(static_cast<long double>(base), static_cast<long double>(exponent));
    const double error =
        static_cast<double>(std::fabs(static_cast<long double>(pow64(base, exponent)) - want) / want);
    EXPECT_LT(error, 1e-15 + 2.5e-16 * std::fabs(exponent * std::log(base))) << base << " ^ " << exponent;
  }
  EXPECT_EQ(pow64(5, 0), 1);
}

}  // namespace
}  // namespace frugal
