// Element types and their conversions. bf16 follows the contract: nearest even, denormals to signed zero,
// NaN stays quiet (docs/numerics.md, section 1).
#pragma once

#include <bit>
#include <cstdint>
#include <string_view>

namespace frugal {

enum class Dtype : uint8_t { kF64, kF32, kBF16, kF16, kF8E4M3, kI64, kI32, kI16, kI8, kU8, kBool };

int64_t dtype_size(Dtype dtype);
// The safetensors spelling: "F32", "BF16", "F8_E4M3", ...
std::string_view dtype_name(Dtype dtype);
bool is_float(Dtype dtype);
// False when the name is not one of the above.
bool dtype_from_name(std::string_view name, Dtype* dtype);

inline uint16_t bf16_from_f32(float x) {
  const uint32_t u = std::bit_cast<uint32_t>(x);
  const uint32_t exponent = u & 0x7f800000u;
  if (exponent == 0) return static_cast<uint16_t>((u >> 16) & 0x8000u);
  if (exponent == 0x7f800000u && (u & 0x007fffffu) != 0) return static_cast<uint16_t>((u >> 16) | 0x0040u);
  return static_cast<uint16_t>((u + 0x7fffu + ((u >> 16) & 1u)) >> 16);
}
inline float f32_from_bf16(uint16_t h) { return std::bit_cast<float>(static_cast<uint32_t>(h) << 16); }
inline float round_bf16(float x) { return f32_from_bf16(bf16_from_f32(x)); }

float f32_from_f16(uint16_t h);

// OCP e4m3fn: 1-4-3, bias 7, largest 448, no infinity, NaN 0x7f/0xff.
float f32_from_e4m3(uint8_t byte);
// Nearest even. NaN gives 0x7f. Beyond 464: clamped to +-448, or NaN with the sign kept when !saturate.
uint8_t e4m3_from_f32(float x, bool saturate = true);

}  // namespace frugal
