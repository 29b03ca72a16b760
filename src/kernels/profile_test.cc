#include "kernels/profile.h"

#include <gtest/gtest.h>

#include <thread>

#include "kernels/gemm.h"
#include "test_values.h"

namespace frugal::kernels {
namespace {

TEST(Profile, InnerScopesBelongToTheOuterOne) {
  Profile profile;
  for (int i = 0; i < 3; ++i) {
    const ProfileScope outer(&profile, "outer", {10, 3});
    {
      const ProfileScope inner(&profile, "inner", {5, 1});
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
  }
  { const ProfileScope other(&profile, "other"); }
  { const ProfileScope nowhere(nullptr, "nowhere"); }
  ASSERT_EQ(profile.rows.size(), 2u);
  EXPECT_EQ(profile.rows[0].name, "outer");
  EXPECT_EQ(profile.rows[0].calls, 3);
  EXPECT_EQ(profile.rows[0].work.flops, 30);
  EXPECT_EQ(profile.rows[0].work.bytes, 9);
  EXPECT_GE(profile.rows[0].seconds, 0.003);
  EXPECT_EQ(profile.rows[1].calls, 1);
}

TEST(Profile, KeepsEventsInOrderIfAsked) {
  Profile profile;
  profile.keep_events = true;
  { const ProfileScope a(&profile, "a", {1, 2}, "first"); }
  { const ProfileScope b(&profile, "a", {3, 4}, "second"); }
  ASSERT_EQ(profile.events.size(), 2u);
  EXPECT_EQ(profile.rows.size(), 2u);
  EXPECT_EQ(profile.events[1].detail, "second");
  EXPECT_EQ(profile.events[1].work.bytes, 4);
  EXPECT_GE(profile.events[1].start, profile.events[0].start + profile.events[0].seconds);
}

TEST(Profile, ProductsSayTheirOperations) {
  Ctx ctx(2);
  Profile profile;
  ctx.profile = &profile;
  std::vector<float> a(20 * 30, 1.0f), b(40 * 30, 1.0f), c(20 * 40);
  std::vector<std::byte> packed(static_cast<size_t>(packed_b_bytes(40, 30, Operand::kF32)) + 64);
  void* panels = packed.data() + (64 - reinterpret_cast<uintptr_t>(packed.data()) % 64) % 64;
  pack_b_rows(ctx, b.data(), 30, 40, 30, Operand::kF32, panels);
  gemm(ctx, {a.data(), 30, nullptr, 20, {Operand::kF32, panels, 40, 30}, c.data(), 40}, Accumulate::kStore);
  ASSERT_EQ(profile.rows.size(), 2u);
  EXPECT_EQ(profile.rows[0].name, "pack operands");
  EXPECT_EQ(profile.rows[1].work.flops, 2.0 * 20 * 40 * 30);
  EXPECT_EQ(profile.rows[1].work.bytes, 4.0 * (20 * 30 + 64 * 30 + 20 * 40)) << "panels have 32 columns";
  EXPECT_EQ(c[0], 30.0f);
}

}  // namespace
}  // namespace frugal::kernels
