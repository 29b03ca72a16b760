#include "base/json_strict.h"

#include <nlohmann/json.hpp>
#include <set>
#include <vector>

#include "base/error.h"

namespace frugal {

using nlohmann::json;

std::string shown(const json& value) {
  if (value.is_object()) return "an object";
  if (value.is_array()) return "a list";
  std::string s = value.dump(-1, ' ', false, json::error_handler_t::replace);
  if (s.size() > 60) s = s.substr(0, 57) + "...";
  return s;
}

json parse_json_object(std::string_view text, const std::string& name, const JsonLimits& limits) {
  if (text.size() > limits.max_bytes) fail(name, fmt::format("is {} bytes long", text.size()), limits.remedy);
  // JSON allows no NUL, but the parser would take one for the end and ignore the rest.
  if (text.find('\0') != std::string_view::npos)
    fail(name, "is not JSON: it holds a NUL byte", limits.remedy);
  // The parser keeps one value per key; a key twice must be seen while parsing.
  std::vector<std::set<std::string>> keys;  // of the open objects
  const auto watch = [&](int depth, json::parse_event_t event, json& parsed) {
    if (depth > limits.max_depth)
      fail(name, fmt::format("nests deeper than {} levels", limits.max_depth), limits.remedy);
    if (event == json::parse_event_t::object_start) keys.emplace_back();
    if (event == json::parse_event_t::object_end) keys.pop_back();
    if (event == json::parse_event_t::key && !keys.back().insert(parsed.get<std::string>()).second)
      fail(name + ": " + parsed.get<std::string>(), "stands twice in the same object",
           "remove one of the two");
    return true;
  };
  try {
    json root = json::parse(text.begin(), text.end(), watch);
    if (!root.is_object()) fail(name, "holds " + shown(root) + ", not an object", limits.remedy);
    return root;
  } catch (const json::exception& e) {
    fail(name, std::string("is not JSON: ") + e.what(), limits.remedy);
  }
}

}  // namespace frugal
