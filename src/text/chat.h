// Chat templates of the family, natively: messages to token ids.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "text/tokenizer.h"

namespace frugal::text {

struct Message {
  std::string role;     // "system" (first only), "user", "assistant"
  std::string content;  // UTF-8; control tokens written in it stay ordinary text
};

// Control tokens of DeepSeek-V3's template: BOS, system text, then <｜User｜>question<｜Assistant｜>answer
// EOS per turn.
inline constexpr const char* kUserToken = "<｜User｜>";
inline constexpr const char* kAssistantToken = "<｜Assistant｜>";

// The format that a tokenizer's tokens ask for.
enum class ChatFormat {
  kDeepSeekV3,  // it has <｜User｜> and <｜Assistant｜> (V3, R1, V3.1, models trained by frugal)
  kMoonshot,    // it has <|im_user|> (Moonlight, Kimi-K2)
  kDeepSeekV2,  // it has neither: "User: ...\n\nAssistant: ..." (V2, V2-Lite)
};
ChatFormat chat_format(const Tokenizer& tokenizer);
// The tokens that end an answer, EOS included; none of them is -1.
std::vector<int32_t> chat_stop_tokens(const Tokenizer& tokenizer);

// Throws Error: an unknown role, a system message that is not the first, user and assistant not in turn.
void check_messages(std::span<const Message> messages, const std::string& where);

// The messages as DeepSeek-V3's template writes them, BOS and the last EOS left out: for people, and for
// training a tokenizer.
std::string chat_text(std::span<const Message> messages);

// Ids of checked messages, BOS first where there is one. An assistant's message ends with its end token. With
// `add_generation_prompt` the ids end where the assistant is to speak.
std::vector<int32_t> encode_chat(const Tokenizer& tokenizer, std::span<const Message> messages,
                                 bool add_generation_prompt);

}  // namespace frugal::text
