#include "text/chat.h"

#include "base/error.h"

namespace frugal::text {

std::vector<int32_t> chat_stop_tokens(const Tokenizer& t, const ChatTemplate& chat) {
  std::vector<int32_t> stops;
  if (t.eos_id() >= 0) stops.push_back(t.eos_id());
  if (chat.format == ChatFormat::kMoonshot && t.find_added("<|im_end|>") >= 0)
    stops.push_back(t.find_added("<|im_end|>"));
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

void check_thinking(const ChatTemplate& chat, Thinking thinking, const std::string& where) {
  const bool has = chat.format == ChatFormat::kDeepSeekR1 || chat.format == ChatFormat::kDeepSeekV31;
  if (thinking == Thinking::kOn && !has)
    fail(where,
         fmt::format("the chat template of this model, {}'s, has no thinking", chat_format_name(chat.format)),
         "leave it out, or use R1 or V3.1");
}

namespace {
constexpr const char* kCallsBegin = "<｜tool▁calls▁begin｜>";
constexpr const char* kCallsEnd = "<｜tool▁calls▁end｜>";
constexpr const char* kCallBegin = "<｜tool▁call▁begin｜>";
constexpr const char* kCallEnd = "<｜tool▁call▁end｜>";
constexpr const char* kSeparator = "<｜tool▁sep｜>";
constexpr const char* kOutputsBegin = "<｜tool▁outputs▁begin｜>";
constexpr const char* kOutputsEnd = "<｜tool▁outputs▁end｜>";
constexpr const char* kOutputBegin = "<｜tool▁output▁begin｜>";
constexpr const char* kOutputEnd = "<｜tool▁output▁end｜>";

// Text and control tokens in turn. Text that meets text is one piece: a tokenizer may merge across the seam.
struct Part {
  std::string text;
  int32_t id = -1;  // of a control token
};

class Writer {
 public:
  explicit Writer(const Tokenizer& tokenizer) : tokenizer_(tokenizer) {}
  std::vector<Part> parts;

  Writer& text(const std::string& s) {
    if (parts.empty() || parts.back().id >= 0) parts.push_back({});
    parts.back().text += s;
    return *this;
  }
  Writer& control(const char* token) {
    const int32_t id = tokenizer_.find_added(token);
    if (id < 0)
      fail("chat", fmt::format("the tokenizer has no token {}, which the chat template writes", token),
           "use the model's own tokenizer");
    parts.push_back({token, id});
    return *this;
  }
  // <think> and </think> are tokens in R1 and V3.1; the tokenizers before them spell them out.
  Writer& think(const char* tag) { return tokenizer_.find_added(tag) >= 0 ? control(tag) : text(tag); }
  // BOS or EOS; nothing where the tokenizer has none.
  Writer& id(int32_t token) {
    if (token >= 0) parts.push_back({tokenizer_.token_text(token), token});
    return *this;
  }
  Writer& bos() { return id(tokenizer_.bos_id()); }
  Writer& eos() { return id(tokenizer_.eos_id()); }

 private:
  const Tokenizer& tokenizer_;
};

[[noreturn]] void no_tools(const ChatTemplate& chat) {
  fail("chat",
       fmt::format("tool calls and results are not written for {}'s template",
                   chat_format_name(chat.format)),
       "leave them out, or use DeepSeek-V3, R1 or V3.1");
}

void check_roles(const ChatTemplate& chat, std::span<const Message> messages) {
  const bool tools = chat.format != ChatFormat::kDeepSeekV2 && chat.format != ChatFormat::kMoonshot;
  if (messages.empty()) fail("chat", "there is no message", "give at least a user's message");
  for (size_t i = 0; i < messages.size(); ++i) {
    const Message& m = messages[i];
    if (m.role != "system" && m.role != "user" && m.role != "assistant" && m.role != "tool")
      fail("chat", fmt::format("message {} has the role '{}'", i + 1, m.role),
           "use system, user, assistant or tool");
    if (!tools && (m.role == "tool" || !m.tool_calls.empty())) no_tools(chat);
    if (!m.tool_calls.empty() && m.role != "assistant")
      fail("chat", fmt::format("message {} is the {}'s and calls tools", i + 1, m.role),
           "only the assistant may");
    // V3's template would drop the calls without a word.
    if (!m.tool_calls.empty() && chat.calls_left_open && !m.content.empty())
      fail("chat", fmt::format("message {} has text and tool calls; this template writes one of them", i + 1),
           "leave its text out");
  }
}

// V3's, R1's and V3.1's: the system messages stand together in front, without a mark.
void write_systems(Writer& w, std::span<const Message> messages) {
  w.bos();
  bool first = true;
  for (const Message& m : messages) {
    if (m.role != "system") continue;
    w.text((first ? "" : "\n\n") + m.content);
    first = false;
  }
}

// DeepSeek-V3's and R1's template. The names of the state are those of its namespace `ns`.
class V3Writer {
 public:
  V3Writer(Writer& w, const ChatTemplate& chat) : w_(w), chat_(chat) {}

  void message(const Message& m) {
    const bool early = chat_.answers_open_early;
    if (m.role == "user") {
      is_tool_ = false;
      w_.control(kUserToken).text(m.content);
      if (early) {
        is_first_ = false;
        w_.control(kAssistantToken);
      }
    } else if (m.role == "assistant" && !m.tool_calls.empty()) {
      calls(m);
    } else if (m.role == "assistant") {
      answer(m.content);
    } else if (m.role == "tool") {
      output(m.content);
    }
    if (m.role != "system") is_last_user_ = m.role == "user";
  }

  void end(const RenderOptions& o) {
    if (is_tool_) w_.control(kOutputsEnd);  // the assistant goes on behind it
    if (is_tool_ || !o.generation_prompt) return;
    if (!(chat_.answers_open_early && is_last_user_)) w_.control(kAssistantToken);
    const bool think =
        o.thinking == Thinking::kDefault ? chat_.think_by_default : o.thinking == Thinking::kOn;
    if (think) w_.think("<think>").text("\n");
  }

 private:
  void calls(const Message& m) {
    if (chat_.answers_open_early) {
      if (is_tool_) w_.control(kOutputsEnd);
      is_first_ = false;
      is_output_first_ = true;
    }
    is_tool_ = false;
    const auto end = [&] { w_.control(kCallsEnd).eos(); };
    for (const ToolCall& call : m.tool_calls) {
      const bool further = is_first_;
      if (further) {
        w_.text("\n");
      } else {
        if (!chat_.answers_open_early) w_.control(kAssistantToken);
        w_.text(m.content).control(kCallsBegin);
        is_first_ = true;
      }
      w_.control(kCallBegin).text(call.type).control(kSeparator);
      w_.text(call.name + "\n```json\n" + call.arguments + "\n```").control(kCallEnd);
      if (further && chat_.calls_left_open) end();
    }
    if (!chat_.calls_left_open) end();
  }

  void answer(const std::string& content) {
    if (is_tool_) {
      w_.control(kOutputsEnd).text(content).eos();
      is_tool_ = false;
      return;
    }
    if (!chat_.answers_open_early) w_.control(kAssistantToken);
    const size_t thoughts = chat_.drops_thoughts ? content.rfind("</think>") : std::string::npos;
    w_.text(thoughts == std::string::npos ? content : content.substr(thoughts + 8)).eos();
  }

  void output(const std::string& content) {
    is_tool_ = true;
    if (is_output_first_)
      w_.control(kOutputsBegin);
    else
      w_.text(chat_.output_separator);
    is_output_first_ = false;
    w_.control(kOutputBegin).text(content).control(kOutputEnd);
  }

  Writer& w_;
  const ChatTemplate& chat_;
  bool is_first_ = false;  // as in the template: true behind the first call
  bool is_tool_ = false, is_output_first_ = true, is_last_user_ = false;
};

void write_deepseek_v3(Writer& w, const ChatTemplate& chat, std::span<const Message> messages,
                       const RenderOptions& o) {
  write_systems(w, messages);
  V3Writer v3(w, chat);
  for (const Message& m : messages) v3.message(m);
  v3.end(o);
}

// V3.1's: only the answer to a user opens with <｜Assistant｜></think>; calls follow each other directly.
void write_deepseek_v31(Writer& w, std::span<const Message> messages, const RenderOptions& o) {
  write_systems(w, messages);
  bool is_tool = false, is_last_user = false;
  for (const Message& m : messages) {
    if (m.role == "system") continue;
    if (m.role == "user") w.control(kUserToken).text(m.content);
    if (m.role == "tool") w.control(kOutputBegin).text(m.content).control(kOutputEnd);
    if (m.role == "assistant") {
      if (is_last_user) w.control(kAssistantToken).think("</think>");
      // Its template cuts behind the first </think>, R1's behind the last.
      const size_t thoughts =
          is_tool || !m.tool_calls.empty() ? std::string::npos : m.content.find("</think>");
      w.text(thoughts == std::string::npos ? m.content : m.content.substr(thoughts + 8));
      if (!m.tool_calls.empty()) w.control(kCallsBegin);
      for (const ToolCall& call : m.tool_calls)
        w.control(kCallBegin).text(call.name).control(kSeparator).text(call.arguments).control(kCallEnd);
      if (!m.tool_calls.empty()) w.control(kCallsEnd);
      w.eos();
    }
    is_last_user = m.role == "user";
    is_tool = m.role == "tool";
  }
  if (o.generation_prompt && !is_tool)
    w.control(kAssistantToken).think(o.thinking == Thinking::kOn ? "<think>" : "</think>");
}

// <|im_user|>user<|im_middle|>text<|im_end|>
void write_moonshot(Writer& w, const ChatTemplate& chat, std::span<const Message> messages,
                    const RenderOptions& o) {
  const auto head = [&](const std::string& role) {
    w.control(("<|im_" + role + "|>").c_str()).text(role).control("<|im_middle|>");
  };
  const auto message = [&](const std::string& role, const std::string& content) {
    head(role);
    w.text(content).control("<|im_end|>");
  };
  if (!chat.default_system.empty() && messages[0].role != "system") message("system", chat.default_system);
  for (const Message& m : messages) message(m.role, m.content);
  if (o.generation_prompt) head("assistant");
}

void write_deepseek_v2(Writer& w, std::span<const Message> messages, const RenderOptions& o) {
  w.bos();
  for (const Message& m : messages) {
    if (m.role == "assistant")
      w.text("Assistant: " + m.content).eos();
    else
      w.text((m.role == "user" ? "User: " : "") + m.content + "\n\n");
  }
  if (o.generation_prompt) w.text("Assistant:");
}

std::vector<Part> write(const Tokenizer& tokenizer, const ChatTemplate& chat,
                        std::span<const Message> messages, const RenderOptions& options) {
  check_roles(chat, messages);
  check_thinking(chat, options.thinking, "chat");
  Writer w(tokenizer);
  switch (chat.format) {
    case ChatFormat::kDeepSeekV3:
    case ChatFormat::kDeepSeekR1:
      write_deepseek_v3(w, chat, messages, options);
      break;
    case ChatFormat::kDeepSeekV31:
      write_deepseek_v31(w, messages, options);
      break;
    case ChatFormat::kMoonshot:
      write_moonshot(w, chat, messages, options);
      break;
    case ChatFormat::kDeepSeekV2:
      write_deepseek_v2(w, messages, options);
      break;
  }
  return std::move(w.parts);
}
}  // namespace

std::string render_chat(const Tokenizer& tokenizer, const ChatTemplate& chat,
                        std::span<const Message> messages, const RenderOptions& options) {
  std::string text;
  for (const Part& part : write(tokenizer, chat, messages, options)) text += part.text;
  return text;
}

std::vector<int32_t> encode_chat(const Tokenizer& tokenizer, const ChatTemplate& chat,
                                 std::span<const Message> messages, const RenderOptions& options) {
  std::vector<int32_t> ids;
  for (const Part& part : write(tokenizer, chat, messages, options)) {
    if (part.id >= 0) {
      ids.push_back(part.id);
      continue;
    }
    const std::vector<int32_t> more = tokenizer.encode(part.text, false);
    ids.insert(ids.end(), more.begin(), more.end());
  }
  return ids;
}

}  // namespace frugal::text
