// Double-precision functions whose bits are ours: RoPE tables, schedules and initial values must not depend
// on a libm (docs/numerics.md, section 2). Only +, -, *, / and sqrt, never fused. Relative error below 1e-15
// for exp and log; absolute error of sin and cos below 1e-15 for |x| < 1.6e6 and below 1e-8 for |x| < 1e8
// (math64_test.cc).
#pragma once

namespace frugal {

inline constexpr double kPi = 3.14159265358979323846;

double exp64(double x);
double log64(double x);  // x > 0
double sin64(double x);
double cos64(double x);
double pow64(double base,
             double exponent);  // base > 0; relative error grows with |exponent * log(base)| * 2e-16

}  // namespace frugal
