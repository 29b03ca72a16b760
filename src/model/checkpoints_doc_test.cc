// docs/checkpoints.md has a table of the published checkpoints. Its figures are computed here.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include "base/files.h"
#include "model/stored.h"
#include "published_shapes.h"

namespace frugal::model {
namespace {

double gib(const ParamTable& table, const Weights& weights, StoredFormat format) {
  int64_t bytes = 0;
  for (const StoredTensor& t : stored_tensors(table, weights, format)) bytes += t.bytes();
  return static_cast<double>(bytes) / 1073741824.0;
}

struct Row {
  const char* name;
  ModelConfig config;
  const char* published;  // the type of the matrices in the published files
  const char* chat;
};

std::string line(const Row& r) {
  Weights weights;
  const ParamTable table = build_param_table(r.config, &weights);
  int64_t mtp = 0;
  for (const PartCount& p : count_parts(r.config, table, weights, nullptr))
    if (p.part == Part::kMtp) mtp = p.parameters;
  const auto billions = [](int64_t n) { return fmt::format("{:.1f} G", static_cast<double>(n) * 1e-9); };
  return fmt::format("| {} | {} ({}){} | {} | {:.1f} | {:.1f} | {:.1f} | {:.1f} | {} | {} |\n", r.name,
                     billions(table.elements - mtp), billions(active_parameters(r.config)),
                     mtp > 0 ? " + MTP " + billions(mtp) : "", r.published,
                     gib(table, weights, StoredFormat::kBF16), gib(table, weights, StoredFormat::kFP8),
                     gib(table, weights, StoredFormat::kInt8), gib(table, weights, StoredFormat::kInt4),
                     latent_bytes_per_token(r.config, 2), r.chat);
}

TEST(CheckpointsDoc, TheTableIsWhatTheShapesGive) {
  using namespace test::published;
  const Row rows[] = {{"DeepSeek-V3, V3-0324", v3(), "FP8", "V3"},
                      {"DeepSeek-R1", v3(), "FP8", "R1, thinking"},
                      {"DeepSeek-V3.1", v3(), "FP8, ue8m0 scales", "V3.1, thinking on or off"},
                      {"DeepSeek-V2", v2(), "BF16", "V2"},
                      {"DeepSeek-V2-Lite", v2_lite(), "BF16", "V2"},
                      {"Moonlight-16B-A3B", moonlight(), "BF16", "Moonlight"},
                      {"Kimi-K2", kimi_k2(), "FP8", "Kimi-K2"}};
  std::string table;
  for (const Row& r : rows) table += line(r);
  const std::string page = read_file(FRUGAL_SOURCE_DIR "/docs/checkpoints.md");
  EXPECT_NE(page.find(table), std::string::npos) << "docs/checkpoints.md must have these lines:\n" << table;
}

}  // namespace
}  // namespace frugal::model
