#include "model/model_files.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>

#include "base/disk.h"
#include "base/error.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/safetensors_index.h"
#include "kernels/ctx.h"
#include "kernels/quant.h"
#include "model/mla.h"

namespace frugal::model {

using nlohmann::json;

namespace {
std::string index_path(const std::string& directory) { return directory + "/model.safetensors.index.json"; }
std::string single_path(const std::string& directory) { return directory + "/model.safetensors"; }
}  // namespace

bool CheckpointFiles::exist(const std::string& directory) {
  return file_exists(index_path(directory)) || file_exists(single_path(directory));
}

CheckpointFiles::CheckpointFiles(const std::string& directory) {
  const std::string index = index_path(directory);
  WeightMap weight_map;
  std::set<std::string> shards;
  if (file_exists(index)) {
    weight_map = parse_safetensors_index(read_file(index), index);
    for (const auto& [name, shard] : weight_map) shards.insert(shard);
  } else if (file_exists(single_path(directory))) {
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
        if (it == weight_map.end()) unlisted_[name] = files_.back()->path();
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
const char* const kScaleSuffix = "_scale_inv";
const char* const kPackedSuffix = "_packed";
const char* const kNotTogether = "config.json and weights do not belong together";

Shape scale_shape(const Shape& shape) {
  return {kernels::quant_blocks(shape[0]), kernels::quant_blocks(shape[1])};
}

std::optional<TensorProblem> problem_of_scale(const CheckpointFiles& files, const ModelConfig& config,
                                              const std::string& name, const Shape& shape) {
  const std::string& file = files.file_of(name);
  if (!config.fp8 || shape.rank != 2)
    return TensorProblem{file, name + " is F8_E4M3 but config.json has no fp8 quantization_config",
                         "use the checkpoint's config.json"};
  const Tensor* scale = files.find(scale_name(name));
  if (scale == nullptr)
    return TensorProblem{file, "F8_E4M3 tensor " + name + " has no " + scale_name(name),
                         "use a complete checkpoint"};
  const Shape expected = scale_shape(shape);
  if (scale->shape != expected || scale->dtype != Dtype::kF32)
    return TensorProblem{file,
                         fmt::format("{} is {} {}, expected F32 {}", scale_name(name),
                                     dtype_name(scale->dtype), to_string(scale->shape), to_string(expected)),
                         "blocks are 128 x 128"};
  return {};
}

std::optional<TensorProblem> problem_of_absence(const CheckpointFiles& files, const std::string& name) {
  if (files.find(name) == nullptr) {
    const auto unlisted = files.unlisted().find(name);
    if (unlisted != files.unlisted().end())
      return TensorProblem{unlisted->second, "holds tensor " + name + ", which the index does not list",
                           "fetch or write model.safetensors.index.json again"};
    return TensorProblem{"model", "tensor " + name + " is missing", kNotTogether};
  }
  return {};
}

std::optional<TensorProblem> problem_of_packed(const CheckpointFiles& files, const Param& p, int64_t bits) {
  const std::string name = packed_name(p.name);
  if (auto absent = problem_of_absence(files, name)) return absent;
  const Tensor& t = *files.find(name);
  const Shape expected = packed_shape(p, bits);
  if (t.shape == expected && t.dtype == Dtype::kU8) {
    if (reinterpret_cast<uintptr_t>(t.data) % alignof(float) == 0) return {};
    return TensorProblem{files.file_of(name), name + " does not begin at a multiple of 4 bytes",
                         "write the directory again with `frugal quantize`"};
  }
  return TensorProblem{files.file_of(name),
                       fmt::format("{} is {} {}, expected U8 {}", name, dtype_name(t.dtype),
                                   to_string(t.shape), to_string(expected)),
                       kNotTogether};
}

std::optional<TensorProblem> problem_of(const CheckpointFiles& files, const ModelConfig& config,
                                        const std::string& name, const Shape& shape) {
  if (auto absent = problem_of_absence(files, name)) return absent;
  const Tensor* t = files.find(name);
  const std::string& file = files.file_of(name);
  if (t->shape != shape)
    return TensorProblem{
        file,
        fmt::format("{} has shape {}, config.json asks for {}", name, to_string(t->shape), to_string(shape)),
        kNotTogether};
  if (!is_float(t->dtype))
    return TensorProblem{file, fmt::format("{} is {}, not a floating-point type", name, dtype_name(t->dtype)),
                         "use a complete checkpoint"};
  if (t->dtype == Dtype::kF8E4M3) return problem_of_scale(files, config, name, shape);
  return {};
}

void dequantise(const Tensor& scale, const Shape& shape, std::vector<float>* values) {
  const int64_t columns = kernels::quant_blocks(shape[1]);
  const std::vector<float> s = to_f32(scale);
  for (int64_t r = 0; r < shape[0]; ++r)
    for (int64_t c = 0; c < shape[1]; ++c)
      (*values)[static_cast<size_t>(r * shape[1] + c)] *=
          s[static_cast<size_t>(r / kernels::kQuantBlock * columns + c / kernels::kQuantBlock)];
}
}  // namespace

std::string packed_name(const std::string& name) { return name + kPackedSuffix; }
std::string unpacked_name(const std::string& name) {
  const size_t suffix = std::string_view(kPackedSuffix).size();
  return name.ends_with(kPackedSuffix) ? name.substr(0, name.size() - suffix) : "";
}
Shape packed_shape(const Param& p, int64_t bits) {
  const int64_t panels = (p.shape[0] + kernels::kPanelCols - 1) / kernels::kPanelCols;
  return {panels, kernels::packed_b_bytes(kernels::kPanelCols, p.shape[1], integer_operand(bits))};
}

std::string scale_name(const std::string& name) { return name + kScaleSuffix; }
std::string scaled_name(const std::string& name) {
  const size_t suffix = std::string_view(kScaleSuffix).size();
  return name.ends_with(kScaleSuffix) ? name.substr(0, name.size() - suffix) : "";
}

std::vector<float> read_parameter(const CheckpointFiles& files, const ModelConfig& config,
                                  const std::string& name, const Shape& shape) {
  if (const auto problem = problem_of(files, config, name, shape))
    fail(problem->where, problem->what, problem->remedy);
  const Tensor& t = *files.find(name);
  std::vector<float> values = to_f32(t);
  if (t.dtype == Dtype::kF8E4M3) dequantise(*files.find(scale_name(name)), shape, &values);
  return values;
}

namespace {
// The same into out; by all threads, but for e4m3.
void read_values(kernels::Ctx& ctx, const CheckpointFiles& files, const ModelConfig& config, const Param& p, float* out) {
  if (const auto problem = problem_of(files, config, p.name, p.shape)) fail(problem->where, problem->what, problem->remedy);
  const Tensor& t = *files.find(p.name);
  if (t.dtype == Dtype::kF8E4M3) {
    const std::vector<float> values = read_parameter(files, config, p.name, p.shape);
    std::copy(values.begin(), values.end(), out);
    return;
  }
  const int64_t width = dtype_size(t.dtype);
  ctx.pool.parallel_for(p.elements(), [&](int64_t begin, int64_t end, int) {
    to_f32({static_cast<std::byte*>(const_cast<void*>(t.data)) + begin * width, t.dtype, {end - begin}}, out + begin);
  });
}
}  // namespace

std::vector<TensorProblem> tensor_problems(const CheckpointFiles& files, const ModelConfig& config,
                                           const ParamTable& table, const std::string& directory) {
  std::vector<TensorProblem> problems;
  std::set<std::string> known;
  for (const Param& p : table.params) known.insert(p.name);
  for (const auto& [name, original] : table.copies) known.insert(name);
  for (const std::string& name : files.names()) {
    const std::string scaled = scaled_name(name), unpacked = unpacked_name(name);
    if (known.count(!scaled.empty()                        ? scaled
                    : config.bits > 0 && !unpacked.empty() ? unpacked
                                                           : name) ||
        name.ends_with(".rotary_emb.inv_freq"))
      continue;  // old files store the frequencies
    problems.push_back(
        {files.file_of(name),
         "tensor " + name + " is not part of the model that " + directory + "/config.json describes",
         kNotTogether});
  }
  for (const Param& p : table.params) {
    auto problem = config.bits > 0 && p.in_integers ? problem_of_packed(files, p, config.bits)
                                                    : problem_of(files, config, p.name, p.shape);
    if (problem) problems.push_back(std::move(*problem));
  }
  for (const auto& [name, original] : table.copies) {
    if (files.find(name) == nullptr) continue;  // they may be absent
    if (auto problem = problem_of(files, config, name, original->shape))
      problems.push_back(std::move(*problem));
  }
  return problems;
}

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
         kNotTogether);
}

namespace {
// Rounded to bf16, a row at a time where it can be.
void read_halves(kernels::Ctx& ctx, const CheckpointFiles& files, const ModelConfig& config, const Param& p) {
  const Tensor& t = *files.find(p.name);
  if (t.dtype == Dtype::kF8E4M3) {
    const std::vector<float> values = read_parameter(files, config, p.name, p.shape);
    return ctx.level.narrow_bf16(values.data(), p.elements(), p.weight->half);
  }
  const int64_t columns = p.shape[1];
  ctx.pool.parallel_for(p.shape[0], [&](int64_t begin, int64_t end, int) {
    std::vector<float> row(static_cast<size_t>(columns));
    for (int64_t r = begin; r < end; ++r) {
      to_f32({static_cast<std::byte*>(t.data) + r * columns * dtype_size(t.dtype), t.dtype, {columns}},
             row.data());
      ctx.level.narrow_bf16(row.data(), columns, p.weight->half + r * columns);
    }
  });
}

// Panels are read where they lie in the mapped file; those of one weight must lie one behind the other.
void map_panels(const CheckpointFiles& files, const Param& p) {
  const Tensor& t = *files.find(packed_name(p.name));
  kernels::Matrix& m = p.weight->matrix;
  const std::byte* end =
      static_cast<const std::byte*>(m.panels) + kernels::packed_b_bytes(p.row, m.in, m.operand);
  if (p.row == 0)
    m.panels = t.data;
  else if (end != t.data)
    fail(files.file_of(packed_name(p.name)), packed_name(p.name) + " does not lie behind its neighbour",
         "write the directory again with `frugal quantize`");
}
}  // namespace

namespace {
// Whether all parameters of a weight, which follow `first` in the table, are stored in e4m3 and begin where
// panels do.
bool whole_in_fp8(const CheckpointFiles& files, const ParamTable& table, const Param& first) {
  for (const Param* p = &first; p != table.params.data() + table.params.size() && p->weight == first.weight;
       ++p)
    if (files.find(p->name)->dtype != Dtype::kF8E4M3 || p->row % kernels::kPanelCols != 0) return false;
  return true;
}

// The bytes as they are stored, in panels.
void pack_stored_fp8(kernels::Ctx& ctx, const CheckpointFiles& files, const Param& p) {
  const Tensor &t = *files.find(p.name), &s = *files.find(scale_name(p.name));
  const std::vector<float> scale = to_f32(s);
  const int64_t rows = p.shape[0], k = p.shape[1];
  std::byte* panels = static_cast<std::byte*>(p.weight->matrix.panels) +
                      kernels::packed_b_bytes(p.row, k, kernels::Operand::kFP8);
  ctx.pool.parallel_for(
      (rows + kernels::kPanelCols - 1) / kernels::kPanelCols, [&](int64_t begin, int64_t end, int) {
        kernels::pack_fp8(static_cast<const uint8_t*>(t.data), scale.data(), rows, k, begin, end, panels);
      });
  forget_mapped(t.data, static_cast<size_t>(t.bytes()));
}
}  // namespace

std::unique_ptr<Model> load_model(kernels::Ctx& ctx, const std::string& directory,
                                  const LoadOptions& options) {
  const ModelConfig config = load_config(directory);
  for (const std::string& field : config.unknown_fields)
    warn("{}/config.json: unknown field {} is ignored", directory, field);
  const auto held = std::make_shared<CheckpointFiles>(directory);
  const CheckpointFiles& files = *held;
  refuse_more_experts_than_tensors(files, config, directory);
  if (config.bits > 0 && (options.trainable || options.operand != kernels::Operand::kBF16))
    fail(directory, fmt::format("holds int{} weights", config.bits),
         "they serve, with bf16 for the rest; train or verify the model that they were made from");
  require_memory(Model::memory_bytes(config, options.operand, options.trainable) + options.cache_bytes +
                     (options.absorbed ? absorbed_bytes(config, options.operand) : 0),
                 "the model and its cache", "use a smaller model or a shorter context");
  auto model = std::make_unique<Model>(config, options.operand, options.trainable);
  const std::vector<TensorProblem> problems = tensor_problems(files, config, model->table, directory);
  if (!problems.empty()) fail(problems[0].where, problems[0].what, problems[0].remedy);
  std::vector<float> buffer;  // a weight without masters, as large as the largest
  for (const Param& p : model->table.params) {
    if (config.bits > 0 && p.in_integers) {
      map_panels(files, p);
      continue;
    }
    Weight& w = *p.weight;
    if (w.matrix.out > 0 && w.matrix.panels == nullptr)
      model->take_panels(&w, whole_in_fp8(files, model->table, p) ? kernels::Operand::kFP8 : options.operand);
    const bool absorb = options.absorbed && p.layer >= 0 && p.layer < config.num_hidden_layers &&
                        &w == &model->weights.layers[static_cast<size_t>(p.layer)].attention.kv_b_proj;
    if (w.matrix.operand == kernels::Operand::kFP8) {
      pack_stored_fp8(ctx, files, p);
      if (!absorb) continue;
    }
    if (w.half) read_halves(ctx, files, config, p);
    if (w.half && !model->needs_panels(w)) continue;
    if (!w.data && buffer.size() < static_cast<size_t>(w.elements())) buffer.resize(static_cast<size_t>(w.elements()));
    read_values(ctx, files, config, p, w.data ? p.data() : buffer.data() + p.row * w.in);
    const bool complete = p.row * w.in + p.elements() == w.elements();
    if (!complete) continue;
    const float* all = w.data ? w.data : buffer.data();
    if (w.matrix.operand != kernels::Operand::kFP8) model->pack_weight(ctx, all, &w);
    if (absorb)
      model->pack_absorbed_layer(ctx, all, &model->weights.layers[static_cast<size_t>(p.layer)].attention);
  }
  if (config.bits > 0) {
    for (const auto& shard : files.shards()) options.map_files ? shard->populate() : shard->copy_to_memory(ctx.pool);
    model->files = held;
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

std::vector<SavedTensor> saved_tensors(const ParamTable& table, kernels::Operand operand) {
  const bool bf16 = operand == kernels::Operand::kBF16;
  std::vector<SavedTensor> tensors;
  const auto add = [&](const std::string& name, const Param& p) {
    tensors.push_back({{name, bf16 && stored_in_operand_type(p) ? Dtype::kBF16 : Dtype::kF32, p.shape}, &p});
  };
  for (const Param& p : table.params) add(p.name, p);
  for (const auto& [name, original] : table.copies) add(name, *original);
  return tensors;
}

const void* saved_values(const SavedTensor& tensor, const float* masters, std::vector<uint16_t>* buffer) {
  const float* values = masters + tensor.param->offset();
  if (tensor.entry.dtype == Dtype::kF32) return values;
  buffer->resize(static_cast<size_t>(tensor.param->elements()));
  kernels::default_level().narrow_bf16(values, tensor.param->elements(), buffer->data());
  return buffer->data();
}

void save_model_config(const Model& model, const std::string& directory) {
  ModelConfig config = model.config;
  config.torch_dtype = model.operand == kernels::Operand::kBF16 ? "bfloat16" : "float32";
  write_file_atomic(directory + "/config.json", config_to_json(config));
  json generation = {{"_from_model_config", true}};
  if (config.bos_token_id >= 0) generation["bos_token_id"] = config.bos_token_id;
  if (config.eos_token_ids.size() == 1)
    generation["eos_token_id"] = config.eos_token_ids[0];
  else if (!config.eos_token_ids.empty())
    generation["eos_token_id"] = config.eos_token_ids;
  write_file_atomic(directory + "/generation_config.json", generation.dump(2) + "\n");
}

void save_model(const Model& model, const std::string& directory) {
  FRUGAL_ASSERT(model.trainable, "save of a model without masters");
  const std::vector<SavedTensor> tensors = saved_tensors(model.table, model.operand);
  std::vector<TensorEntry> entries;
  for (const SavedTensor& t : tensors) entries.push_back(t.entry);
  SafetensorsWriter out(directory + "/model.safetensors", entries, {{"format", "pt"}});
  std::vector<uint16_t> buffer;
  for (const SavedTensor& t : tensors) out.write(saved_values(t, model.masters(), &buffer), t.entry.bytes());
  out.close();
  save_model_config(model, directory);
}

}  // namespace frugal::model
