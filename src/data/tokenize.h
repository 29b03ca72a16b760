// Documents to token ids, framed for training: every document becomes BOS text EOS (DeepSeek-V3 report,
// section 4.1); a conversation is framed by its chat template, which begins and ends with the same two.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "data/corpus.h"

namespace frugal::data {

// What is needed of a tokenizer. An id of -1 means that the tokenizer has no such token: it is left out.
struct TextEncoder {
  std::function<std::vector<int32_t>(std::string_view)> encode;  // text to ids >= 0, without BOS and EOS
  int32_t bos_id = -1;
  int32_t eos_id = -1;
  // Conversations, framed by the chat template (text/chat.h); may be empty when there are none.
  std::function<std::vector<int32_t>(std::span<const text::Message>)> encode_chat = {};
};

struct TokenizedDocuments {
  std::vector<int32_t> tokens;        // all documents, one after the other, BOS and EOS included
  std::vector<int64_t> starts = {0};  // [count + 1]: document d is tokens [starts[d], starts[d + 1])
  int64_t bytes = 0;  // UTF-8 bytes of the text; bits per byte = nats per token * tokens / (bytes ln 2)

  int64_t count() const { return static_cast<int64_t>(starts.size()) - 1; }
};

// Errors of the encoder pass through. An encoder that returns a negative id is a programming error.
TokenizedDocuments tokenize(const std::vector<Document>& documents, const TextEncoder& encoder);

}  // namespace frugal::data
