#include "base/safetensors.h"

#include <algorithm>
#include <cstring>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/json_strict.h"

namespace frugal {

using nlohmann::json;

namespace {
const char* const kRemedy = "the file is damaged or not safetensors: fetch or write it again";

struct Range {
  int64_t begin, end;
  std::string name;
};

Tensor parse_entry(const std::string& where, const json& entry, std::span<const std::byte> data,
                   Range* range) {
  if (!entry.is_object() || !entry.contains("dtype") || !entry.contains("shape") ||
      !entry.contains("data_offsets"))
    fail(where, "needs dtype, shape and data_offsets", kRemedy);
  Tensor t;
  if (!entry["dtype"].is_string() || !dtype_from_name(entry["dtype"].get<std::string>(), &t.dtype))
    fail(where, "unknown dtype " + entry["dtype"].dump(),
         "supported: F64 F32 BF16 F16 F8_E4M3 I64 I32 I16 I8 U8 BOOL");
  const json& shape = entry["shape"];
  if (!shape.is_array() || shape.size() > static_cast<size_t>(Shape::kMaxRank))
    fail(where, "shape is not a list of at most 8 sizes", kRemedy);
  int64_t elements = 1;
  for (const json& d : shape) {
    if (!d.is_number_unsigned() || d.get<uint64_t>() > (uint64_t{1} << 48))
      fail(where, "bad size in shape", kRemedy);
    const int64_t n = d.get<int64_t>();
    t.shape.dims[static_cast<size_t>(t.shape.rank++)] = n;
    if (n != 0 && elements > (int64_t{1} << 50) / n) fail(where, "shape is too large", kRemedy);
    elements *= n;
  }
  const json& offsets = entry["data_offsets"];
  if (!offsets.is_array() || offsets.size() != 2 || !offsets[0].is_number_unsigned() ||
      !offsets[1].is_number_unsigned())
    fail(where, "data_offsets is not a pair of offsets", kRemedy);
  const uint64_t begin = offsets[0].get<uint64_t>(), end = offsets[1].get<uint64_t>();
  if (begin > end || end > data.size())
    fail(where, fmt::format("bytes {}..{} lie outside the {} bytes of data", begin, end, data.size()),
         kRemedy);
  if (static_cast<int64_t>(end - begin) != elements * dtype_size(t.dtype))
    fail(where,
         fmt::format("{} {} needs {} bytes, the file gives {}", dtype_name(t.dtype), to_string(t.shape),
                     elements * dtype_size(t.dtype), end - begin),
         kRemedy);
  t.data = const_cast<std::byte*>(data.data() + begin);
  *range = {static_cast<int64_t>(begin), static_cast<int64_t>(end), where};
  return t;
}

void check_ranges(const std::string& path, std::vector<Range> ranges, int64_t size) {
  std::sort(ranges.begin(), ranges.end(), [](const Range& a, const Range& b) {
    return std::pair(a.begin, a.end) < std::pair(b.begin, b.end);
  });
  int64_t at = 0;
  for (const Range& r : ranges) {
    if (r.begin < at) fail(r.name, fmt::format("overlaps the tensor before it at byte {}", r.begin), kRemedy);
    if (r.begin > at) fail(r.name, fmt::format("{} unused bytes before it", r.begin - at), kRemedy);
    at = r.end;
  }
  if (at != size) fail(path, fmt::format("{} bytes after the last tensor", size - at), kRemedy);
}

}  // namespace

SafetensorsFile::SafetensorsFile(const std::string& path) : file_(path) {
  const auto bytes = file_.bytes();
  if (bytes.size() < 8)
    fail(path, fmt::format("{} bytes are too few for safetensors", bytes.size()), kRemedy);
  uint64_t length;
  std::memcpy(&length, bytes.data(), 8);
  constexpr uint64_t kMaxHeader = 100'000'000;  // the limit of the reference implementation
  if (length > kMaxHeader || length > bytes.size() - 8)
    fail(path, fmt::format("header length {} does not fit the file of {} bytes", length, bytes.size()),
         kRemedy);
  const json header = parse_json_object(file_.text().substr(8, length), path,
                                        {.max_bytes = kMaxHeader, .max_depth = 8, .remedy = kRemedy});
  const auto data = bytes.subspan(8 + length);
  std::vector<Range> ranges;
  for (const auto& [name, entry] : header.items()) {
    if (name == "__metadata__") {
      if (!entry.is_object()) fail(path, "__metadata__ is not an object", kRemedy);
      for (const auto& [k, v] : entry.items()) {
        if (!v.is_string()) fail(path, "__metadata__." + k + " is not a string", kRemedy);
        metadata_[k] = v.get<std::string>();
      }
      continue;
    }
    ranges.emplace_back();
    tensors_[name] = parse_entry(path + ": " + name, entry, data, &ranges.back());
  }
  check_ranges(path, std::move(ranges), static_cast<int64_t>(data.size()));
}

const Tensor* SafetensorsFile::find(const std::string& name) const {
  const auto it = tensors_.find(name);
  return it == tensors_.end() ? nullptr : &it->second;
}

const Tensor& SafetensorsFile::at(const std::string& name) const {
  const Tensor* t = find(name);
  if (t == nullptr) fail(path(), "tensor " + name + " is missing", "use a complete file");
  return *t;
}

namespace {
// Header length and header, padded so that the tensors begin at a multiple of 64; *data_bytes: of all tensors.
std::string header_bytes(const std::vector<TensorEntry>& entries,
                         const std::map<std::string, std::string>& metadata, int64_t* data_bytes) {
  nlohmann::ordered_json header = nlohmann::ordered_json::object();
  if (!metadata.empty()) header["__metadata__"] = metadata;
  int64_t offset = 0;
  for (const TensorEntry& e : entries) {
    const std::vector<int64_t> shape(e.shape.dims.begin(), e.shape.dims.begin() + e.shape.rank);
    header[e.name] = {
        {"dtype", dtype_name(e.dtype)}, {"shape", shape}, {"data_offsets", {offset, offset + e.bytes()}}};
    offset += e.bytes();
  }
  std::string text = header.dump();
  text.resize((text.size() + 8 + 63) / 64 * 64 - 8, ' ');
  const uint64_t length = text.size();
  *data_bytes = offset;
  return std::string(reinterpret_cast<const char*>(&length), 8) + text;
}
}  // namespace

int64_t safetensors_bytes(const std::vector<TensorEntry>& entries,
                          const std::map<std::string, std::string>& metadata) {
  int64_t data = 0;
  const int64_t header = static_cast<int64_t>(header_bytes(entries, metadata, &data).size());
  return header + data;
}

SafetensorsWriter::SafetensorsWriter(const std::string& path, const std::vector<TensorEntry>& entries,
                                     const std::map<std::string, std::string>& metadata)
    : out_(path, PageCache::kBypass) {
  out_.write(header_bytes(entries, metadata, &missing_));
}

void SafetensorsWriter::write(const void* data, int64_t bytes) {
  FRUGAL_ASSERT(bytes <= missing_, "{} bytes beyond the header's {}", bytes, missing_);
  out_.write(data, static_cast<size_t>(bytes));
  missing_ -= bytes;
}

void SafetensorsWriter::close() {
  FRUGAL_ASSERT(missing_ == 0, "{} bytes were not written", missing_);
  out_.close();
}

void write_safetensors(const std::string& path, const std::vector<NamedTensor>& tensors,
                       const std::map<std::string, std::string>& metadata) {
  std::vector<TensorEntry> entries;
  for (const NamedTensor& t : tensors) entries.push_back({t.name, t.tensor.dtype, t.tensor.shape});
  SafetensorsWriter out(path, entries, metadata);
  for (const NamedTensor& t : tensors) out.write(t.tensor.data, t.tensor.bytes());
  out.close();
}

void to_f32(const Tensor& tensor, float* out) {
  const int64_t n = tensor.elements();
  const std::byte* p = static_cast<const std::byte*>(tensor.data);
  // memcpy per element: a tensor in a file need not be aligned to its width.
  const auto each = [&]<class T>(T, auto convert) {
    for (int64_t i = 0; i < n; ++i) {
      T v;
      std::memcpy(&v, p + i * static_cast<int64_t>(sizeof(T)), sizeof(T));
      out[i] = convert(v);
    }
  };
  switch (tensor.dtype) {
    case Dtype::kF32:
      each(float{}, [](float v) { return v; });
      break;
    case Dtype::kF64:
      each(double{}, [](double v) { return static_cast<float>(v); });
      break;
    case Dtype::kBF16:
      each(uint16_t{}, [](uint16_t v) { return f32_from_bf16(v); });
      break;
    case Dtype::kF16:
      each(uint16_t{}, [](uint16_t v) { return f32_from_f16(v); });
      break;
    case Dtype::kF8E4M3:
      each(uint8_t{}, [](uint8_t v) { return f32_from_e4m3(v); });
      break;
    default:
      fail("tensor", fmt::format("{} is not a floating-point type", dtype_name(tensor.dtype)), kRemedy);
  }
}

std::vector<float> to_f32(const Tensor& tensor) {
  std::vector<float> out(static_cast<size_t>(tensor.elements()));
  to_f32(tensor, out.data());
  return out;
}

}  // namespace frugal
