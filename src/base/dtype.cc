#include "base/dtype.h"

#include <cmath>
#include <iterator>

namespace frugal {

namespace {
struct Row {
  Dtype dtype;
  std::string_view name;
  int64_t size;
};
constexpr Row kRows[] = {
    {Dtype::kF64, "F64", 8}, {Dtype::kF32, "F32", 4},        {Dtype::kBF16, "BF16", 2},
    {Dtype::kF16, "F16", 2}, {Dtype::kF8E4M3, "F8_E4M3", 1}, {Dtype::kI64, "I64", 8},
    {Dtype::kI32, "I32", 4}, {Dtype::kI16, "I16", 2},        {Dtype::kI8, "I8", 1},
    {Dtype::kU8, "U8", 1},   {Dtype::kBool, "BOOL", 1},
};
}  // namespace

int64_t dtype_size(Dtype dtype) { return kRows[static_cast<size_t>(dtype)].size; }
std::string_view dtype_name(Dtype dtype) { return kRows[static_cast<size_t>(dtype)].name; }

bool is_float(Dtype d) {
  return d == Dtype::kF64 || d == Dtype::kF32 || d == Dtype::kBF16 || d == Dtype::kF16 || d == Dtype::kF8E4M3;
}

bool dtype_from_name(std::string_view name, Dtype* dtype) {
  for (const Row& row : kRows) {
    if (row.name == name) {
      *dtype = row.dtype;
      return true;
    }
  }
  return false;
}

float f32_from_f16(uint16_t h) {
  const uint32_t sign = static_cast<uint32_t>(h & 0x8000u) << 16;
  const uint32_t exponent = (h >> 10) & 0x1fu;
  uint32_t mantissa = h & 0x3ffu;
  if (exponent == 0x1f) return std::bit_cast<float>(sign | 0x7f800000u | (mantissa << 13));
  if (exponent != 0) return std::bit_cast<float>(sign | ((exponent + 112) << 23) | (mantissa << 13));
  if (mantissa == 0) return std::bit_cast<float>(sign);
  uint32_t e = 113;  // a denormal half is a normal float
  while ((mantissa & 0x400u) == 0) {
    mantissa <<= 1;
    --e;
  }
  return std::bit_cast<float>(sign | (e << 23) | ((mantissa & 0x3ffu) << 13));
}

float f32_from_e4m3(uint8_t byte) {
  const uint32_t sign = static_cast<uint32_t>(byte & 0x80u) << 24;
  const uint32_t exponent = (byte >> 3) & 0xfu;
  const uint32_t mantissa = byte & 0x7u;
  if (exponent == 0xf && mantissa == 0x7) return std::bit_cast<float>(sign | 0x7fc00000u);
  if (exponent == 0) {
    const float v = static_cast<float>(mantissa) * 0.001953125f;  // 2^-9
    return std::bit_cast<float>(sign | std::bit_cast<uint32_t>(v));
  }
  return std::bit_cast<float>(sign | ((exponent + 120) << 23) | (mantissa << 20));
}

uint8_t e4m3_from_f32(float x, bool saturate) {
  const uint32_t u = std::bit_cast<uint32_t>(x);
  const uint8_t sign = static_cast<uint8_t>((u >> 24) & 0x80u);
  const uint32_t magnitude = u & 0x7fffffffu;
  if (magnitude > 0x7f800000u) return 0x7f;
  constexpr uint32_t kOverflow = 0x43e80000u;  // 464: the midpoint to the next step rounds down to 448
  if (magnitude > kOverflow) return static_cast<uint8_t>(sign | (saturate ? 0x7e : 0x7f));
  constexpr uint32_t kSmallestNormal = 0x3c800000u;  // 2^-6
  if (magnitude < kSmallestNormal) {
    // Count steps of 2^-9; the product is exact and the magic addition rounds to nearest even.
    const float steps = std::bit_cast<float>(magnitude) * 512.0f;
    const uint32_t n = std::bit_cast<uint32_t>(steps + 8388608.0f) - 0x4b000000u;
    return static_cast<uint8_t>(sign | n);  // n == 8 is the smallest normal, with the right bits
  }
  const uint32_t rounded = magnitude + 0x7ffffu + ((magnitude >> 20) & 1u);
  return static_cast<uint8_t>(sign | ((rounded >> 20) - (120u << 3)));
}

}  // namespace frugal
