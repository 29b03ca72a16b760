// Tokenizer expectations: cases.json beside tokenizer.json, and chats as their templates render them.
#include <algorithm>
#include <limits>
#include <map>

#include "base/files.h"
#include "eval/verify_cases.h"
#include "text/chat.h"
#include "text/json_checked.h"
#include "text/tokenizer.h"

namespace frugal::eval {

namespace {
using text::Field;
using text::Tokenizer;

// One list of examples of a JSON file; counts the examples that come out differently.
class Examples {
 public:
  Examples(const Field& file, const char* key) : list_(file.at(key)) { list_.array(); }

  // same(example) is called for every example; the note names the first one that differs.
  template <class F>
  void check(CaseReport* report, const std::string& name, F&& same) const {
    int64_t differ = 0;
    std::string first;
    for (size_t i = 0; i < list_.size(); ++i) {
      if (same(list_.at(i))) continue;
      if (differ++ == 0) first = ", the first is " + list_.at(i).where();
    }
    report->checks.push_back({name, static_cast<double>(differ), 0, differ == 0,
                              fmt::format("of {} examples differ{}", list_.size(), first)});
  }

 private:
  Field list_;
};

const std::string& text_of(const Field& example, const char* key) { return example.at(key).string(); }
std::vector<int32_t> ids_of(const Field& example) {
  const Field list = example.at("ids").array();
  std::vector<int32_t> ids;
  for (size_t i = 0; i < list.size(); ++i)
    ids.push_back(static_cast<int32_t>(list.at(i).integer(0, std::numeric_limits<int32_t>::max())));
  return ids;
}

void verify_cases(const std::string& directory, const std::string& prefix, CaseReport* report) {
  const Tokenizer tokenizer = Tokenizer::load(directory);
  const std::string path = directory + "/cases.json";
  const nlohmann::json json = text::parse_checked(read_file(path), path);
  const Field file = Field::root(json, path);
  const Examples cases(file, "cases"), decodes(file, "decode_cases"), specials(file, "decode_special_cases");
  cases.check(report, prefix + "cases: encode",
              [&](const Field& e) { return tokenizer.encode(text_of(e, "text")) == ids_of(e); });
  cases.check(report, prefix + "cases: decode",
              [&](const Field& e) { return tokenizer.decode(ids_of(e)) == text_of(e, "text"); });
  decodes.check(report, prefix + "decode_cases",
                [&](const Field& e) { return tokenizer.decode(ids_of(e)) == text_of(e, "text"); });
  specials.check(report, prefix + "decode_special_cases: all kept",
                 [&](const Field& e) { return tokenizer.decode(ids_of(e)) == text_of(e, "text"); });
  specials.check(report, prefix + "decode_special_cases: skipped", [&](const Field& e) {
    return tokenizer.decode(ids_of(e), true) == text_of(e, "text_skip_special_tokens");
  });
  for (const auto& [key, value] : json.items())
    if (key != "cases" && key != "decode_cases" && key != "decode_special_cases")
      report->unchecked.push_back(prefix + "cases.json: " + key);
}

std::vector<text::Message> messages_of(const Field& example) {
  const Field list = example.at("messages").array();
  std::vector<text::Message> messages;
  for (size_t i = 0; i < list.size(); ++i) {
    const Field one = list.at(i).object();
    one.only({"role", "content", "tool_calls"});
    text::Message m{one.at("role").string(), one.has("content") ? one.at("content").string() : "", {}};
    const size_t calls = one.has("tool_calls") ? one.at("tool_calls").array().size() : 0;
    if (calls == 0 && !one.has("content")) one.fail_here("has neither content nor tool_calls");
    for (size_t k = 0; k < calls; ++k) {
      const Field call = one.at("tool_calls").at(k).object(), function = call.at("function").object();
      m.tool_calls.push_back(
          {call.at("type").string(), function.at("name").string(), function.at("arguments").string()});
    }
    messages.push_back(std::move(m));
  }
  return messages;
}

// Ids that our encoder makes of messages. A control token that stands in a message is text for it, and a
// token for whoever encodes the rendered text: then its text must be the same, with fewer control tokens.
bool same_chat_ids(const Tokenizer& tokenizer, const std::vector<text::Message>& messages,
                   const std::vector<int32_t>& ours, const std::vector<int32_t>& expected) {
  const bool holds_control = std::any_of(messages.begin(), messages.end(), [&](const text::Message& m) {
    return tokenizer.encode(m.content, true) != tokenizer.encode(m.content, false);
  });
  if (!holds_control) return ours == expected;
  return ours != expected && tokenizer.decode(ours) == tokenizer.decode(expected);
}

// Our text and ids of every conversation, and the ids of the text; the tokenizer is the directory's
// deepseek_v3.
void verify_chats(const std::string& directory, CaseReport* report) {
  const std::string path = directory + "/chat_templates.json";
  const nlohmann::json json = text::parse_checked(read_file(path), path);
  const Tokenizer tokenizer = Tokenizer::load(directory + "/deepseek_v3");
  const Field file = Field::root(json, path), templates = file.at("templates").object();
  std::map<std::string, text::ChatTemplate> chats;
  for (const auto& [name, jinja] : templates.json().items())
    chats[name] = text::parse_chat_template(templates.at(name.c_str()).string(), path + ": " + name);
  const auto chat_of = [&](const Field& e) {
    const auto found = chats.find(text_of(e, "template"));
    if (found == chats.end()) e.fail_here("its template is not among the file's");
    return found->second;
  };
  const auto options_of = [](const Field& e) {
    // Anything else would ask for what is not rendered here.
    e.only({"template", "messages", "add_generation_prompt", "rendered", "ids"});
    return text::RenderOptions{.generation_prompt = e.at("add_generation_prompt").boolean()};
  };
  const Examples cases(file, "cases");
  cases.check(report, "chat_templates: text of messages", [&](const Field& e) {
    return text::render_chat(tokenizer, chat_of(e), messages_of(e), options_of(e)) == text_of(e, "rendered");
  });
  cases.check(report, "chat_templates: ids of messages", [&](const Field& e) {
    const std::vector<text::Message> messages = messages_of(e);
    return same_chat_ids(tokenizer, messages,
                         text::encode_chat(tokenizer, chat_of(e), messages, options_of(e)), ids_of(e));
  });
  // The BOS stands in the rendered text.
  cases.check(report, "chat_templates: ids of the text",
              [&](const Field& e) { return tokenizer.encode(text_of(e, "rendered")) == ids_of(e); });
  for (const auto& [key, value] : json.items())
    if (key != "templates" && key != "cases") report->unchecked.push_back("chat_templates.json: " + key);
}
}  // namespace

bool holds_tokenizer_case(const std::string& directory) {
  return file_exists(directory + "/cases.json") || file_exists(directory + "/chat_templates.json");
}

// A directory with cases.json, or one with chat_templates.json and a directory per tokenizer.
CaseReport verify_tokenizer(const std::string& directory) {
  CaseReport report{directory, {}, {}};
  if (file_exists(directory + "/cases.json")) verify_cases(directory, "", &report);
  for (const std::string& name : list_directory(directory)) {
    const std::string path = directory + "/" + name;
    if (file_exists(path + "/cases.json")) {
      verify_cases(path, name + "/", &report);
    } else if (is_directory(path)) {
      report.unchecked.push_back(name);
    }
  }
  if (file_exists(directory + "/chat_templates.json")) verify_chats(directory, &report);
  return report;
}

}  // namespace frugal::eval
