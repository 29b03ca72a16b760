// Level amx: products of bf16 and of quantised weights by AMX tiles; everything else is level avx512's. Like
// every level file it includes nothing but intrinsics and plain structs and gives everything internal
// linkage.
#include <immintrin.h>

#include "kernels/level.h"

#define FRUGAL_NARROW_A
#define FRUGAL_AVX512_BF16  // which every processor with AMX has

namespace frugal::kernels {
namespace {
#include "kernels/levels/f32x16_avx512.h"
#include "kernels/levels/tiles.h"
// clang-format off
#include "kernels/levels/e4m3.inl"
#include "kernels/levels/maths.inl"
#include "kernels/levels/softmax_tiles.inl"
#include "kernels/levels/panels.inl"
#include "kernels/levels/tile_products.inl"
// clang-format on
}  // namespace

const Level& level_amx() {
  static const Level table = [] {
    Level t = level_avx512();
    t.name = "amx";
    t.narrow_a = true;
    t.panel_rows = kTileRows;
    t.block_rows = kMostBlockRows;
    t.sweep = sweep;
    t.pack_a_rows = pack_a_rows;
    t.pack_a_cols = pack_a_cols;
    t.pack_b_rows = pack_b_rows;
    t.pack_b_cols = pack_b_cols;
    t.value_panel = value_panel;
    t.group_sweep = group_sweep;
    t.fp8_sweep = fp8_sweep;
    t.softmax_tile = softmax_tile;
    t.softmax_backward_tile = softmax_backward_tile;
    t.tile_chain = tile_chain;
    t.tile_chain_operations = kTileChainOperations;
    return t;
  }();
  return table;
}

}  // namespace frugal::kernels
