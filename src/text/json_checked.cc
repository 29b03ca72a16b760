#include "text/json_checked.h"

#include <algorithm>
#include <vector>

#include "base/error.h"

namespace frugal::text {

namespace {
constexpr int kMaxDepth = 64;  // published files need about 8
constexpr const char* kRepair = "the file is damaged or not in Hugging Face's format: get it again";
}  // namespace

nlohmann::json parse_checked(std::string_view text, const std::string& name) {
  using Event = nlohmann::json::parse_event_t;
  std::vector<size_t> keys;  // of each open object
  const auto check = [&](int depth, Event event, nlohmann::json& value) {
    if (depth > kMaxDepth) fail(name, fmt::format("nested deeper than {} levels", kMaxDepth), kRepair);
    if (event == Event::object_start) keys.push_back(0);
    if (event == Event::key) ++keys.back();
    if (event == Event::object_end) {
      // The parser keeps the last of several equal keys; which one a reader means is anyone's guess.
      if (value.size() != keys.back()) fail(name, "an object has the same key twice", kRepair);
      keys.pop_back();
    }
    return true;
  };
  try {
    return nlohmann::json::parse(text.begin(), text.end(), check);
  } catch (const nlohmann::json::exception& e) {
    fail(name, fmt::format("not valid JSON ({})", e.what()), kRepair);
  }
}

Field Field::root(const nlohmann::json& document, const std::string& name) {
  Field field(document, name);
  field.separator_ = ": ";
  return field;
}

void Field::fail_here(const std::string& what, const std::string& remedy) const {
  fail(where_, what, remedy.empty() ? kRepair : remedy);
}

void Field::wrong_type(const char* expected) const {
  fail_here(fmt::format("expected {}, found {}", expected, value_->type_name()));
}

bool Field::has(const char* key) const {
  const auto found = value_->find(key);
  return found != value_->end() && !found->is_null();
}

Field Field::at(const char* key) const {
  object();
  const auto found = value_->find(key);
  if (found == value_->end()) fail_here(fmt::format("field \"{}\" is missing", key));
  return {*found, where_ + separator_ + key};
}

Field Field::at(size_t index) const { return {(*value_)[index], fmt::format("{}[{}]", where_, index)}; }

const Field& Field::object() const {
  if (!value_->is_object()) wrong_type("an object");
  return *this;
}

const Field& Field::array() const {
  if (!value_->is_array()) wrong_type("an array");
  return *this;
}

const std::string& Field::string() const {
  if (!value_->is_string()) wrong_type("a string");
  return value_->get_ref<const std::string&>();
}

bool Field::boolean() const {
  if (!value_->is_boolean()) wrong_type("true or false");
  return value_->get<bool>();
}

int64_t Field::integer(int64_t low, int64_t high) const {
  if (!value_->is_number_integer()) wrong_type("an integer");
  // Above 2^63 the value would wrap around to a negative one.
  const bool huge =
      value_->is_number_unsigned() && value_->get<uint64_t>() > static_cast<uint64_t>(INT64_MAX);
  const int64_t number = huge ? INT64_MAX : value_->get<int64_t>();
  if (huge || number < low || number > high) {
    fail_here(fmt::format("{} is not between {} and {}", value_->dump(), low, high));
  }
  return number;
}

void Field::only(std::initializer_list<std::string_view> known) const {
  object();
  for (const auto& [key, value] : value_->get_ref<const nlohmann::json::object_t&>()) {
    if (std::find(known.begin(), known.end(), key) == known.end()) {
      fail_here(fmt::format("field \"{}\" is not implemented", key), "use a tokenizer without it");
    }
  }
}

void Field::require_false(const char* key) const {
  if (has(key) && at(key).boolean())
    at(key).fail_here("true is not implemented", "use a tokenizer without it");
}

}  // namespace frugal::text
