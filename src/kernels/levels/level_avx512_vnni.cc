// The integer products of level avx512 on processors that multiply and add four bytes in one instruction. The
// bits are the same; see level_avx512.cc.
#include <immintrin.h>

#include "kernels/level.h"

#define FRUGAL_VNNI

namespace frugal::kernels {
namespace {
#include "kernels/levels/f32x16_avx512.h"
#include "kernels/levels/quads_avx512.h"
// clang-format off
#include "kernels/levels/group_products.inl"
// clang-format on
}  // namespace

void group_sweep_avx512_vnni(const GroupSweepArgs& s) { group_sweep(s); }

}  // namespace frugal::kernels
