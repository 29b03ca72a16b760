#include "text/chat.h"

#include "base/error.h"

namespace frugal::text {

ChatFormat chat_format(const Tokenizer& t) {
  if (t.find_added(kUserToken) >= 0 && t.find_added(kAssistantToken) >= 0) return ChatFormat::kDeepSeekV3;
  if (t.find_added("<|im_user|>") >= 0 && t.find_added("<|im_end|>") >= 0) return ChatFormat::kMoonshot;
  return ChatFormat::kDeepSeekV2;
}

std::vector<int32_t> chat_stop_tokens(const Tokenizer& t) {
  std::vector<int32_t> stops;
  if (t.eos_id() >= 0) stops.push_back(t.eos_id());
  if (chat_format(t) == ChatFormat::kMoonshot) stops.push_back(t.find_added("<|im_end|>"));
  return stops;
}

void check_messages(std::span<const Message> messages, const std::string& where) {
  if (messages.empty()) fail(where, "there is no message", "give at least a user's message");
  bool user_next = true;
  for (size_t i = 0; i < messages.size(); ++i) {
    const std::string& role = messages[i].role;
    if (role == "system" && i == 0) continue;
    if (role != "user" && role != "assistant")
      fail(where, fmt::format("message {} has the role '{}'", i + 1, role),
           "system (first only), then user and assistant in turn");
    if ((role == "user") != user_next)
      fail(where, fmt::format("message {} is the {}'s, out of turn", i + 1, role),
           "user and assistant speak in turn, the user first");
    user_next = !user_next;
  }
}

std::string chat_text(std::span<const Message> messages) {
  std::string text;
  for (const Message& m : messages)
    text += (m.role == "user" ? kUserToken : m.role == "assistant" ? kAssistantToken : "") + m.content;
  return text;
}

namespace {
// Appends text and control tokens.
struct Writer {
  const Tokenizer& tokenizer;
  std::vector<int32_t> ids;
  void id(int32_t token) {
    if (token >= 0) ids.push_back(token);
  }
  void control(const char* token) { id(tokenizer.find_added(token)); }
  void text(const std::string& s) {
    const std::vector<int32_t> more = tokenizer.encode(s, false);
    ids.insert(ids.end(), more.begin(), more.end());
  }
};

void write_deepseek_v3(Writer& w, std::span<const Message> messages, bool generation) {
  w.id(w.tokenizer.bos_id());
  for (const Message& m : messages) {
    if (m.role == "user") w.control(kUserToken);
    if (m.role == "assistant") w.control(kAssistantToken);
    w.text(m.content);
    if (m.role == "assistant") w.id(w.tokenizer.eos_id());
  }
  if (generation) w.control(kAssistantToken);
}

// <|im_user|>user<|im_middle|>text<|im_end|>
void write_moonshot(Writer& w, std::span<const Message> messages, bool generation) {
  const auto head = [&](const std::string& role) {
    w.control(("<|im_" + role + "|>").c_str());
    w.text(role);
    w.control("<|im_middle|>");
  };
  for (const Message& m : messages) {
    head(m.role);
    w.text(m.content);
    w.control("<|im_end|>");
  }
  if (generation) head("assistant");
}

void write_deepseek_v2(Writer& w, std::span<const Message> messages, bool generation) {
  w.id(w.tokenizer.bos_id());
  for (const Message& m : messages) {
    if (m.role == "assistant") {
      w.text("Assistant: " + m.content);
      w.id(w.tokenizer.eos_id());
    } else {
      w.text((m.role == "user" ? "User: " : "") + m.content + "\n\n");
    }
  }
  if (generation) w.text("Assistant:");
}
}  // namespace

std::vector<int32_t> encode_chat(const Tokenizer& tokenizer, std::span<const Message> messages,
                                 bool add_generation_prompt) {
  check_messages(messages, "chat");
  Writer w{tokenizer, {}};
  switch (chat_format(tokenizer)) {
    case ChatFormat::kDeepSeekV3:
      write_deepseek_v3(w, messages, add_generation_prompt);
      break;
    case ChatFormat::kMoonshot:
      write_moonshot(w, messages, add_generation_prompt);
      break;
    case ChatFormat::kDeepSeekV2:
      write_deepseek_v2(w, messages, add_generation_prompt);
      break;
  }
  return w.ids;
}

}  // namespace frugal::text
