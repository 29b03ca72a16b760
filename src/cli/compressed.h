// What general compressors make of a text, as a yardstick for bits per byte.
#pragma once

#include <cstddef>
#include <string_view>

namespace frugal::cli {

size_t gzip_bytes(std::string_view text);  // as `gzip -9` (file name not stored)
size_t xz_bytes(std::string_view text);    // as `xz -9`

}  // namespace frugal::cli
