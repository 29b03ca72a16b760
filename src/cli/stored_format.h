// --format and --dtype: how a directory stores its matrices.
#pragma once

#include <string>

#include "model/stored.h"

namespace frugal::cli {

inline constexpr const char* kStoredFormats = "f32, bf16, fp8, int8 or int4";
// Throws Error naming the option for anything else.
model::StoredFormat stored_format(const char* option, const std::string& name);

}  // namespace frugal::cli
