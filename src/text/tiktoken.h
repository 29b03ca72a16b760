// The tokenizer files of Moonlight and Kimi-K2: tiktoken.model, a line of base64 bytes and rank for every token,
// and tokenizer_config.json, which names the special tokens behind them. How text is cut is not in these files but
// in the class that tokenizer_config.json names ("tokenizer_class": "TikTokenTokenizer"), the same for both.
#pragma once

#include <string>
#include <string_view>

#include "text/tokenizer_json.h"

namespace frugal::text {

constexpr const char* kTiktokenFile = "tiktoken.model";

// The names are for messages. Throws Error for anything that is malformed, inconsistent or of another class.
TokenizerSpec parse_tiktoken(std::string_view ranks, const std::string& name, std::string_view config_json,
                             const std::string& config_name);

}  // namespace frugal::text
