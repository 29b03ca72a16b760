// The harness itself: what is recognised, what fails, what is named as unchecked. Its arithmetic is tested
// elsewhere.
#include "eval/verify.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <filesystem>

#include "base/dtype.h"
#include "base/error.h"
#include "base/files.h"
#include "base/safetensors.h"

namespace frugal::eval {
namespace {

// bf16 products of small integers are exact, so the expected values are plain sums.
constexpr int64_t kM = 3, kN = 5, kK = 37;

class Verify : public testing::Test {
 protected:
  void SetUp() override {
    directory_ =
        testing::TempDir() + "frugal_verify_" + testing::UnitTest::GetInstance()->current_test_info()->name();
    remove_all(directory_);
    make_directories(directory_);
    for (int64_t i = 0; i < kM * kK; ++i) a_.push_back(bf16_from_f32(static_cast<float>(i % 7 - 3)));
    for (int64_t i = 0; i < kN * kK; ++i) b_.push_back(bf16_from_f32(static_cast<float>(i % 5 - 2)));
    for (int64_t i = 0; i < kM; ++i) {
      for (int64_t j = 0; j < kN; ++j) {
        int64_t sum = 0;
        for (int64_t k = 0; k < kK; ++k) sum += ((i * kK + k) % 7 - 3) * ((j * kK + k) % 5 - 2);
        c_.push_back(static_cast<float>(sum));
      }
    }
  }
  void TearDown() override { remove_all(directory_); }

  // golden.safetensors with one product; `c_shape` may lie.
  void write(const Shape& c_shape = {kM, kN}, bool extra = false) {
    std::vector<NamedTensor> tensors = {{"bf16.normal.a", {a_.data(), Dtype::kBF16, {kM, kK}}},
                                        {"bf16.normal.b", {b_.data(), Dtype::kBF16, {kN, kK}}},
                                        {"bf16.normal.c", {c_.data(), Dtype::kF32, c_shape}}};
    if (extra) tensors.push_back({"surprise", {c_.data(), Dtype::kF32, {kM, kN}}});
    write_safetensors(directory_ + "/golden.safetensors", tensors, {});
  }
  CaseReport verify() { return verify_directory(ctx_, directory_); }

  std::string directory_;
  std::vector<uint16_t> a_, b_;
  std::vector<float> c_;
  kernels::Ctx ctx_{2};
};

TEST_F(Verify, ChecksEveryLevel) {
  write();
  const CaseReport r = verify();
  EXPECT_TRUE(r.passed());
  EXPECT_EQ(r.checks.size(), kernels::available_levels().size());
  EXPECT_TRUE(r.unchecked.empty());
}

TEST_F(Verify, OneWrongBitFails) {
  c_[7] = std::nextafter(c_[7], 1000.0f);
  write();
  const CaseReport r = verify();
  EXPECT_FALSE(r.passed());
  for (const Check& c : r.checks) {
    EXPECT_FALSE(c.pass);
    EXPECT_EQ(c.error, 1.0);
  }
}

TEST_F(Verify, WhatIsNotComparedIsNamed) {
  write({kM, kN}, true);
  const CaseReport r = verify();
  EXPECT_FALSE(r.passed());
  EXPECT_EQ(r.unchecked, std::vector<std::string>{"surprise"});
}

TEST_F(Verify, ALyingShapeIsAnErrorOfTheCase) {
  write({kN, kM});
  const CaseReport r = verify();
  ASSERT_EQ(r.checks.size(), 1u);
  EXPECT_FALSE(r.checks[0].pass);
  EXPECT_NE(r.checks[0].note.find("bf16.normal.c"), std::string::npos) << r.checks[0].note;
  EXPECT_FALSE(r.unchecked.empty());
}

TEST_F(Verify, ATruncatedFileIsAnErrorOfTheCase) {
  write();
  const std::string bytes = read_file(directory_ + "/golden.safetensors");
  write_file_atomic(directory_ + "/golden.safetensors", bytes.substr(0, bytes.size() - 9));
  const CaseReport r = verify();
  ASSERT_EQ(r.checks.size(), 1u);
  EXPECT_FALSE(r.checks[0].pass);
}

TEST_F(Verify, DirectoriesOfCases) {
  EXPECT_THROW(case_directories(directory_), Error);
  EXPECT_THROW(case_directories(directory_ + "/missing"), Error);
  write();
  EXPECT_EQ(case_directories(directory_), std::vector<std::string>{directory_});
  const std::string parent = directory_ + "/parent";
  make_directories(parent + "/b");
  make_directories(parent + "/unknown");
  std::filesystem::copy(directory_ + "/golden.safetensors", parent + "/b/golden.safetensors");
  EXPECT_EQ(case_directories(parent), (std::vector<std::string>{parent + "/b", parent + "/unknown"}));
  EXPECT_FALSE(verify_directory(ctx_, parent + "/unknown").passed());
}

TEST_F(Verify, GoldenVectors) {
  const char* root = std::getenv("FRUGAL_GOLDEN_DIR");
  if (root == nullptr) GTEST_SKIP() << "FRUGAL_GOLDEN_DIR is not set";
  for (const std::string& directory : case_directories(root)) {
    if (file_exists(directory + "/model.safetensors")) continue;
    const CaseReport r = verify_directory(ctx_, directory);
    EXPECT_TRUE(r.passed()) << directory;
    for (const Check& c : r.checks)
      EXPECT_TRUE(c.pass) << directory << ": " << c.tensor << " " << c.error << c.note;
    for (const std::string& name : r.unchecked) ADD_FAILURE() << directory << ": not checked: " << name;
  }
}

}  // namespace
}  // namespace frugal::eval
