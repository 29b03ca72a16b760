#include <fmt/ranges.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "text/byte_level.h"
#include "text/tokenizer_json.h"

namespace frugal::text {

namespace {

std::string json_string(const std::string& text) { return nlohmann::json(text).dump(); }

std::string added_token_json(int32_t id, const std::string& content, bool special) {
  return fmt::format(
      "    {{\"id\": {}, \"content\": {}, \"single_word\": false, \"lstrip\": false, \"rstrip\": false, "
      "\"normalized\": false, \"special\": {}}}",
      id, json_string(content), special);
}

// A TemplateProcessing makes Hugging Face prepend BOS by itself, as add_bos_token asks for.
std::string post_processor_json(const std::string& bos) {
  const std::string token = json_string(bos);
  const std::string first = fmt::format(R"({{"SpecialToken": {{"id": {}, "type_id": 0}}}})", token);
  const auto sequence = [](char id, int type) {
    return fmt::format(R"({{"Sequence": {{"id": "{}", "type_id": {}}}}})", id, type);
  };
  return fmt::format(
      "{{\"type\": \"TemplateProcessing\",\n"
      "    \"single\": [{0}, {1}],\n"
      "    \"pair\": [{0}, {1}, {2}],\n"
      "    \"special_tokens\": {{{3}: {{\"id\": {3}, \"ids\": [0], \"tokens\": [{3}]}}}}}}",
      first, sequence('A', 0), sequence('B', 1), token);
}

}  // namespace

std::string write_tokenizer_json(const TrainedVocabulary& v) {
  std::vector<std::string> symbols, added, vocab, merges;
  int32_t id = 0;
  for (const std::string& token : v.special_tokens) {
    added.push_back(added_token_json(id, token, true));
    vocab.push_back(fmt::format("      {}: {}", json_string(token), id++));
    symbols.push_back(token);
  }
  for (const std::string& token : v.tokens) {
    symbols.push_back(to_byte_level(token));
    vocab.push_back(fmt::format("      {}: {}", json_string(symbols.back()), id++));
  }
  for (const std::string& token : v.added_tokens) added.push_back(added_token_json(id++, token, false));
  for (const Merge& m : v.merges) {
    const auto& left = symbols[static_cast<size_t>(m.left)];
    const auto& right = symbols[static_cast<size_t>(m.right)];
    merges.push_back("      " + json_string(left + " " + right));
  }
  std::string stages;
  for (const std::string& pattern : v.split_patterns) {
    stages += fmt::format(
        "      {{\"type\": \"Split\", \"pattern\": {{\"Regex\": {}}}, \"behavior\": \"Isolated\", "
        "\"invert\": false}},\n",
        json_string(pattern));
  }
  std::string json = "{\n  \"version\": \"1.0\",\n  \"truncation\": null,\n  \"padding\": null,\n";
  json += fmt::format("  \"added_tokens\": [\n{}\n  ],\n  \"normalizer\": null,\n", fmt::join(added, ",\n"));
  json += fmt::format(
      "  \"pre_tokenizer\": {{\n    \"type\": \"Sequence\",\n    \"pretokenizers\": [\n{}"
      "      {{\"type\": \"ByteLevel\", \"add_prefix_space\": false, \"trim_offsets\": true, \"use_regex\": "
      "false}}\n"
      "    ]\n  }},\n",
      stages);
  const std::string post = v.special_tokens.empty() ? "null" : post_processor_json(v.special_tokens[0]);
  json += fmt::format("  \"post_processor\": {},\n", post);
  json +=
      "  \"decoder\": {\"type\": \"ByteLevel\", \"add_prefix_space\": true, \"trim_offsets\": true, "
      "\"use_regex\": true},\n";
  json +=
      "  \"model\": {\n    \"type\": \"BPE\",\n    \"dropout\": null,\n    \"unk_token\": null,\n"
      "    \"continuing_subword_prefix\": null,\n    \"end_of_word_suffix\": null,\n    \"fuse_unk\": "
      "false,\n"
      "    \"byte_fallback\": false,\n";
  json += fmt::format("    \"vocab\": {{\n{}\n    }},\n    \"merges\": [\n{}\n    ]\n  }}\n}}\n",
                      fmt::join(vocab, ",\n"), fmt::join(merges, ",\n"));
  return json;
}

std::string write_tokenizer_config(const TrainedVocabulary& v) {
  nlohmann::json config{
      {"add_bos_token", !v.special_tokens.empty()},
      {"add_eos_token", false},
      {"clean_up_tokenization_spaces", false},
      // Reads tokenizer.json as it is; Llama's class, which DeepSeek names, may rebuild parts.
      {"tokenizer_class", "PreTrainedTokenizerFast"}};
  const char* roles[] = {"bos_token", "eos_token", "pad_token"};
  for (size_t i = 0; i < std::min<size_t>(3, v.special_tokens.size()); ++i)
    config[roles[i]] = v.special_tokens[i];
  return config.dump(2) + "\n";
}

}  // namespace frugal::text
