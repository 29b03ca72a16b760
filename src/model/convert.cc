#include "model/convert.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <nlohmann/json.hpp>
#include <optional>
#include <vector>

#include "base/disk.h"
#include "base/error.h"
#include "base/safetensors_index.h"
#include "kernels/compensated_rounding.h"
#include "kernels/gemm.h"
#include "kernels/quant.h"
#include "model/convert_progress.h"
#include "model/manifest.h"

namespace frugal::model {

namespace {
using Json = nlohmann::ordered_json;
constexpr int64_t kPieceElements = 4 << 20;  // 16 MiB as f32
const std::map<std::string, std::string> kMetadata = {{"format", "pt"}};

// A tensor of the source and what becomes of it.
struct Job {
  const Tensor* source = nullptr;
  const Tensor* scale = nullptr;  // of an e4m3 source
  TensorEntry target;
  bool is_scale = false;  // written from what the matrix before it left behind
  int64_t bits = 0;       // int8 or int4 panels
  std::string name = "";  // of their parameter
  const std::vector<float>* moments = nullptr;  // of their inputs (calibration.h)
  bool behind = false;    // panels of the weight before it: they must lie one behind the other
};

bool loses_nothing(const Param& p) {
  return p.kind == ParamKind::kNorm || p.kind == ParamKind::kGate || p.kind == ParamKind::kBias;
}

Dtype target_dtype(const StoredTensor& planned, const Tensor& source, const ModelConfig& config,
                   StoredFormat format) {
  if (format == StoredFormat::kF32 || planned.param->kind == ParamKind::kBias) return Dtype::kF32;
  if (loses_nothing(*planned.param)) return source.dtype == Dtype::kBF16 ? Dtype::kBF16 : Dtype::kF32;
  if (format == StoredFormat::kFP8 && config.fp8 &&
      (source.dtype == Dtype::kBF16 || source.dtype == Dtype::kF8E4M3))
    return source.dtype;  // the source has decided
  return planned.dtype;
}

std::vector<Job> plan(const CheckpointFiles& files, const ModelConfig& config, const ParamTable& table,
                      const Weights& weights, StoredFormat format) {
  std::vector<Job> jobs;
  for (const StoredTensor& t : stored_tensors(table, weights, format)) {
    if (t.is_scale) continue;  // follows from the type that its matrix gets
    if (t.dtype == Dtype::kU8) {
      jobs.push_back(
          {files.find(t.param->name), files.find(scale_name(t.param->name)), {t.name, t.dtype, t.shape}});
      jobs.back().bits = bits_of(format);
      jobs.back().name = t.param->name;
      jobs.back().behind = t.param->row != 0;
      continue;
    }
    const Tensor* source = files.find(t.name);
    if (source == nullptr) continue;  // a copy that may be absent
    Job job{
        source, files.find(scale_name(t.name)), {t.name, target_dtype(t, *source, config, format), t.shape}};
    jobs.push_back(job);
    if (job.target.dtype != Dtype::kF8E4M3) continue;
    job.target = {scale_name(t.name),
                  Dtype::kF32,
                  {kernels::quant_blocks(t.shape[0]), kernels::quant_blocks(t.shape[1])}};
    job.is_scale = true;
    jobs.push_back(job);
  }
  return jobs;
}

// Ranges [first, last) of jobs that make up the shards; a matrix and its scales, and panels of one weight,
// stay together.
std::vector<std::pair<size_t, size_t>> cut_into_shards(const std::vector<Job>& jobs, int64_t shard_bytes) {
  std::vector<std::pair<size_t, size_t>> shards;
  int64_t filled = 0;
  for (size_t i = 0; i < jobs.size();) {
    size_t next = i + 1;
    while (next < jobs.size() && (jobs[next].is_scale || jobs[next].behind)) ++next;
    int64_t bytes = 0;
    for (size_t k = i; k < next; ++k) bytes += jobs[k].target.bytes();
    if (shards.empty() || filled + bytes > shard_bytes) {
      shards.emplace_back(i, i);
      filled = 0;
    }
    shards.back().second = next;
    filled += bytes;
    i = next;
  }
  return shards;
}

// Rows of a matrix (a vector has one column) that are converted together. Whole blocks of scales.
struct Rows {
  int64_t begin, end, columns;
  int64_t elements() const { return (end - begin) * columns; }
};

class Converter {
 public:
  Converter(kernels::Ctx& ctx, int64_t total, const std::function<void(const ConvertProgress&)>& progress)
      : ctx_(ctx), total_(total), progress_(progress) {}

  // Writes one target tensor and returns its checksum.
  std::string write(const Job& job, SafetensorsWriter* out) {
    Checksum sum;
    if (job.is_scale && job.source->dtype != Dtype::kF8E4M3) {
      emit(scales_.data(), job.target.bytes(), &sum, out);
    } else if (job.is_scale) {
      emit(job.scale->data, job.target.bytes(), &sum, out);
    } else {
      const Shape& shape = job.source->shape;
      const int64_t columns = shape.rank == 2 ? shape[1] : 1;
      const int64_t rows = shape.elements() / std::max<int64_t>(columns, 1);
      const int64_t blocks = std::max<int64_t>(1, kPieceElements / (columns * kernels::kQuantBlock));
      const int64_t step = blocks * kernels::kQuantBlock;
      if (job.target.dtype == Dtype::kF8E4M3) scales_.clear();
      for (int64_t row = 0; row < rows; row += step)
        piece(job, {row, std::min(row + step, rows), columns}, &sum, out);
    }
    return sum.hex();
  }

  // Of a tensor that lies there already.
  void skip(int64_t bytes) { done_ += bytes; }

 private:
  void emit(const void* data, int64_t bytes, Checksum* sum, SafetensorsWriter* out) {
    sum->add(data, static_cast<size_t>(bytes));
    out->write(data, bytes);
    done_ += bytes;
    if (progress_) progress_({"converting", done_, total_});
  }

  void piece(const Job& job, const Rows& rows, Checksum* sum, SafetensorsWriter* out) {
    const int64_t width = dtype_size(job.source->dtype), bytes = rows.elements() * width;
    const std::byte* raw =
        static_cast<const std::byte*>(job.source->data) + rows.begin * rows.columns * width;
    if (job.bits > 0) {
      widen(job, rows, raw);
      pack(job, rows);
      emit(bytes_.data(), static_cast<int64_t>(bytes_.size()), sum, out);
    } else if (job.source->dtype == job.target.dtype) {
      emit(raw, bytes, sum, out);
    } else {
      widen(job, rows, raw);
      narrow(job, rows);
      emit(encoded(job.target.dtype), rows.elements() * dtype_size(job.target.dtype), sum, out);
    }
    forget_mapped(raw, static_cast<size_t>(bytes));
  }

  // values_ = the source's numbers.
  void widen(const Job& job, const Rows& rows, const std::byte* raw) {
    values_.resize(static_cast<size_t>(rows.elements()));
    if (job.source->dtype == Dtype::kF8E4M3) {
      const std::vector<float> s = to_f32(*job.scale);
      const int64_t first = rows.begin / kernels::kQuantBlock * kernels::quant_blocks(rows.columns);
      kernels::dequantise_weights(ctx_, reinterpret_cast<const uint8_t*>(raw), s.data() + first,
                                  rows.end - rows.begin, rows.columns, values_.data());
      return;
    }
    const int64_t width = dtype_size(job.source->dtype);
    ctx_.pool.parallel_for(rows.elements(), [&](int64_t begin, int64_t end, int) {
      to_f32({const_cast<std::byte*>(raw) + begin * width, job.source->dtype, {end - begin}},
             values_.data() + begin);
    });
  }

  // bytes_ = values_ as int8 or int4 panels.
  void pack(const Job& job, const Rows& rows) {
    if (!std::all_of(values_.begin(), values_.end(), [](float x) { return std::isfinite(x); }))
      fail(job.target.name, "holds a value that is not finite, which integers cannot store",
           "use an undamaged model");
    const int64_t count = rows.end - rows.begin;
    const kernels::Operand operand = integer_operand(job.bits);
    bytes_.resize(static_cast<size_t>(kernels::packed_b_bytes(count, rows.columns, operand)));
    if (job.moments != nullptr) return pack_compensated(job, rows, operand);
    kernels::Matrix matrix{operand, count, rows.columns, bytes_.data()};
    kernels::pack_matrix(ctx_, values_.data(), &matrix, 0);
  }

  void pack_compensated(const Job& job, const Rows& rows, kernels::Operand operand) {
    constexpr int64_t kGroup = kernels::kQuantGroup, kPanel = kernels::kPanelCols;
    const int64_t k = rows.columns, groups = (k + kGroup - 1) / kGroup, count = rows.end - rows.begin;
    if (prepared_ != job.moments) {
      groups_.resize(static_cast<size_t>(groups));
      ctx_.pool.parallel_for(groups, [&](int64_t begin, int64_t end, int) {
        for (int64_t g = begin; g < end; ++g)
          groups_[static_cast<size_t>(g)] =
              kernels::group_moments(job.moments->data() + g * kGroup * kGroup, std::min(kGroup, k - g * kGroup));
      });
      prepared_ = job.moments;
    }
    const float limit = job.bits == 4 ? 7.0f : 127.0f;
    const int64_t panel_bytes = kernels::packed_b_bytes(1, k, operand);
    ctx_.pool.parallel_for((count + kPanel - 1) / kPanel, [&](int64_t begin, int64_t end, int) {
      for (int64_t p = begin; p < end; ++p)
        kernels::pack_integers(std::min(kPanel, count - p * kPanel), k, operand, bytes_.data() + p * panel_bytes,
                               [&](int64_t row, int8_t* q, float* scale) {
                                 round_row(values_.data() + (p * kPanel + row) * k, k, limit, q, scale);
                               });
    });
  }

  void round_row(const float* w, int64_t k, float limit, int8_t* q, float* scale) const {
    for (size_t g = 0; g < groups_.size(); ++g, w += kernels::kQuantGroup, q += kernels::kQuantGroup) {
      std::fill_n(q, kernels::kQuantGroup, int8_t{0});
      int32_t sum;
      if (groups_[g].n > 0)
        scale[g] = kernels::round_compensated(groups_[g], w, limit, q);
      else  // inputs that were always zero
        ctx_.level.quantise_groups(w, std::min<int64_t>(kernels::kQuantGroup, k - static_cast<int64_t>(g) * kernels::kQuantGroup),
                                   limit, q, scale + g, &sum);
    }
  }

  // halves_ or bytes_ (and scales_) = values_ in the target's type; f32 needs nothing.
  void narrow(const Job& job, const Rows& rows) {
    if (job.target.dtype == Dtype::kBF16) {
      halves_.resize(values_.size());
      ctx_.pool.parallel_for(rows.elements(), [&](int64_t begin, int64_t end, int) {
        for (int64_t i = begin; i < end; ++i)
          halves_[static_cast<size_t>(i)] = bf16_from_f32(values_[static_cast<size_t>(i)]);
      });
    } else if (job.target.dtype == Dtype::kF8E4M3) {
      quantise(job, rows);
    }
  }

  void quantise(const Job& job, const Rows& rows) {
    bytes_.resize(values_.size());
    const size_t first = scales_.size();
    const int64_t count = rows.end - rows.begin;
    scales_.resize(first +
                   static_cast<size_t>(kernels::quant_blocks(count) * kernels::quant_blocks(rows.columns)));
    kernels::quantise_weights(ctx_, values_.data(), count, rows.columns, bytes_.data(),
                              scales_.data() + first);
    for (size_t i = first; i < scales_.size(); ++i)
      if (!std::isfinite(scales_[i]))
        fail(job.target.name, "holds a value that is not finite, which fp8 cannot store",
             "convert to bf16 or f32");
  }

  const void* encoded(Dtype dtype) const {
    if (dtype == Dtype::kBF16) return halves_.data();
    if (dtype == Dtype::kF8E4M3) return bytes_.data();
    return values_.data();
  }

  kernels::Ctx& ctx_;
  int64_t done_ = 0, total_;
  const std::function<void(const ConvertProgress&)>& progress_;
  std::vector<float> values_, scales_;
  std::vector<uint16_t> halves_;
  std::vector<uint8_t> bytes_;
  std::vector<kernels::GroupMoments> groups_;  // of the moments
  const std::vector<float>* prepared_ = nullptr;
};

// The source's config.json with the two fields that tell how weights are stored; every other field stays.
std::string converted_config(const std::string& text, const ModelConfig& source, StoredFormat format) {
  Json j = Json::parse(text);  // load_config has checked it
  const char* dtype_key = j.contains("dtype") && !j.contains("torch_dtype") ? "dtype" : "torch_dtype";
  j[dtype_key] = format == StoredFormat::kF32 ? "float32" : "bfloat16";
  if (j.contains("dtype")) j["dtype"] = j[dtype_key];
  if (format != StoredFormat::kFP8) j.erase("quantization_config");
  if (bits_of(format) > 0 || (format == StoredFormat::kFP8 && !source.fp8))
    j["quantization_config"] = Json::parse(quantization_config_json(bits_of(format)));
  return j.dump(2) + "\n";
}

bool holds_weights(const std::string& name) {
  static constexpr std::array endings = {".safetensors", ".safetensors.index.json",
                                         ".bin",         ".bin.index.json",
                                         ".pt",          ".pth",
                                         ".gguf",        ".onnx",
                                         ".msgpack",     ".h5"};
  return std::any_of(endings.begin(), endings.end(), [&](const char* e) { return name.ends_with(e); });
}

// Tokenizer, generation_config.json, model card, licence, code: all that is neither weights nor written anew.
std::vector<std::string> files_to_carry(const std::string& directory) {
  std::vector<std::string> names;
  for (const std::string& name : list_directory(directory))
    if (file_exists(directory + "/" + name) && !holds_weights(name) && name != "config.json" &&
        name != kManifestName)
      names.push_back(name);
  return names;
}

void write_checked(const std::string& directory, const std::string& name, std::string_view data,
                   Manifest* manifest) {
  FileWriter out(directory + "/" + name);
  out.write(data);
  out.close();
  Checksum sum;
  sum.add(data.data(), data.size());
  manifest->files[name] = sum.hex();
}

// Largest sum of tensor bytes, headers and carried files that will be written behind the shards that were
// found.
int64_t disk_bytes(const std::vector<Job>& jobs, const std::vector<std::pair<size_t, size_t>>& shards,
                   size_t found, const std::string& from, const std::vector<std::string>& carried) {
  constexpr int64_t kPerTensor = 512;  // its rows in a header, the index and the manifest
  int64_t n = 1 << 20;
  for (size_t i = found == 0 ? 0 : shards[found - 1].second; i < jobs.size(); ++i)
    n += jobs[i].target.bytes() + kPerTensor;
  for (const std::string& name : carried)
    n += static_cast<int64_t>(MappedFile(from + "/" + name).bytes().size());
  return n;
}
}  // namespace

namespace {
// How many shards of the state are still there with all their bytes.
size_t finished_shards(const std::string& directory, const ConvertState& state, const std::vector<Job>& jobs,
                       const std::vector<std::pair<size_t, size_t>>& shards) {
  for (size_t s = 0; s < std::min(state.shards.size(), shards.size()); ++s) {
    const std::string file = directory + "/" + shard_name(s, shards.size());
    std::vector<TensorEntry> entries;
    for (size_t i = shards[s].first; i < shards[s].second; ++i) entries.push_back(jobs[i].target);
    if (!file_exists(file) ||
        static_cast<int64_t>(MappedFile(file).bytes().size()) != safetensors_bytes(entries, kMetadata))
      return s;
  }
  return std::min(state.shards.size(), shards.size());
}
}  // namespace

ConvertReport convert_model(kernels::Ctx& ctx, const std::string& from, const std::string& to,
                            const ConvertOptions& options,
                            const std::function<void(const ConvertProgress&)>& progress) {
  const ModelConfig config = load_config(from);
  if (config.bits > 0)
    fail(from, fmt::format("holds int{} weights already", config.bits),
         "give the model that it was made from");
  ModelConfig target = config;
  target.bits = bits_of(options.format);
  check_config(target, from + "/config.json");
  const CheckpointFiles files(from);
  refuse_more_experts_than_tensors(files, config, from);
  Weights weights;
  const ParamTable table = build_param_table(config, &weights);
  if (const auto problems = tensor_problems(files, config, table, from); !problems.empty())
    fail(problems[0].where, problems[0].what, problems[0].remedy);

  std::vector<Job> jobs = plan(files, config, table, weights, options.format);
  const auto shards = cut_into_shards(jobs, options.shard_bytes);
  ConvertReport report{.shards = shards.size(), .carried = files_to_carry(from)};
  for (const Job& j : jobs) report.bytes += j.target.bytes();
  WritingDirectory out(to);
  ConvertState state = read_convert_state(
      out.path(),
      conversion_job(from, files,
                     fmt::format("{} {} {}", static_cast<int>(options.format), options.shard_bytes, options.calibrated)));
  report.found = finished_shards(out.path(), state, jobs, shards);
  state.shards.resize(report.found);
  if (report.found == 0) out.clear();
  // What follows is written anew.
  for (size_t s = report.found; s < shards.size(); ++s)
    remove_all(out.path() + "/" + shard_name(s, shards.size()));
  if (report.found > 0) out.keep_unfinished();
  require_disk(to, disk_bytes(jobs, shards, report.found, from, report.carried), "the converted model");

  std::optional<Calibration> calibration;
  if (options.calibrate) calibration.emplace(options.calibrate());
  for (Job& j : jobs) {
    if (calibration && j.bits > 0) j.moments = calibration->moments(j.name);
    report.matrices += j.bits > 0;
    report.compensated += j.moments != nullptr;
  }

  Converter converter(ctx, report.bytes, progress);
  Manifest manifest;
  WeightMap weight_map;
  for (size_t s = 0; s < shards.size(); ++s) {
    const auto [first, last] = shards[s];
    std::vector<TensorEntry> entries;
    for (size_t i = first; i < last; ++i) {
      entries.push_back(jobs[i].target);
      weight_map[jobs[i].target.name] = shard_name(s, shards.size());
    }
    if (s < report.found) {
      for (const auto& [name, sum] : state.shards[s]) manifest.tensors[name] = sum;
      for (const TensorEntry& e : entries) converter.skip(e.bytes());
      continue;
    }
    state.shards.emplace_back();
    SafetensorsWriter writer(out.path() + "/" + shard_name(s, shards.size()), entries, kMetadata);
    for (size_t i = first; i < last; ++i) {
      const std::string sum = converter.write(jobs[i], &writer);
      manifest.tensors[jobs[i].target.name] = state.shards[s][jobs[i].target.name] = sum;
    }
    writer.close();
    write_convert_state(out.path(), state);
    out.keep_unfinished();
  }
  report.tensors = static_cast<int64_t>(jobs.size());
  if (shards.size() > 1)
    write_checked(out.path(), "model.safetensors.index.json",
                  safetensors_index_json(weight_map, report.bytes), &manifest);
  write_checked(out.path(), "config.json",
                converted_config(read_file(from + "/config.json"), config, options.format), &manifest);
  for (const std::string& name : report.carried)
    write_checked(out.path(), name, MappedFile(from + "/" + name).text(), &manifest);
  write_file_atomic(out.path() + "/" + kManifestName, manifest_json(manifest));
  if (options.verify) {
    try {
      verify_manifest(out.path(), [&](int64_t done) {
        if (progress) progress({"verifying", done, report.bytes});
      });
    } catch (...) {
      remove_convert_state(out.path());  // nothing there is to be gone on with
      throw;
    }
  }
  remove_convert_state(out.path());
  out.publish();
  return report;
}

}  // namespace frugal::model
