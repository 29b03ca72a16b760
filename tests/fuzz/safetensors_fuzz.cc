// libFuzzer: SafetensorsFile on any bytes. What it accepts must describe memory of the file and survive being
// written and read again.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

#include "base/error.h"
#include "base/safetensors.h"
#include "memory_file.h"

namespace {
using frugal::test::MemoryFile;

void check(bool condition, const char* what) {
  if (condition) return;
  std::fprintf(stderr, "%s\n", what);
  std::abort();
}

// Reads every byte of every tensor: the sanitizer sees a view that leaves the file.
void read_all(const frugal::SafetensorsFile& file, std::vector<frugal::NamedTensor>* tensors) {
  unsigned sum = 0;
  for (const auto& [name, tensor] : file.tensors()) {
    check(tensor.shape.rank >= 0 && tensor.shape.rank <= frugal::Shape::kMaxRank, "rank");
    for (int64_t i = 0; i < tensor.bytes(); ++i) sum += static_cast<const uint8_t*>(tensor.data)[i];
    if (frugal::is_float(tensor.dtype))
      check(static_cast<int64_t>(frugal::to_f32(tensor).size()) == tensor.elements(), "to_f32 lost elements");
    tensors->push_back({name, tensor});
  }
  volatile unsigned sink = sum;
  (void)sink;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  MemoryFile input;
  if (!input.fill(data, size)) return 0;
  try {
    const frugal::SafetensorsFile file(input.path());
    std::vector<frugal::NamedTensor> tensors;
    read_all(file, &tensors);
    MemoryFile copy;
    frugal::write_safetensors(copy.path(), tensors, file.metadata());
    const frugal::SafetensorsFile again(copy.path());
    check(again.tensors().size() == tensors.size() && again.metadata() == file.metadata(),
          "the copy has other entries");
    for (const frugal::NamedTensor& t : tensors) {
      const frugal::Tensor& other = again.at(t.name);
      check(other.dtype == t.tensor.dtype && other.shape == t.tensor.shape, "the copy has another type");
      check(t.tensor.bytes() == 0 ||
                std::memcmp(other.data, t.tensor.data, static_cast<size_t>(t.tensor.bytes())) == 0,
            "the copy has other bytes");
    }
  } catch (const frugal::Error&) {
    // The right answer to a file that is wrong.
  }
  return 0;
}
