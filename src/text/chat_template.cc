// Which chat template a model has: told by what its text contains. The published files differ in white space
// and in details from release to release, so a list of whole texts would always be too short.
#include "base/error.h"
#include "text/chat.h"

namespace frugal::text {

const char* chat_format_name(ChatFormat format) {
  switch (format) {
    case ChatFormat::kDeepSeekV3:
      return "DeepSeek-V3";
    case ChatFormat::kDeepSeekR1:
      return "DeepSeek-R1";
    case ChatFormat::kDeepSeekV31:
      return "DeepSeek-V3.1";
    case ChatFormat::kDeepSeekV2:
      return "DeepSeek-V2";
    case ChatFormat::kMoonshot:
      return "Moonshot";
  }
  return "?";
}

namespace {
struct Text {
  std::string_view jinja;
  bool has(std::string_view part) const { return jinja.find(part) != std::string_view::npos; }
  // A newline stands in a template as itself or as the escape \n of a string.
  bool has_line(const std::string& before, const std::string& after) const {
    return has(before + "\n" + after) || has(before + "\\n" + after);
  }
};

// Kimi-K2's and Moonlight's templates hold their default system message as a plain piece of text.
std::string moonshot_default(std::string_view jinja) {
  constexpr std::string_view head = "<|im_system|>system<|im_middle|>", end = "<|im_end|>";
  for (size_t at = jinja.find(head); at != std::string_view::npos; at = jinja.find(head, at + 1)) {
    const std::string_view rest = jinja.substr(at + head.size());
    const std::string_view text = rest.substr(0, rest.find(end));
    if (!text.empty() && text.size() < rest.size() && text.find_first_of("'\"{}\\") == std::string_view::npos)
      return std::string(text);
  }
  return "";
}

// The family of a template that this program does not write; "" for one that it does not know.
const char* foreign_family(const Text& t) {
  if (t.has("DSML")) return "DeepSeek-V3.2 or V4 (DSML)";
  if (t.has("<|im_user|>") && (t.has("think>") || t.has("reasoning_content")))
    return "Kimi-K2-Thinking or later";
  if (t.has("<|im_start|>")) return "ChatML (Qwen and others)";
  if (t.has("<|start_header_id|>")) return "Llama 3";
  if (t.has("[INST]")) return "Llama 2 or Mistral";
  if (t.has("[gMASK]")) return "GLM";
  return "";
}
}  // namespace

ChatTemplate parse_chat_template(std::string_view jinja, const std::string& where) {
  const Text t{jinja};
  const std::string family = foreign_family(t);
  const bool deepseek = t.has(kUserToken) && t.has(kAssistantToken);
  ChatTemplate chat;
  const bool v31 = t.has("<｜Assistant｜></think>");
  const bool opens_early = t.has("message['content'] + '<｜Assistant｜>'");
  const bool thinks = t.has_line("<｜Assistant｜><think>", "");
  // Signs of an edited template: what it does cannot be told from here.
  const bool edited = t.has("reasoning_content") || (!v31 && t.has("enable_thinking")) ||
                      (!v31 && !opens_early && t.has("is_last_user")) ||
                      (!v31 && !thinks && t.has("<｜Assistant｜><think>"));
  if (family.empty() && deepseek && !edited) {
    chat.drops_thoughts = v31 || t.has("split('</think>')");
    chat.format = v31                             ? ChatFormat::kDeepSeekV31
                  : chat.drops_thoughts || thinks ? ChatFormat::kDeepSeekR1
                                                  : ChatFormat::kDeepSeekV3;
    chat.think_by_default = !v31 && thinks;
    chat.answers_open_early = opens_early;
    chat.calls_left_open = t.has("message['role'] == 'assistant' and message['content'] is none");
    if (t.has("<｜tool▁output▁begin｜>") && !t.has_line("", "<｜tool▁output▁begin｜>"))
      chat.output_separator = "";
    return chat;
  }
  if (family.empty() && t.has("<|im_user|>") && t.has("<|im_middle|>") && t.has("<|im_end|>")) {
    chat.format = ChatFormat::kMoonshot;
    chat.default_system = moonshot_default(jinja);
    return chat;
  }
  if (family.empty() && t.has("'User: '") && t.has("'Assistant: '") && t.has("'Assistant:'")) {
    chat.format = ChatFormat::kDeepSeekV2;
    return chat;
  }
  std::string start(jinja.substr(0, 60));
  for (char& c : start)
    if (static_cast<unsigned char>(c) < ' ' || static_cast<unsigned char>(c) > '~') c = ' ';
  fail(where,
       family.empty() ? "the chat template \"" + start + "...\" is of no family that frugal writes"
                      : "the chat template is that of " + family + ", which frugal does not write",
       "DeepSeek-V2, V3, R1, V3.1, Moonlight and Kimi-K2 are; `frugal generate` continues plain text");
}

ChatTemplate training_template(const Tokenizer& t) {
  ChatTemplate chat;
  if (t.find_added(kUserToken) >= 0 && t.find_added(kAssistantToken) >= 0) return chat;
  chat.format = t.find_added("<|im_user|>") >= 0 && t.find_added("<|im_end|>") >= 0 ? ChatFormat::kMoonshot
                                                                                    : ChatFormat::kDeepSeekV2;
  return chat;
}

ChatTemplate chat_template(const Tokenizer& t) {
  return t.chat_template().empty() ? training_template(t)
                                   : parse_chat_template(t.chat_template(), "chat_template");
}

}  // namespace frugal::text
