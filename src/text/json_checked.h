// JSON with checks, for the .cc files that read tokenizer files: malformed text, deep nesting, duplicate keys
// and wrong types are Errors that name the file and the field. Includes nlohmann; not for other headers.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <utility>

namespace frugal::text {

// Throws Error for text that is not JSON, nests deeper than 64 levels or repeats a key of an object.
nlohmann::json parse_checked(std::string_view text, const std::string& name);

// A value and the place it came from ("tokenizer.json: model.merges[3]").
class Field {
 public:
  Field(const nlohmann::json& value, std::string where) : value_(&value), where_(std::move(where)) {}
  // A whole document.
  static Field root(const nlohmann::json& document, const std::string& name);

  const nlohmann::json& json() const { return *value_; }
  const std::string& where() const { return where_; }
  bool is_null() const { return value_->is_null(); }
  [[noreturn]] void fail_here(const std::string& what, const std::string& remedy = "") const;

  bool has(const char* key) const;                // false for null, too
  Field at(const char* key) const;                // Error when it is missing
  Field at(size_t index) const;                   // index < size()
  size_t size() const { return value_->size(); }  // of an array or object

  const Field& object() const;
  const Field& array() const;
  const std::string& string() const;
  bool boolean() const;
  int64_t integer(int64_t low, int64_t high) const;

  // Error that names the first key that is not among `known`.
  void only(std::initializer_list<std::string_view> known) const;
  // Optional boolean that must be false.
  void require_false(const char* key) const;

 private:
  [[noreturn]] void wrong_type(const char* expected) const;

  const nlohmann::json* value_;
  std::string where_;
  const char* separator_ = ".";  // between where_ and the name of a child
};

}  // namespace frugal::text
