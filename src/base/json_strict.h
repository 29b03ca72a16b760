// JSON objects from files that somebody else wrote, read strictly: one object, no key twice in it or in an
// object below it, nesting and size bounded, no NUL byte.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

namespace frugal {

struct JsonLimits {
  size_t max_bytes = 4 << 20;
  int max_depth = 32;
  std::string remedy;  // of every message
};

// `name` stands in messages (the file's path). Throws Error.
nlohmann::json parse_json_object(std::string_view text, const std::string& name, const JsonLimits& limits);

// A value as it may stand in a message: short, and what it is instead of long contents.
std::string shown(const nlohmann::json& value);

}  // namespace frugal
