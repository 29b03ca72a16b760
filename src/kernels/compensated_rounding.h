// Rounding weights to integers so that what a layer puts out changes little on the inputs that it sees: what one
// weight loses is made good by those of its group that are rounded after it (Frantar et al., "GPTQ", 2022, here
// within groups of 128 inputs, which share a scale). Plain sequences of operations, so the same bits everywhere.
#pragma once

#include <cstdint>
#include <vector>

namespace frugal::kernels {

// What the inputs of one group tell, made ready for many rows of weights.
struct GroupMoments {
  int64_t n = 0;               // inputs, at most 128; 0: they were all zero, so that nothing is known
  std::vector<int32_t> order;  // largest inputs first
  std::vector<float> weight;   // [n] in that order: the mean square
  std::vector<float> factor;   // [n, n] in that order, upper: U with U^T U = (moments + damping)^-1
};
// moments [n, n]: sum over tokens of x x^T.
GroupMoments group_moments(const float* moments, int64_t n);

// One row's n weights of the group: q in -limit .. limit, and their scale. Weights must be finite.
float round_compensated(const GroupMoments& moments, const float* w, float limit, int8_t* q);

}  // namespace frugal::kernels
