// Tokenizer expectations: cases.json beside tokenizer.json, and the ids of rendered chat templates.
#include <limits>

#include "base/files.h"
#include "eval/verify_cases.h"
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

// Ids of the rendered texts; their tokenizer is the directory's deepseek_v3. Rendering is not compared.
void verify_chats(const std::string& directory, CaseReport* report) {
  const std::string path = directory + "/chat_templates.json";
  const nlohmann::json json = text::parse_checked(read_file(path), path);
  const Tokenizer tokenizer = Tokenizer::load(directory + "/deepseek_v3");
  // The BOS stands in the rendered text.
  Examples(Field::root(json, path), "cases")
      .check(report, "chat_templates: ids of rendered",
             [&](const Field& e) { return tokenizer.encode(text_of(e, "rendered")) == ids_of(e); });
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
