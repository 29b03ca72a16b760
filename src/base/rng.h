// Counter-based random numbers: the value for (key, index) is a pure function, so initial values, sampling
// and shuffles do not depend on who asks first. Philox-4x32-10 (Salmon et al. 2011).
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

namespace frugal {

std::array<uint32_t, 4> philox(uint64_t key, uint64_t counter_low, uint64_t counter_high);

// A 64-bit key from a seed and a name (a tensor's name, "shuffle", ...).
uint64_t rng_key(uint64_t seed, std::string_view name);

// Uniform in [0, 1) with 53 bits.
double rng_uniform(uint64_t key, uint64_t index);
// Standard normal by Box-Muller on our own log, cos (base/math64.h).
double rng_normal(uint64_t key, uint64_t index);

}  // namespace frugal
