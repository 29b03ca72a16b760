// A document: what training sees as one text.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "text/chat.h"

namespace frugal::data {

struct Document {
  std::string text;    // valid UTF-8, not blank; of a conversation: as the chat template writes it
  std::string source;  // "file", or "file:line" (1-based) where the document starts inside a file
  std::vector<text::Message> messages = {};  // a conversation
};

// XXH64, seed 0: decides on which side of a split a document stands, what counts as equal, where FIM cuts.
uint64_t text_hash(std::string_view text);

bool is_blank(std::string_view text);

// One line of a .jsonl file: an object whose string field `text_field` is a document (other fields are
// ignored), or whose array `messages` is a conversation ({"role": "user" | "assistant" | "system", "content":
// "..."}). Throws Error otherwise.
Document parse_jsonl_line(const std::string& where, std::string_view line, const std::string& text_field);

}  // namespace frugal::data
