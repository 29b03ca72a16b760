// Chat templates of the family, natively: messages to text and to token ids.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "text/tokenizer.h"

namespace frugal::text {

struct ToolCall {
  std::string type = "function", name, arguments;  // arguments: JSON text
};

struct Message {
  std::string role;                       // "system", "user", "assistant", "tool" (a call's result)
  std::string content;                    // UTF-8; control tokens written in it stay ordinary text
  std::vector<ToolCall> tool_calls = {};  // of an assistant's message
};

// Control tokens of DeepSeek-V3's template: BOS, system text, then <｜User｜>question<｜Assistant｜>answer
// EOS per turn.
inline constexpr const char* kUserToken = "<｜User｜>";
inline constexpr const char* kAssistantToken = "<｜Assistant｜>";

enum class ChatFormat {
  kDeepSeekV3,   // V3, V3-0324, models trained by frugal: <｜User｜>question<｜Assistant｜>answer EOS
  kDeepSeekR1,   // the same, and <think>\n behind the last <｜Assistant｜> where the assistant is to think
  kDeepSeekV31,  // <｜Assistant｜></think>answer, thoughts dropped; <think> last where it is to think
  kDeepSeekV2,   // V2, V2-Lite: "User: ...\n\nAssistant: ..."
  kMoonshot,     // Moonlight, Kimi-K2: <|im_user|>user<|im_middle|>question<|im_end|>
};
const char* chat_format_name(ChatFormat format);

// A format, and the points in which the published files of one format differ.
struct ChatTemplate {
  ChatFormat format = ChatFormat::kDeepSeekV3;
  bool drops_thoughts = false;      // R1: an answer in the history begins behind its last </think>
  bool think_by_default = false;    // R1, later files: the generation prompt ends with <think>\n
  bool answers_open_early = false;  // V3-0324, R1-0528: <｜Assistant｜> right behind every question
  bool calls_left_open = false;  // V3, first R1: the end of the tool calls is written from the second call on
  std::string output_separator = "\n";  // V3, R1: between the results of tools
  std::string default_system = {};      // Moonshot: the system message of a chat that has none
};

// The template that a model's files ask for: chat_template.jinja or the chat_template of
// tokenizer_config.json; without one, what the tokens say. Throws Error for a template that is none of these.
ChatTemplate chat_template(const Tokenizer& tokenizer);
// From the text of a template; `where` is for messages.
ChatTemplate parse_chat_template(std::string_view jinja, const std::string& where);
// What training frames conversations with, from the tokens alone: V3's with <｜User｜> and <｜Assistant｜>,
// Moonshot's with <|im_user|>, else V2's. Nothing is dropped or added: a conversation is learnt as written.
ChatTemplate training_template(const Tokenizer& tokenizer);

// The tokens that end an answer, EOS included; none of them is -1.
std::vector<int32_t> chat_stop_tokens(const Tokenizer& tokenizer, const ChatTemplate& chat);

// Throws Error: an unknown role, a system message that is not the first, user and assistant not in turn.
void check_messages(std::span<const Message> messages, const std::string& where);

// The messages as DeepSeek-V3's template writes them, BOS and the last EOS left out: for people, and for
// training a tokenizer.
std::string chat_text(std::span<const Message> messages);

enum class Thinking { kDefault, kOn, kOff };  // kDefault: as the template does when it is told nothing
// Throws Error for kOn where the template has no thinking.
void check_thinking(const ChatTemplate& chat, Thinking thinking, const std::string& where);

struct RenderOptions {
  bool generation_prompt = false;  // end where the assistant is to speak
  Thinking thinking = Thinking::kDefault;
};

// The messages as the template writes them, control tokens and BOS spelt out. Throws Error for an unknown
// role, and for tools where the template has none.
std::string render_chat(const Tokenizer& tokenizer, const ChatTemplate& chat,
                        std::span<const Message> messages, const RenderOptions& options);
// The same as ids. They are those of the rendered text, but for control tokens that stand in a message.
std::vector<int32_t> encode_chat(const Tokenizer& tokenizer, const ChatTemplate& chat,
                                 std::span<const Message> messages, const RenderOptions& options);

}  // namespace frugal::text
