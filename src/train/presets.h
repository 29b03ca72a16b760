// The recipes of configs/*.toml, embedded at build time (cmake/embed_files.cmake).
#pragma once

#include <string_view>
#include <utility>
#include <vector>

namespace frugal::train {

// Name and TOML text.
const std::vector<std::pair<std::string_view, std::string_view>>& presets();

}  // namespace frugal::train
