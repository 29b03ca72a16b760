#include "base/rng.h"

#include <cmath>

#include "base/math64.h"

namespace frugal {

std::array<uint32_t, 4> philox(uint64_t key, uint64_t counter_low, uint64_t counter_high) {
  uint32_t c0 = static_cast<uint32_t>(counter_low), c1 = static_cast<uint32_t>(counter_low >> 32);
  uint32_t c2 = static_cast<uint32_t>(counter_high), c3 = static_cast<uint32_t>(counter_high >> 32);
  uint32_t k0 = static_cast<uint32_t>(key), k1 = static_cast<uint32_t>(key >> 32);
  for (int round = 0; round < 10; ++round) {
    const uint64_t p0 = uint64_t{0xD2511F53u} * c0;
    const uint64_t p1 = uint64_t{0xCD9E8D57u} * c2;
    c0 = static_cast<uint32_t>(p1 >> 32) ^ c1 ^ k0;
    c1 = static_cast<uint32_t>(p1);
    c2 = static_cast<uint32_t>(p0 >> 32) ^ c3 ^ k1;
    c3 = static_cast<uint32_t>(p0);
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
  return {c0, c1, c2, c3};
}

uint64_t rng_key(uint64_t seed, std::string_view name) {
  uint64_t h =
      0xcbf29ce484222325ull;  // FNV-1a over the name, then mixed with the seed by splitmix64's finaliser
  for (char c : name) h = (h ^ static_cast<uint8_t>(c)) * 0x100000001b3ull;
  uint64_t z = h + 0x9E3779B97F4A7C15ull * (seed + 1);
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ull;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBull;
  return z ^ (z >> 31);
}

namespace {
double unit(uint32_t high, uint32_t low) {
  const uint64_t bits = (uint64_t{high} << 32 | low) >> 11;
  return static_cast<double>(bits) * 0x1.0p-53;
}
}  // namespace

double rng_uniform(uint64_t key, uint64_t index) {
  const auto r = philox(key, index, 0);
  return unit(r[0], r[1]);
}

double rng_normal(uint64_t key, uint64_t index) {
  const auto r = philox(key, index, 1);
  const double u = 1.0 - unit(r[0], r[1]);  // (0, 1]
  return std::sqrt(-2.0 * log64(u)) * cos64(2.0 * kPi * unit(r[2], r[3]));
}

}  // namespace frugal
