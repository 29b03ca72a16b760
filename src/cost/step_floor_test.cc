#include "cost/step_floor.h"

#include <gtest/gtest.h>

#include "model/flops.h"
#include "test_models.h"

namespace frugal::cost {
namespace {

TEST(StepFloor, AddsUpByHand) {
  const std::vector<FloorRow> rows = {{"a", 100, 0}, {"b", 0, 30}, {"c", 10, 60}};
  EXPECT_DOUBLE_EQ(floor_seconds(rows, 10, 15), 10 + 2 + 4);
}

TEST(StepFloor, CountsTheModel) {
  constexpr kernels::Operand kF32 = kernels::Operand::kF32, kBF16 = kernels::Operand::kBF16;
  const model::ModelConfig c = test::v3_config();
  const auto rows = step_floor(c, kF32, Dtype::kF32, 4, 32);
  ASSERT_EQ(rows.size(), 4u);
  EXPECT_DOUBLE_EQ(rows[0].flops, 3 * model::forward_flops_per_token(c, 32, true) * 128);
  model::Weights weights;
  EXPECT_DOUBLE_EQ(rows[1].bytes, 28.0 * static_cast<double>(model::build_param_table(c, &weights).elements));
  EXPECT_DOUBLE_EQ(rows[2].flops, 40.0 * 128 * 61 * 2);  // vocabulary 61, main head and MTP
  // Twice the tokens: twice everything but the optimizer (offsets of experts aside).
  const auto twice = step_floor(c, kF32, Dtype::kF32, 8, 32);
  EXPECT_DOUBLE_EQ(twice[0].flops, 2 * rows[0].flops);
  EXPECT_DOUBLE_EQ(twice[1].bytes, rows[1].bytes);
  EXPECT_NEAR(twice[3].bytes, 2 * rows[3].bytes, 0.01 * twice[3].bytes);
  // bf16: 8 bytes per parameter less, fewer bytes for activations.
  const auto bf16 = step_floor(c, kBF16, Dtype::kBF16, 4, 32);
  EXPECT_DOUBLE_EQ(bf16[1].bytes, rows[1].bytes * 20 / 28);
  EXPECT_LT(bf16[3].bytes, rows[3].bytes);
  EXPECT_GT(bf16[3].bytes, rows[3].bytes / 2);
}

}  // namespace
}  // namespace frugal::cost
