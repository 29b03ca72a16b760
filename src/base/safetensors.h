// The safetensors format (huggingface/safetensors): 8-byte little-endian header length, JSON header, tensor
// bytes. A file is checked whole before anything is returned: header length against the file, offsets inside
// the data, no gap, no overlap, shape times width equal to the byte range, known dtypes, no name twice.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "base/files.h"
#include "base/tensor.h"

namespace frugal {

class SafetensorsFile {
 public:
  // Throws Error naming the file, the tensor and the rule that broke.
  explicit SafetensorsFile(const std::string& path);

  const std::string& path() const { return file_.path(); }
  void populate() const { file_.populate(); }
  void copy_to_memory(ThreadPool& pool) { file_.copy_to_memory(pool); }
  int64_t file_bytes() const { return static_cast<int64_t>(file_.bytes().size()); }
  // Views into the mapped file, by name.
  const std::map<std::string, Tensor>& tensors() const { return tensors_; }
  const std::map<std::string, std::string>& metadata() const { return metadata_; }
  // Throws Error when there is no tensor of that name.
  const Tensor& at(const std::string& name) const;
  const Tensor* find(const std::string& name) const;

 private:
  MappedFile file_;
  std::map<std::string, Tensor> tensors_;
  std::map<std::string, std::string> metadata_;
};

struct NamedTensor {
  std::string name;
  Tensor tensor;
};

// Writes and syncs a new file; tensors in the given order, which begin at a multiple of 64 bytes.
void write_safetensors(const std::string& path, const std::vector<NamedTensor>& tensors,
                       const std::map<std::string, std::string>& metadata);

struct TensorEntry {
  std::string name;
  Dtype dtype;
  Shape shape;
  int64_t bytes() const { return shape.elements() * dtype_size(dtype); }
};

// Size of the file that these entries make.
int64_t safetensors_bytes(const std::vector<TensorEntry>& entries,
                          const std::map<std::string, std::string>& metadata);

// The same for tensors that come piece by piece.
class SafetensorsWriter {
 public:
  SafetensorsWriter(const std::string& path, const std::vector<TensorEntry>& entries,
                    const std::map<std::string, std::string>& metadata);
  // The tensors' bytes, in the order of the entries, in any pieces.
  void write(const void* data, int64_t bytes);
  void close();  // syncs; asserts that all bytes have come

 private:
  FileWriter out_;
  int64_t missing_ = 0;
};

// Widens any float dtype (and e4m3, without its scale) to f32.
void to_f32(const Tensor& tensor, float* out);
std::vector<float> to_f32(const Tensor& tensor);

}  // namespace frugal
