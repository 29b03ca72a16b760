#include "base/math64.h"

#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>

namespace frugal {

namespace {
constexpr double kLn2High = 6.93147180369123816490e-01;  // 33 bits: n * kLn2High is exact for |n| < 2^20
constexpr double kLn2Low = 1.90821492927058770002e-10;

// Adding 1.5 * 2^52 leaves the nearest integer in the low bits (ties to even).
constexpr double kRound = 6755399441055744.0;
double nearest(double x) { return (x + kRound) - kRound; }

double scale_by_power_of_two(double x, int n) {
  // Two steps, so that results near the ends of the range do not overflow on the way.
  const int half = n / 2;
  const auto power = [](int k) { return std::bit_cast<double>(static_cast<uint64_t>(k + 1023) << 52); };
  return x * power(half) * power(n - half);
}
}  // namespace

double exp64(double x) {
  if (!(x < 709.782712893384)) return x != x ? x : std::numeric_limits<double>::infinity();
  if (x < -745.2) return 0.0;
  const double n = nearest(x * 1.44269504088896340736);
  const double r = (x - n * kLn2High) - n * kLn2Low;  // |r| <= 0.347
  double term = 1.0, sum = 0.0;
  // Taylor series, smallest terms first: r^k / k! for k = 14 .. 1.
  double p = 0.0;
  for (int k = 14; k >= 1; --k) p = (1.0 + p) * (r / static_cast<double>(k));
  sum = term + p;
  return scale_by_power_of_two(sum, static_cast<int>(n));
}

double log64(double x) {
  uint64_t bits = std::bit_cast<uint64_t>(x);
  int n = static_cast<int>(bits >> 52) - 1023;
  double m = std::bit_cast<double>((bits & 0x000fffffffffffffull) | 0x3ff0000000000000ull);
  if (m > 1.41421356237309504880) {
    m *= 0.5;
    ++n;
  }
  // log m = 2 atanh(s), s = (m - 1) / (m + 1), |s| <= 0.172
  const double s = (m - 1.0) / (m + 1.0);
  const double z = s * s;
  double p = 0.0;
  for (int k = 23; k >= 3; k -= 2) p = (p + 1.0 / static_cast<double>(k)) * z;
  const double dn = static_cast<double>(n);
  return dn * kLn2High + (2.0 * s + (2.0 * s * p + dn * kLn2Low));
}

namespace {
// x - q * pi/2 with |result| <= pi/4: pi/2 in four parts of 33 bits, so that q * part is exact for |q| <
// 2^20.
double reduce(double x, int* quadrant) {
  constexpr double kPart1 = 1.57079632673412561417e+00;
  constexpr double kPart2 = 6.07710050630396597660e-11;
  constexpr double kPart3 = 2.02226624871116645580e-21;
  constexpr double kPart4 = 8.47842766036889956997e-32;
  const double q = nearest(x * 0.63661977236758134308);
  *quadrant = static_cast<int>(static_cast<int64_t>(q) & 3);
  return ((x - q * kPart1) - q * kPart2) - (q * kPart3 + q * kPart4);
}

double sin_kernel(double r) {
  const double z = r * r;
  double p = 0.0;
  for (int k = 18; k >= 2; k -= 2) p = (1.0 + p) * (-z / static_cast<double>(k * (k + 1)));
  return r + r * p;
}

double cos_kernel(double r) {
  const double z = r * r;
  double p = 0.0;
  for (int k = 19; k >= 1; k -= 2) p = (1.0 + p) * (-z / static_cast<double>(k * (k + 1)));
  return 1.0 + p;
}
}  // namespace

double sin64(double x) {
  int quadrant;
  const double r = reduce(x, &quadrant);
  const double v = (quadrant & 1) ? cos_kernel(r) : sin_kernel(r);
  return (quadrant & 2) ? -v : v;
}

double cos64(double x) {
  int quadrant;
  const double r = reduce(x, &quadrant);
  const double v = (quadrant & 1) ? sin_kernel(r) : cos_kernel(r);
  return (quadrant == 1 || quadrant == 2) ? -v : v;
}

double pow64(double base, double exponent) { return exp64(exponent * log64(base)); }

}  // namespace frugal
