#include "model/stored.h"

#include <gtest/gtest.h>

#include <map>

#include "published_shapes.h"
#include "test_models.h"
#include "test_values.h"

namespace frugal::model {
namespace {

using namespace test::published;

struct Counted {
  std::map<Part, PartCount> parts;
  int64_t total = 0, active = 0;
};
Counted counted(const ModelConfig& c) {
  Weights weights;
  const ParamTable table = build_param_table(c, &weights);
  Counted sums;
  for (const PartCount& p : count_parts(c, table, weights, nullptr)) {
    sums.parts[p.part] = p;
    sums.total += p.parameters;
    sums.active += p.active;
  }
  EXPECT_EQ(sums.total, table.elements);
  EXPECT_EQ(sums.active, active_parameters(c));
  return sums;
}

// README_WEIGHTS and the inventory of the published files.
TEST(Stored, CountsDeepSeekV3) {
  Counted v = counted(v3());
  EXPECT_EQ(v.parts[Part::kMtp].parameters, 11'610'068'224);
  EXPECT_EQ(v.parts[Part::kMtp].active, 0);
  EXPECT_EQ(v.total - v.parts[Part::kMtp].parameters, 671'026'419'200);
  EXPECT_EQ(v.active, 37'552'297'472);
  EXPECT_EQ(v.parts[Part::kEmbedding].parameters, 926'679'040);
  EXPECT_EQ(v.parts[Part::kHead].parameters, 926'679'040);
  EXPECT_EQ(v.parts[Part::kAttention].parameters, 61 * int64_t{187'107'328});
  EXPECT_EQ(v.parts[Part::kDenseMlp].parameters, 3 * int64_t{396'361'728});
  EXPECT_EQ(v.parts[Part::kRoutedExperts].parameters, 58 * 256 * int64_t{44'040'192});
  EXPECT_EQ(v.parts[Part::kRoutedExperts].active, 58 * 8 * int64_t{44'040'192});
  EXPECT_EQ(v.parts[Part::kSharedExperts].parameters, 58 * int64_t{44'040'192});
  EXPECT_EQ(v.parts[Part::kRouter].parameters, 58 * int64_t{1'835'264});
  EXPECT_EQ(latent_bytes_per_token(v3(), 2), 70'272);
}

TEST(Stored, CountsTheFamily) {
  EXPECT_EQ(counted(v2_lite()).total / 1'000'000, 15'706);
  EXPECT_EQ(counted(moonlight()).total / 10'000'000, 1'596);
  EXPECT_EQ(counted(kimi_k2()).total / 100'000'000, 10'264);
  EXPECT_EQ(counted(kimi_k2()).active / 100'000'000, 328);
  EXPECT_EQ(latent_bytes_per_token(v2_lite(), 2), 31'104);
  EXPECT_EQ(latent_bytes_per_token(moonlight(), 2), 31'104);
  EXPECT_EQ(latent_bytes_per_token(kimi_k2(), 2), 70'272);
}

// 91,991 tensors of 684,531,386,000 numbers in 641.29 GiB.
TEST(Stored, Fp8IsWhatDeepSeekV3Publishes) {
  Weights weights;
  const ParamTable table = build_param_table(v3(), &weights);
  int64_t tensors = 0, elements = 0, bytes = 0, scales = 0;
  for (const StoredTensor& t : stored_tensors(table, weights, StoredFormat::kFP8)) {
    ++tensors;
    elements += t.shape.elements();
    bytes += t.bytes();
    if (t.is_scale) scales += t.shape.elements();
  }
  EXPECT_EQ(tensors, 91'991);
  EXPECT_EQ(elements, 684'531'386'000);
  EXPECT_EQ(scales, 41'540'496);
  EXPECT_NEAR(static_cast<double>(bytes) / 1073741824.0, 641.29, 0.005);
}

TEST(Stored, TypesOfEachFormat) {
  Weights weights;
  const ParamTable table = build_param_table(v3(), &weights);
  std::map<const Param*, Dtype> fp8;
  for (const StoredTensor& t : stored_tensors(table, weights, StoredFormat::kFP8))
    if (!t.is_scale && t.name == t.param->name) fp8[t.param] = t.dtype;
  for (const Param& p : table.params) {
    const bool outside = p.weight == &weights.lm_head || p.weight == &weights.mtp[0].eh_proj;
    const Dtype expected = p.kind == ParamKind::kBias                 ? Dtype::kF32
                           : p.kind == ParamKind::kMatrix && !outside ? Dtype::kF8E4M3
                                                                      : Dtype::kBF16;
    ASSERT_EQ(fp8.at(&p), expected) << p.name;
  }
  for (const StoredTensor& t : stored_tensors(table, weights, StoredFormat::kF32))
    ASSERT_EQ(t.dtype, Dtype::kF32) << t.name;
}

TEST(Stored, BytesByPartAndTypeAreThoseOfTheFile) {
  kernels::Ctx ctx(1);
  const test::TemporaryDirectory directory;
  const auto model = test::make_model(ctx, test::v3_config(), kernels::Operand::kBF16);
  save_model(*model, directory.path());
  const CheckpointFiles files(directory.path());
  int64_t bytes = 0, expected = 0;
  for (const PartCount& p : count_parts(model->config, model->table, model->weights, &files)) {
    bytes += p.bytes();
    if (p.part == Part::kRouter) {
      EXPECT_EQ(p.stored.size(), 1u);
      EXPECT_EQ(p.stored.at(Dtype::kF32), p.parameters * 4);
    }
    if (p.part == Part::kRoutedExperts) {
      EXPECT_EQ(p.stored.at(Dtype::kBF16), p.parameters * 2);
    }
  }
  for (const std::string& name : files.names()) expected += files.find(name)->bytes();
  EXPECT_EQ(bytes, expected);
}

}  // namespace
}  // namespace frugal::model
