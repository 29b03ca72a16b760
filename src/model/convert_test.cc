#include "model/convert.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <limits>

#include "base/disk.h"
#include "base/error.h"
#include "kernels/quant.h"
#include "model/manifest.h"
#include "test_models.h"
#include "test_values.h"

namespace frugal::model {
namespace {

namespace fs = std::filesystem;

struct Stored {
  Dtype dtype;
  Shape shape;
  std::string bytes;
  friend bool operator==(const Stored&, const Stored&) = default;
};
using Contents = std::map<std::string, Stored>;

Contents contents(const std::string& directory) {
  const CheckpointFiles files(directory);
  Contents all;
  for (const std::string& name : files.names()) {
    const Tensor* t = files.find(name);
    all[name] = {t->dtype, t->shape, {static_cast<const char*>(t->data), static_cast<size_t>(t->bytes())}};
  }
  return all;
}
std::vector<float> values(const Stored& s) {
  return to_f32({const_cast<char*>(s.bytes.data()), s.dtype, s.shape});
}

void expect_error(const std::function<void()>& f, const std::vector<std::string>& words) {
  try {
    f();
    ADD_FAILURE() << "no error";
  } catch (const Error& e) {
    for (const std::string& word : words)
      EXPECT_NE(std::string(e.what()).find(word), std::string::npos) << e.what() << " lacks " << word;
  }
}

// Wide enough for several blocks with ragged edges.
ModelConfig wide_config() {
  ModelConfig c = test::v3_config();
  c.hidden_size = 150;
  c.intermediate_size = 260;
  c.moe_intermediate_size = 40;
  check_config(c, "wide");
  return c;
}

class Convert : public ::testing::Test {
 protected:
  // A model directory of one file in f32 or bf16, as checkpoints are written.
  std::string saved(kernels::Operand operand, const ModelConfig& config) {
    const std::string path = directory_ / (operand == kernels::Operand::kF32 ? "f32" : "bf16");
    fs::create_directories(path);
    save_model(*test::make_model(ctx_, config, operand), path);
    return path;
  }
  std::string convert(const std::string& from, const std::string& name, StoredFormat format,
                      int64_t shard_bytes = 1 << 30, int threads = 1) {
    kernels::Ctx ctx(threads);
    report_ = convert_model(ctx, from, directory_ / name,
                            {.format = format, .shard_bytes = shard_bytes, .verify = true}, {});
    return directory_ / name;
  }

  test::TemporaryDirectory directory_;
  kernels::Ctx ctx_{1};
  ConvertReport report_;
};

TEST_F(Convert, SameTypeKeepsEveryByte) {
  for (const test::NamedConfig& n : test::family()) {
    const std::string source = directory_ / n.name;
    fs::create_directories(source);
    save_model(*test::make_model(ctx_, n.config, kernels::Operand::kBF16), source);
    const std::string target = convert(source, n.name + "_out", StoredFormat::kBF16);
    EXPECT_EQ(contents(source), contents(target)) << n.name;
    EXPECT_EQ(load_config(target).torch_dtype, "bfloat16");
  }
}

TEST_F(Convert, ShardsHoldTheSame) {
  const std::string source = saved(kernels::Operand::kBF16, wide_config());
  constexpr int64_t kShard = 100'000;
  const std::string target = convert(source, "out", StoredFormat::kBF16, kShard);
  EXPECT_EQ(contents(source), contents(target));
  const CheckpointFiles files(target);
  EXPECT_GT(files.shards().size(), 4u);
  EXPECT_EQ(files.shards().size(), report_.shards);
  EXPECT_TRUE(files.unlisted().empty());
  for (const auto& shard : files.shards()) {
    int64_t bytes = 0;
    for (const auto& [name, tensor] : shard->tensors()) bytes += tensor.bytes();
    EXPECT_TRUE(bytes <= kShard || shard->tensors().size() == 1) << shard->path();
  }
  EXPECT_TRUE(
      file_exists(target + "/model-00001-of-" + fmt::format("{:05}", report_.shards) + ".safetensors"));
  EXPECT_FALSE(fs::exists(target + ".writing"));
  // ... and back into one.
  const std::string one = convert(target, "one", StoredFormat::kBF16);
  EXPECT_TRUE(file_exists(one + "/model.safetensors"));
  EXPECT_FALSE(file_exists(one + "/model.safetensors.index.json"));
  EXPECT_EQ(contents(source), contents(one));
}

TEST_F(Convert, F32ToBf16Rounds) {
  const std::string source = saved(kernels::Operand::kF32, wide_config());
  const Contents before = contents(source), after = contents(convert(source, "out", StoredFormat::kBF16));
  ASSERT_EQ(before.size(), after.size());
  Weights weights;
  const ParamTable table = build_param_table(wide_config(), &weights);
  for (const Param& p : table.params) {
    const Stored& from = before.at(p.name);
    const Stored& to = after.at(p.name);
    if (p.kind != ParamKind::kMatrix && p.kind != ParamKind::kEmbedding) {
      EXPECT_EQ(from, to) << p.name;  // norms and router lose nothing
      continue;
    }
    ASSERT_EQ(to.dtype, Dtype::kBF16) << p.name;
    std::vector<float> rounded = values(from);
    for (float& x : rounded) x = round_bf16(x);
    EXPECT_TRUE(test::same_bits(rounded, values(to))) << p.name;
  }
  EXPECT_EQ(load_config(directory_ / "out").torch_dtype, "bfloat16");
  // What is the same as the checkpoint of a bf16 run with these masters.
  save_model(*test::make_model(ctx_, wide_config(), kernels::Operand::kBF16), directory_.path());
  EXPECT_EQ(contents(directory_.path()), after);
}

TEST_F(Convert, Bf16ToF32Widens) {
  const std::string source = saved(kernels::Operand::kBF16, wide_config());
  const Contents before = contents(source), after = contents(convert(source, "out", StoredFormat::kF32));
  for (const auto& [name, from] : before) {
    EXPECT_EQ(after.at(name).dtype, Dtype::kF32) << name;
    EXPECT_TRUE(test::same_bits(values(from), values(after.at(name)))) << name;
  }
  EXPECT_EQ(load_config(directory_ / "out").torch_dtype, "float32");
  // And back: nothing was lost.
  EXPECT_EQ(contents(convert(directory_ / "out", "back", StoredFormat::kBF16)), before);
}

TEST_F(Convert, Fp8IsTheKernelsQuantisation) {
  const std::string source = saved(kernels::Operand::kF32, wide_config());
  const Contents before = contents(source);
  const std::string target = convert(source, "out", StoredFormat::kFP8);
  const Contents after = contents(target);
  const ModelConfig config = load_config(target);
  EXPECT_TRUE(config.fp8);
  EXPECT_FALSE(config.ue8m0_scales);
  Weights weights;
  const ParamTable table = build_param_table(config, &weights);
  size_t quantised = 0;
  for (const StoredTensor& t : stored_tensors(table, weights, StoredFormat::kFP8)) {
    if (t.is_scale || t.dtype != Dtype::kF8E4M3) continue;
    ++quantised;
    const std::vector<float> w = values(before.at(t.name));
    const int64_t out = t.shape[0], in = t.shape[1];
    std::vector<uint8_t> q(w.size());
    std::vector<float> s(static_cast<size_t>(kernels::quant_blocks(out) * kernels::quant_blocks(in)));
    kernels::quantise_weights(ctx_, w.data(), out, in, q.data(), s.data());
    ASSERT_EQ(after.at(t.name).dtype, Dtype::kF8E4M3) << t.name;
    EXPECT_EQ(after.at(t.name).bytes, std::string(q.begin(), q.end())) << t.name;
    EXPECT_TRUE(test::same_bits(values(after.at(scale_name(t.name))), s)) << t.name;
  }
  EXPECT_EQ(quantised,
            table.params.size() + after.size() - table.params.size() - before.size());  // a scale for each
  EXPECT_EQ(after.at("model.embed_tokens.weight").dtype, Dtype::kBF16);
  EXPECT_EQ(after.at("lm_head.weight").dtype, Dtype::kBF16);
  EXPECT_EQ(after.at("model.layers.2.eh_proj.weight").dtype, Dtype::kBF16);
  EXPECT_EQ(after.at("model.layers.2.shared_head.head.weight").dtype, Dtype::kBF16);
  EXPECT_EQ(after.at("model.layers.1.mlp.gate.weight").dtype, Dtype::kF32);
  // The engine reads it.
  EXPECT_NO_THROW(load_model(ctx_, target, {}));
}

TEST_F(Convert, Fp8IsDequantised) {
  const std::string source =
      convert(saved(kernels::Operand::kBF16, wide_config()), "fp8", StoredFormat::kFP8);
  const Contents before = contents(source);
  EXPECT_EQ(contents(convert(source, "again", StoredFormat::kFP8, 100'000)), before);
  const Contents f32 = contents(convert(source, "f32", StoredFormat::kF32));
  const Contents bf16 = contents(convert(source, "half", StoredFormat::kBF16));
  EXPECT_FALSE(load_config(directory_ / "half").fp8);
  EXPECT_TRUE(load_config(source).fp8);
  const CheckpointFiles files(source);
  Weights weights;
  const ParamTable table = build_param_table(wide_config(), &weights);
  for (const Param& p : table.params) {
    const std::vector<float> read = read_parameter(files, load_config(source), p.name, p.shape);
    EXPECT_TRUE(test::same_bits(values(f32.at(p.name)), read)) << p.name;
    std::vector<float> rounded = read;
    if (bf16.at(p.name).dtype == Dtype::kBF16)
      for (float& x : rounded) x = round_bf16(x);
    EXPECT_TRUE(test::same_bits(values(bf16.at(p.name)), rounded)) << p.name;
  }
  for (const auto& [name, tensor] : bf16) EXPECT_TRUE(scaled_name(name).empty()) << name;
}

// Wide matrices are converted in several pieces, which must not show.
TEST_F(Convert, PiecesAreTheWhole) {
  ModelConfig c = test::family().back().config;  // dense
  c.num_hidden_layers = c.first_k_dense_replace = 1;
  c.num_nextn_predict_layers = 0;
  c.hidden_size = 130;
  c.intermediate_size = 16'400;  // down_proj: 128 and 2 rows
  const std::string source = saved(kernels::Operand::kF32, c);
  const std::string name = "model.layers.0.mlp.down_proj.weight";
  const std::vector<float> w = values(contents(source).at(name));
  std::vector<uint8_t> q(w.size());
  std::vector<float> s(static_cast<size_t>(2 * kernels::quant_blocks(c.intermediate_size)));
  kernels::quantise_weights(ctx_, w.data(), c.hidden_size, c.intermediate_size, q.data(), s.data());
  const std::string fp8 = convert(source, "fp8", StoredFormat::kFP8);
  EXPECT_EQ(contents(fp8).at(name).bytes, std::string(q.begin(), q.end()));
  EXPECT_TRUE(test::same_bits(values(contents(fp8).at(scale_name(name))), s));
  const std::vector<float> read =
      read_parameter(CheckpointFiles(fp8), load_config(fp8), name, {c.hidden_size, c.intermediate_size});
  EXPECT_TRUE(test::same_bits(values(contents(convert(fp8, "wide", StoredFormat::kF32)).at(name)), read));
}

TEST_F(Convert, ThreadsChangeNothing) {
  const std::string source = saved(kernels::Operand::kF32, wide_config());
  for (const StoredFormat format : {StoredFormat::kBF16, StoredFormat::kFP8}) {
    const std::string name = format == StoredFormat::kFP8 ? "fp8" : "half";
    EXPECT_EQ(contents(convert(source, name + "1", format, 1 << 30, 1)),
              contents(convert(source, name + "3", format, 1 << 30, 3)));
  }
}

// A calibration changes the numbers of the matrices that tokens have reached, and nothing else; not with the threads.
TEST_F(Convert, CalibratedIntegers) {
  ModelConfig config = wide_config();
  config.hidden_size = 160;  // panels are whole
  config.intermediate_size = 256;
  config.moe_intermediate_size = 64;
  const std::string from = saved(kernels::Operand::kBF16, config);
  std::vector<int32_t> ids;
  for (int i = 0; i < 400; ++i) ids.push_back(static_cast<int32_t>(i * i * 7 % config.vocab_size));
  const Contents plain = contents(convert(from, "plain", StoredFormat::kInt4));
  EXPECT_EQ(report_.compensated, 0);
  std::map<int, Contents> made;
  for (const int threads : {1, 3}) {
    kernels::Ctx ctx(threads);
    const auto m = load_model(ctx, from, {.operand = kernels::Operand::kBF16});
    int64_t done = 0;
    const auto calibrate = [&] { return Calibration(ctx, *m, ids, 64, [&](int64_t n) { done = n; }); };
    const Calibration calibration = calibrate();
    EXPECT_EQ(done, 384);  // whole rows
    EXPECT_FALSE(ctx.observer);
    EXPECT_EQ(calibration.moments("model.norm.weight"), nullptr);
    ASSERT_NE(calibration.moments("model.layers.0.mlp.up_proj.weight"), nullptr);
    EXPECT_EQ(calibration.moments("model.layers.0.mlp.up_proj.weight"), calibration.moments("model.layers.0.mlp.gate_proj.weight"));
    const std::string to = directory_ / ("calibrated" + std::to_string(threads));
    const ConvertReport report =
        convert_model(ctx, from, to, {.format = StoredFormat::kInt4, .calibrate = calibrate, .calibrated = "x"}, {});
    EXPECT_GT(report.compensated, report.matrices / 2);
    made[threads] = contents(to);
  }
  EXPECT_EQ(made[1], made[3]);
  ASSERT_EQ(made[1].size(), plain.size());
  for (const auto& [name, tensor] : plain) {
    EXPECT_EQ(made[1].at(name).shape, tensor.shape) << name;
    EXPECT_TRUE(tensor.dtype == Dtype::kU8 || made[1].at(name) == tensor) << name;
  }
  EXPECT_NE(made[1], plain);
  // What can be refused is refused before.
  const auto never = []() -> Calibration { throw Error("", "calibrated", ""); };
  expect_error([&] { convert_model(ctx_, directory_ / "plain", directory_ / "x", {.format = StoredFormat::kInt4, .calibrate = never}, {}); },
               {"holds int4 weights already"});
  expect_error([&] { convert_model(ctx_, from, directory_ / "plain", {.format = StoredFormat::kInt4, .calibrate = never}, {}); },
               {"plain"});
  expect_error([&] { Calibration(ctx_, *load_model(ctx_, from, {}), {1}, 64, {}); }, {"fewer than two tokens"});
  expect_error([&] { Calibration(ctx_, *load_model(ctx_, from, {}), {1, 1 << 20}, 64, {}); }, {"token 1048576"});
}

TEST_F(Convert, OtherFieldsAndFilesAreKept) {
  const std::string source = saved(kernels::Operand::kBF16, test::v3_config());
  const std::string config = read_file(source + "/config.json");
  std::ofstream(source + "/config.json") << "{\"my_field\": [1, {\"a\": null}]," + config.substr(1);
  std::ofstream(source + "/LICENSE") << "as it is";
  std::ofstream(source + "/old.bin") << "weights of another program";
  fs::create_directories(source + "/trainer");
  const std::string target = convert(source, "out", StoredFormat::kFP8);
  EXPECT_NE(read_file(target + "/config.json").find("my_field"), std::string::npos);
  EXPECT_EQ(read_file(target + "/LICENSE"), "as it is");
  EXPECT_EQ(read_file(target + "/generation_config.json"), read_file(source + "/generation_config.json"));
  EXPECT_FALSE(fs::exists(target + "/old.bin"));
  EXPECT_FALSE(fs::exists(target + "/trainer"));
  EXPECT_EQ(report_.carried, (std::vector<std::string>{"LICENSE", "generation_config.json"}));
}

TEST_F(Convert, ManifestFindsDamage) {
  const std::string target =
      convert(saved(kernels::Operand::kBF16, test::v3_config()), "out", StoredFormat::kBF16);
  verify_manifest(target, {});
  const auto flip = [](const std::string& path, int64_t from_end) {
    std::fstream f(path, std::ios::in | std::ios::out | std::ios::binary);
    f.seekg(-from_end, std::ios::end);
    const char c = static_cast<char>(f.peek() ^ 1);
    f.seekp(-from_end, std::ios::end);
    f.put(c);
  };
  flip(target + "/model.safetensors", 1);
  expect_error([&] { verify_manifest(target, {}); }, {"model.safetensors", "does not match its checksum"});
  flip(target + "/model.safetensors", 1);
  flip(target + "/generation_config.json", 3);
  expect_error([&] { verify_manifest(target, {}); }, {"generation_config.json", "does not match"});
  flip(target + "/generation_config.json", 3);
  verify_manifest(target, {});
  fs::remove(target + "/generation_config.json");
  expect_error([&] { verify_manifest(target, {}); }, {"generation_config.json", "cannot open"});
  std::ofstream(target + "/manifest.json") << R"({"xxh3_64": {"tensors": {}, "files": {}}})";
  expect_error([&] { verify_manifest(target, {}); }, {"is not in the manifest"});
  std::ofstream(target + "/manifest.json") << R"({"xxh3_64": {"tensors": {"a": "0"}, "files": {}}})";
  expect_error([&] { verify_manifest(target, {}); }, {"tensor a of the manifest is missing"});
  std::ofstream(target + "/manifest.json") << R"({"xxh3_64": {"tensors": {}, "files": {"../x": "0"}}})";
  expect_error([&] { verify_manifest(target, {}); }, {"../x", "not a file of this directory"});
}

TEST_F(Convert, RefusesAndLeavesNothing) {
  const std::string source = saved(kernels::Operand::kF32, test::v3_config());
  const auto to_fp8 = [&] { convert(source, "out", StoredFormat::kFP8); };
  fs::create_directories(directory_ / "out");
  expect_error(to_fp8, {"out", "exists already"});
  fs::remove(directory_ / "out");
  {
    const WritingDirectory other(directory_ / "out");
    expect_error(to_fp8, {"out.writing", "another process"});
  }
  // A value that e4m3 has no scale for.
  auto model = test::make_model(ctx_, test::v3_config(), kernels::Operand::kF32);
  model->weights.layers[0].attention.o_proj.data[5] = std::numeric_limits<float>::infinity();
  save_model(*model, source);
  expect_error(to_fp8, {"o_proj", "not finite"});
  EXPECT_FALSE(fs::exists(directory_ / "out"));
  EXPECT_FALSE(fs::exists(directory_ / "out.writing"));
  // An incomplete source.
  ModelConfig deeper = test::v3_config();
  deeper.num_hidden_layers = 3;
  deeper.first_k_dense_replace = 3;
  deeper.num_nextn_predict_layers = 0;
  std::ofstream(source + "/config.json") << config_to_json(deeper);
  expect_error(to_fp8, {"model.layers.1", "mlp"});
  EXPECT_FALSE(fs::exists(directory_ / "out.writing"));
}

}  // namespace
}  // namespace frugal::model
