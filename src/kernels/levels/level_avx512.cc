// Level files include nothing but intrinsics and plain structs and give everything internal linkage, so that
// no instruction of this level leaks into the rest of the program through an inline function (levels_test.cc
// runs nm).
#include <immintrin.h>

#include "kernels/level.h"

#define FRUGAL_LEVEL_NAME "avx512"
#define FRUGAL_DIRECT_E4M3

namespace frugal::kernels {
namespace {
#include "kernels/levels/f32x16_avx512.h"
#include "kernels/levels/quads_avx512.h"
// clang-format off
#include "kernels/levels/e4m3.inl"
#include "kernels/levels/panels.inl"
#include "kernels/levels/products.inl"
#include "kernels/levels/maths.inl"
#include "kernels/levels/rows.inl"
#include "kernels/levels/softmax_tiles.inl"
#include "kernels/levels/group_products.inl"
#include "kernels/levels/table.inl"
// clang-format on
}  // namespace

const Level& level_avx512() {
  static const Level table = [] {
    Level t = kTable;
    if (__builtin_cpu_supports("avx512vnni")) t.group_sweep = group_sweep_avx512_vnni;
    return t;
  }();
  return table;
}

}  // namespace frugal::kernels
