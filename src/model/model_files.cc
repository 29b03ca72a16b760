#include "model/model_files.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>

#include "base/error.h"
#include "base/log.h"
#include "base/memory.h"

namespace frugal::model {

using nlohmann::json;

CheckpointFiles::CheckpointFiles(const std::string& directory) {
  const std::string index = directory + "/model.safetensors.index.json",
                    single = directory + "/model.safetensors";
  std::map<std::string, std::string> weight_map;
  std::set<std::string> shards;
  if (file_exists(index)) {
    try {
      const json parsed = json::parse(read_file(index));
      for (const auto& [name, shard] : parsed.at("weight_map").items()) {
        weight_map[name] = shard.get<std::string>();
        shards.insert(shard.get<std::string>());
      }
    } catch (const json::exception& e) {
      fail(index, std::string("not a safetensors index: ") + e.what(), "fetch the file again");
    }
    for (const std::string& s : shards)
      if (s.find('/') != std::string::npos || s.find("..") != std::string::npos)
        fail(index, "shard '" + s + "' is not a file of this directory", "fetch the file again");
  } else if (file_exists(single)) {
    shards.insert("model.safetensors");
  } else {
    fail(directory, "holds neither model.safetensors nor model.safetensors.index.json",
         "give a model directory");
  }
  for (const std::string& shard : shards) {
    files_.push_back(std::make_unique<SafetensorsFile>(directory + "/" + shard));
    for (const auto& [name, tensor] : files_.back()->tensors()) {
      if (!weight_map.empty()) {
        const auto it = weight_map.find(name);
        if (it == weight_map.end() || it->second != shard) continue;  // another shard owns the name
      }
      tensors_[name] = {&tensor, &files_.back()->path()};
    }
  }
  for (const auto& [name, shard] : weight_map)
    if (!tensors_.count(name))
      fail(directory + "/" + shard, "tensor " + name + " of the index is missing", "fetch the shard again");
}

const Tensor* CheckpointFiles::find(const std::string& name) const {
  const auto it = tensors_.find(name);
  return it == tensors_.end() ? nullptr : it->second.first;
}
const std::string& CheckpointFiles::file_of(const std::string& name) const {
  return *tensors_.at(name).second;
}
std::vector<std::string> CheckpointFiles::names() const {
  std::vector<std::string> names;
  for (const auto& [name, where] : tensors_) names.push_back(name);
  return names;
}

namespace {
constexpr int64_t kScaleBlock = 128;

std::string scale_name(const std::string& name) { return name + "_scale_inv"; }

void dequantise(const CheckpointFiles& files, const std::string& name, const Shape& shape,
                std::vector<float>* values) {
  const Tensor* scale = files.find(scale_name(name));
  if (scale == nullptr)
    fail(files.file_of(name), "F8_E4M3 tensor " + name + " has no " + scale_name(name),
         "use a complete checkpoint");
  const int64_t columns = (shape[1] + kScaleBlock - 1) / kScaleBlock;
  const Shape expected = {(shape[0] + kScaleBlock - 1) / kScaleBlock, columns};
  if (scale->shape != expected || scale->dtype != Dtype::kF32)
    fail(files.file_of(name),
         fmt::format("{} is {} {}, expected F32 {}", scale_name(name), dtype_name(scale->dtype),
                     to_string(scale->shape), to_string(expected)),
         "blocks are 128 x 128");
  const std::vector<float> s = to_f32(*scale);
  for (int64_t r = 0; r < shape[0]; ++r)
    for (int64_t c = 0; c < shape[1]; ++c)
      (*values)[static_cast<size_t>(r * shape[1] + c)] *=
          s[static_cast<size_t>(r / kScaleBlock * columns + c / kScaleBlock)];
}
}  // namespace

std::vector<float> read_parameter(const CheckpointFiles& files, const ModelConfig& config,
                                  const std::string& name, const Shape& shape) {
  const Tensor* t = files.find(name);
  if (t == nullptr)
    fail("model", "tensor " + name + " is missing", "config.json and weights do not belong together");
  if (t->shape != shape)
    fail(files.file_of(name),
         fmt::format("{} has shape {}, config.json asks for {}", name, to_string(t->shape), to_string(shape)),
         "config.json and weights do not belong together");
  if (!is_float(t->dtype))
    fail(files.file_of(name), fmt::format("{} is {}, not a floating-point type", name, dtype_name(t->dtype)),
         "use a complete checkpoint");
  std::vector<float> values = to_f32(*t);
  if (t->dtype == Dtype::kF8E4M3) {
    if (!config.fp8 || shape.rank != 2)
      fail(files.file_of(name), name + " is F8_E4M3 but config.json has no fp8 quantization_config",
           "use the checkpoint's config.json");
    dequantise(files, name, shape, &values);
  }
  return values;
}

namespace {
void refuse_extra_tensors(const CheckpointFiles& files, const ParamTable& table,
                          const std::string& directory) {
  std::set<std::string> known;
  for (const Param& p : table.params) known.insert(p.name);
  for (const auto& [name, original] : table.copies) known.insert(name);
  for (const std::string& name : files.names()) {
    const std::string base = name.ends_with("_scale_inv") ? name.substr(0, name.size() - 10) : name;
    if (known.count(base) || name.ends_with(".rotary_emb.inv_freq"))
      continue;  // old files store the frequencies
    fail(files.file_of(name),
         "tensor " + name + " is not part of the model that " + directory + "/config.json describes",
         "config.json and weights do not belong together");
  }
}
// Before a table of all parameters is built: a config.json may ask for any number of them.
void refuse_more_experts_than_tensors(const CheckpointFiles& files, const ModelConfig& c,
                                      const std::string& directory) {
  int64_t moe_layers = 0;
  for (int64_t l = 0; l < c.num_hidden_layers + c.num_nextn_predict_layers; ++l)
    moe_layers += c.is_moe_layer(l);
  const int64_t wanted = 3 * c.n_routed_experts * moe_layers,
                held = static_cast<int64_t>(files.names().size());
  if (wanted > held)
    fail(directory + "/config.json",
         fmt::format("asks for {} expert tensors, the weight files hold {} tensors", wanted, held),
         "config.json and weights do not belong together");
}
}  // namespace

std::unique_ptr<Model> load_model(kernels::Ctx& ctx, const std::string& directory,
                                  const LoadOptions& options) {
  const ModelConfig config = load_config(directory);
  for (const std::string& field : config.unknown_fields)
    warn("{}/config.json: unknown field {} is ignored", directory, field);
  const CheckpointFiles files(directory);
  refuse_more_experts_than_tensors(files, config, directory);
  require_memory(Model::memory_bytes(config, options.operand, options.trainable) + options.cache_bytes,
                 "the model and its cache", "use a smaller model or a shorter context");
  auto model = std::make_unique<Model>(config, options.operand, options.trainable);
  refuse_extra_tensors(files, model->table, directory);
  std::vector<float> whole;  // a weight of several parameters, without masters
  for (const Param& p : model->table.params) {
    const std::vector<float> values = read_parameter(files, config, p.name, p.shape);
    Weight& w = *p.weight;
    if (w.data) {
      std::copy(values.begin(), values.end(), p.data());
    } else {
      if (p.row == 0) whole.clear();
      whole.insert(whole.end(), values.begin(), values.end());
    }
    const bool complete = p.row * w.in + p.elements() == w.elements();
    if (!complete) continue;
    const float* all = w.data ? w.data : whole.data();
    model->pack_weight(ctx, all, &w);
    if (options.absorbed && p.layer >= 0 && p.layer < config.num_hidden_layers) {
      AttentionWeights& a = model->weights.layers[static_cast<size_t>(p.layer)].attention;
      if (&w == &a.kv_b_proj) model->pack_absorbed_layer(ctx, all, &a);
    }
  }
  return model;
}

kernels::Operand stored_operand(const ModelConfig& config) {
  return config.torch_dtype == "float32" ? kernels::Operand::kF32 : kernels::Operand::kBF16;
}

namespace {
bool stored_in_operand_type(const Param& p) {
  return p.kind == ParamKind::kMatrix || p.kind == ParamKind::kEmbedding;
}
}  // namespace

void save_model(const Model& model, const std::string& directory) {
  FRUGAL_ASSERT(model.trainable, "save of a model without masters");
  const bool bf16 = model.operand == kernels::Operand::kBF16;
  std::vector<uint16_t> halves;
  if (bf16) {
    // One buffer for everything that is stored in bf16; offsets as in the masters.
    halves.resize(static_cast<size_t>(model.table.elements));
    for (const Param& p : model.table.params)
      if (stored_in_operand_type(p))
        for (int64_t i = 0; i < p.elements(); ++i)
          halves[static_cast<size_t>(p.offset() + i)] = bf16_from_f32(p.data()[i]);
  }
  std::vector<NamedTensor> tensors;
  const auto add = [&](const std::string& name, const Param& p) {
    const bool half = bf16 && stored_in_operand_type(p);
    void* data = half ? static_cast<void*>(halves.data() + p.offset()) : static_cast<void*>(p.data());
    tensors.push_back({name, {data, half ? Dtype::kBF16 : Dtype::kF32, p.shape}});
  };
  for (const Param& p : model.table.params) add(p.name, p);
  for (const auto& [name, original] : model.table.copies) add(name, *original);
  write_safetensors(directory + "/model.safetensors", tensors, {{"format", "pt"}});
  ModelConfig config = model.config;
  config.torch_dtype = bf16 ? "bfloat16" : "float32";
  write_file_atomic(directory + "/config.json", config_to_json(config));
  json generation = {{"_from_model_config", true}};
  if (config.bos_token_id >= 0) generation["bos_token_id"] = config.bos_token_id;
  if (config.eos_token_ids.size() == 1)
    generation["eos_token_id"] = config.eos_token_ids[0];
  else if (!config.eos_token_ids.empty())
    generation["eos_token_id"] = config.eos_token_ids;
  write_file_atomic(directory + "/generation_config.json", generation.dump(2) + "\n");
}

}  // namespace frugal::model
