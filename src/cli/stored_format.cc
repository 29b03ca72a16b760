#include "cli/stored_format.h"

#include <utility>

#include "base/error.h"

namespace frugal::cli {

model::StoredFormat stored_format(const char* option, const std::string& name) {
  using enum model::StoredFormat;
  constexpr std::pair<const char*, model::StoredFormat> formats[] = {
      {"f32", kF32}, {"bf16", kBF16}, {"fp8", kFP8}, {"int8", kInt8}, {"int4", kInt4}};
  for (const auto& [known, format] : formats)
    if (name == known) return format;
  fail(option, "'" + name + "' is not a stored format", std::string("use ") + kStoredFormats);
}

}  // namespace frugal::cli
