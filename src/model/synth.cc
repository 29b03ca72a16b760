#include "model/synth.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include "base/disk.h"
#include "base/error.h"
#include "base/rng.h"
#include "base/safetensors_index.h"
#include "kernels/quant.h"
#include "model/manifest.h"

namespace frugal::model {

namespace {
constexpr int64_t kPieceBytes = 16 << 20;
constexpr int64_t kBlockBytes = 4096;  // filled by one thread from one stretch of random numbers

// 64 random bits, a bijection of the counter (splitmix64): philox would bind the disk.
uint64_t mix(uint64_t x) {
  x += 0x9e3779b97f4a7c15u;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
  return x ^ (x >> 31);
}
// Uniform in [-1, 1).
float uniform(uint64_t bits) {
  return static_cast<float>(static_cast<double>(static_cast<int64_t>(bits)) * 0x1p-63);
}

// What fills a tensor: a number type, or bytes of panels.
struct Filler {
  const StoredTensor& tensor;
  double std;  // of the values
  uint64_t key;
  int64_t bits;

  // Bytes [at, at + n) of the tensor; at is a multiple of kBlockBytes.
  void fill(int64_t at, int64_t n, std::byte* out) const {
    const ParamKind kind = tensor.param->kind;
    if (tensor.is_scale)
      numbers(at / 4, n / 4, out, [&](uint64_t r) { return scale(r, kE4m3Std); });
    else if (tensor.dtype == Dtype::kU8)
      bytes_of_panels(at, n, out);
    else if (tensor.dtype == Dtype::kF8E4M3)
      e4m3(at, n, out);
    else if (kind == ParamKind::kNorm || kind == ParamKind::kBias)
      constant(kind == ParamKind::kNorm ? 1.0f : 0.0f, n, out);
    else
      numbers(at / dtype_size(tensor.dtype), n / dtype_size(tensor.dtype), out,
              [&](uint64_t r) { return uniform(r) * static_cast<float>(std * std::sqrt(3.0)); });
  }

 private:
  // Of the bytes that these functions draw.
  static constexpr double kE4m3Std = 107.24, kInt8Std = 73.47, kInt4Std = 4.18;

  float scale(uint64_t r, double of) const {
    return static_cast<float>(std / of) * (1.0f + 0.25f * uniform(r));
  }
  void put(float x, int64_t i, std::byte* out) const {
    if (tensor.dtype == Dtype::kF32) {
      std::memcpy(out + 4 * i, &x, 4);
    } else {
      const uint16_t h = bf16_from_f32(x);
      std::memcpy(out + 2 * i, &h, 2);
    }
  }
  template <class F>
  void numbers(int64_t first, int64_t n, std::byte* out, F value) const {
    for (int64_t i = 0; i < n; ++i) put(value(mix(key + static_cast<uint64_t>(first + i))), i, out);
  }
  void constant(float x, int64_t n, std::byte* out) const {
    for (int64_t i = 0; i < n / dtype_size(tensor.dtype); ++i) put(x, i, out);
  }
  void e4m3(int64_t at, int64_t n, std::byte* out) const {
    random_bytes(at, n, out);
    for (int64_t i = 0; i < n; ++i)
      if ((out[i] & std::byte{0x7f}) == std::byte{0x7f}) out[i] &= std::byte{0xfe};
  }
  void random_bytes(int64_t at, int64_t n, std::byte* out) const {
    for (int64_t i = 0; i < n; i += 8) {
      const uint64_t r = mix(key + static_cast<uint64_t>(at + i) / 8);
      std::memcpy(out + i, &r, static_cast<size_t>(std::min<int64_t>(8, n - i)));
    }
  }
  // int8 is -127 .. 127 with 128 added, int4 -7 .. 7 with 8 added; scales stand before every group.
  void bytes_of_panels(int64_t at, int64_t n, std::byte* out) const {
    const bool int4 = bits == 4;
    const int64_t group =
        kernels::packed_b_bytes(kernels::kPanelCols, kernels::kQuantGroup, integer_operand(bits));
    constexpr int64_t kScales = kernels::kPanelCols * 4;
    random_bytes(at, n, out);
    for (int64_t i = 0; i < n; ++i) {
      if ((at + i) % group < kScales) continue;
      uint8_t b = static_cast<uint8_t>(out[i]);
      if (int4) {
        if ((b & 0x0f) == 0) b |= 8;
        if ((b & 0xf0) == 0) b |= 0x80;
      } else if (b == 0) {
        b = 128;
      }
      out[i] = std::byte{b};
    }
    for (int64_t i = 0; i < n; i += 4) {
      if ((at + i) % group >= kScales) continue;
      const float s = scale(mix(key ^ mix(static_cast<uint64_t>(at + i))), int4 ? kInt4Std : kInt8Std);
      std::memcpy(out + i, &s, 4);
    }
  }
};

// Indices [first, last) of tensors per shard; scales stay with their matrix, panels of one weight together.
std::vector<std::pair<size_t, size_t>> cut(const std::vector<StoredTensor>& tensors, int64_t shard_bytes) {
  std::vector<std::pair<size_t, size_t>> shards;
  int64_t filled = 0;
  for (size_t i = 0; i < tensors.size(); ++i) {
    const bool behind = tensors[i].is_scale || (tensors[i].dtype == Dtype::kU8 && tensors[i].param->row != 0);
    if (shards.empty() || (filled + tensors[i].bytes() > shard_bytes && !behind)) {
      shards.emplace_back(i, i);
      filled = 0;
    }
    shards.back().second = i + 1;
    filled += tensors[i].bytes();
  }
  return shards;
}

ModelConfig stored_config(ModelConfig c, StoredFormat format) {
  c.bits = bits_of(format);
  c.fp8 = format == StoredFormat::kFP8;
  c.ue8m0_scales = false;
  c.torch_dtype = format == StoredFormat::kF32 ? "float32" : "bfloat16";
  check_config(c, "config");
  return c;
}
}  // namespace

SynthReport synthesise_model(kernels::Ctx& ctx, const ModelConfig& shape, StoredFormat format, uint64_t seed,
                             const std::string& to, int64_t shard_bytes,
                             const std::function<void(int64_t, int64_t)>& progress) {
  const ModelConfig config = stored_config(shape, format);
  Weights weights;
  const ParamTable table = build_param_table(config, &weights);
  const std::vector<StoredTensor> tensors = stored_tensors(table, weights, format);
  const auto shards = cut(tensors, shard_bytes);
  SynthReport report{.tensors = static_cast<int64_t>(tensors.size()), .shards = shards.size()};
  for (const StoredTensor& t : tensors) report.bytes += t.bytes();
  WritingDirectory out(to);
  out.clear();
  constexpr int64_t kPerTensor = 512;
  require_disk(to, report.bytes + kPerTensor * report.tensors + (1 << 20), "the model");

  Manifest manifest;
  WeightMap weight_map;
  std::vector<std::byte> piece(static_cast<size_t>(kPieceBytes));
  int64_t done = 0;
  for (size_t s = 0; s < shards.size(); ++s) {
    const auto [first, last] = shards[s];
    std::vector<TensorEntry> entries;
    for (size_t i = first; i < last; ++i)
      entries.push_back({tensors[i].name, tensors[i].dtype, tensors[i].shape});
    SafetensorsWriter writer(out.path() + "/" + shard_name(s, shards.size()), entries, {{"format", "pt"}});
    for (size_t i = first; i < last; ++i) {
      const StoredTensor& t = tensors[i];
      const Filler filler{t, Model::init_std(config), rng_key(seed, t.name), config.bits};
      Checksum sum;
      for (int64_t at = 0; at < t.bytes(); at += kPieceBytes) {
        const int64_t n = std::min(kPieceBytes, t.bytes() - at);
        ctx.pool.parallel_for((n + kBlockBytes - 1) / kBlockBytes, [&](int64_t begin, int64_t end, int) {
          const int64_t from = begin * kBlockBytes, until = std::min(n, end * kBlockBytes);
          if (from < until) filler.fill(at + from, until - from, piece.data() + from);
        });
        sum.add(piece.data(), static_cast<size_t>(n));
        writer.write(piece.data(), n);
        done += n;
        if (progress) progress(done, report.bytes);
      }
      manifest.tensors[t.name] = sum.hex();
      weight_map[t.name] = shard_name(s, shards.size());
    }
    writer.close();
  }
  const auto write = [&](const std::string& name, const std::string& text) {
    write_file_atomic(out.path() + "/" + name, text);
    Checksum sum;
    sum.add(text.data(), text.size());
    manifest.files[name] = sum.hex();
  };
  if (shards.size() > 1)
    write("model.safetensors.index.json", safetensors_index_json(weight_map, report.bytes));
  write("config.json", config_to_json(config));
  write_file_atomic(out.path() + "/" + kManifestName, manifest_json(manifest));
  out.publish();
  return report;
}

}  // namespace frugal::model
