// Documents to token ids, framed for training: every document becomes BOS text EOS (DeepSeek-V3 report,
// section 4.1); a conversation is framed by its chat template, which begins and ends with the same two.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/threads.h"
#include "data/document.h"
#include "text/tokenizer.h"

namespace frugal::data {

// What is needed of a tokenizer. An id of -1 means that the tokenizer has no such token: it is left out.
struct TextEncoder {
  std::function<std::vector<int32_t>(std::string_view)> encode;  // text to ids >= 0, without BOS and EOS
  int32_t bos_id = -1;
  int32_t eos_id = -1;
  // Conversations, framed by the chat template (text/chat.h); may be empty when there are none.
  std::function<std::vector<int32_t>(std::span<const text::Message>)> encode_chat = {};
  // Fill in the middle (data/fim.h); the rate is a share of the documents, conversations left out.
  double fim_rate = 0;
  int32_t fim_begin_id = -1, fim_hole_id = -1, fim_end_id = -1;
};
// Throws Error: fim_rate > 0 and the tokenizer lacks FIM's control tokens.
TextEncoder encoder_of(const text::Tokenizer& tokenizer, double fim_rate);

// Errors of the encoder pass through. An encoder that returns a negative id is a programming error.
std::vector<int32_t> encode_document(const Document& document, const TextEncoder& encoder);
// The document with its middle last; empty when it is not chosen for that.
std::vector<int32_t> encode_fim(const Document& document, const TextEncoder& encoder);

// UTF-8 bytes of the text that a reader would count: of a conversation, its messages' contents.
int64_t content_bytes(const Document& document);

// Documents as tokens, wherever these lie: in memory, or in mapped shards (data/shards.h).
struct TokenizedDocuments {
  std::vector<std::span<const int32_t>> documents;   // framed: BOS and EOS included
  std::vector<std::shared_ptr<const void>> storage;  // what the spans point into
  int64_t tokens = 0;
  int64_t bytes = 0;      // content; bits per byte = nats per token * tokens / (bytes ln 2)
  uint64_t identity = 0;  // of all texts' hashes and lengths in tokens, in order
  // A mixture (data/sources.h): source s is documents [source_starts[s], source_starts[s + 1]). Empty: all
  // documents in every epoch.
  std::vector<double> weights;
  std::vector<int64_t> source_starts;

  int64_t count() const { return static_cast<int64_t>(documents.size()); }
  void add(std::span<const int32_t> document, uint64_t text_hash, int64_t content);
};

// Appends the documents. With encoder.fim_rate > 0 those that are chosen have their middle last.
void append_tokens(const std::vector<Document>& documents, const TextEncoder& encoder, ThreadPool& pool,
                   TokenizedDocuments* out);

}  // namespace frugal::data
