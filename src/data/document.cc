#include "data/document.h"

#include <fmt/format.h>
#include <xxhash.h>

#include <nlohmann/json.hpp>

#include "base/error.h"

namespace frugal::data {

uint64_t text_hash(std::string_view text) { return XXH64(text.data(), text.size(), 0); }

bool is_blank(std::string_view text) {
  return text.find_first_not_of(" \t\r\n\v\f") == std::string_view::npos;
}

namespace {
Document parse_conversation(const std::string& where, const nlohmann::json& messages) {
  const char* remedy = R"(a conversation is {"messages": [{"role": "user", "content": "..."}, ...]})";
  if (!messages.is_array())
    fail(where, fmt::format("the field \"messages\" is a {}", messages.type_name()), remedy);
  Document document{"", where};
  for (const nlohmann::json& m : messages) {
    const auto text_of = [&](const char* name) {
      const bool has = m.is_object() && m.contains(name) && m[name].is_string();
      if (!has) fail(where, fmt::format("a message has no string \"{}\"", name), remedy);
      return m[name].get<std::string>();
    };
    document.messages.push_back({text_of("role"), text_of("content")});
  }
  text::check_messages(document.messages, where);
  document.text = text::chat_text(document.messages);
  return document;
}
}  // namespace

Document parse_jsonl_line(const std::string& where, std::string_view line, const std::string& text_field) {
  nlohmann::json value;
  try {
    value = nlohmann::json::parse(line);
  } catch (const nlohmann::json::parse_error& e) {
    fail(where, fmt::format("not valid JSON at byte {} of the line", e.byte),
         "a .jsonl file holds one complete JSON object per line");
  } catch (const nlohmann::json::exception& e) {  // a number out of range
    fail(where, fmt::format("not valid JSON: {}", e.what()), "correct the line");
  }
  const std::string remedy =
      fmt::format("every line must look like {{\"{}\": \"...\"}} or {{\"messages\": [...]}}", text_field);
  if (!value.is_object())
    fail(where, fmt::format("a JSON {} instead of an object", value.type_name()), remedy);
  if (value.contains("messages")) return parse_conversation(where, value["messages"]);
  const auto field = value.find(text_field);
  if (field == value.end()) fail(where, fmt::format("the object has no field \"{}\"", text_field), remedy);
  if (!field->is_string())
    fail(where, fmt::format("the field \"{}\" is a {} instead of a string", text_field, field->type_name()),
         remedy);
  return {std::move(field->get_ref<std::string&>()), where};
}

}  // namespace frugal::data
