#include "data/tokenize.h"

#include <xxhash.h>

#include <algorithm>
#include <utility>

#include "base/error.h"
#include "data/fim.h"

namespace frugal::data {

TextEncoder encoder_of(const text::Tokenizer& tokenizer, double fim_rate) {
  TextEncoder e;
  e.encode = [tokenizer](std::string_view s) { return tokenizer.encode(s, false); };
  e.encode_chat = [tokenizer, chat = text::training_template(tokenizer)](std::span<const text::Message> m) {
    return text::encode_chat(tokenizer, chat, m, {});
  };
  e.bos_id = tokenizer.bos_id();
  e.eos_id = tokenizer.eos_id();
  e.fim_rate = fim_rate;
  e.fim_begin_id = tokenizer.find_added(kFimBegin);
  e.fim_hole_id = tokenizer.find_added(kFimHole);
  e.fim_end_id = tokenizer.find_added(kFimEnd);
  if (fim_rate > 0 && (e.fim_begin_id < 0 || e.fim_hole_id < 0 || e.fim_end_id < 0))
    fail("fim_rate",
         fmt::format("{} needs a tokenizer with {}, {} and {}", fim_rate, kFimBegin, kFimHole, kFimEnd),
         "name another tokenizer, train one with these tokens, or set fim_rate to 0");
  return e;
}

namespace {
// Packed rows use -1 for "no token": a negative id would silently become a hole in the text.
std::vector<int32_t> checked(std::vector<int32_t> ids, const Document& document) {
  for (const int32_t id : ids)
    FRUGAL_ASSERT(id >= 0, "the encoder returned id {} in {}", id, document.source);
  return ids;
}

void append(std::vector<int32_t>* ids, int32_t id) {
  if (id >= 0) ids->push_back(id);
}
}  // namespace

std::vector<int32_t> encode_document(const Document& document, const TextEncoder& encoder) {
  if (!document.messages.empty()) return checked(encoder.encode_chat(document.messages), document);
  std::vector<int32_t> ids = encoder.encode(document.text);
  if (encoder.bos_id >= 0) ids.insert(ids.begin(), encoder.bos_id);
  append(&ids, encoder.eos_id);
  return checked(std::move(ids), document);
}

std::vector<int32_t> encode_fim(const Document& document, const TextEncoder& encoder) {
  if (!document.messages.empty()) return {};
  const std::string_view text = document.text;
  const auto cuts = draw_fim(text, text_hash(text), encoder.fim_rate);
  if (!cuts) return {};
  std::vector<int32_t> ids;
  const auto append_text = [&](std::string_view part) {
    const std::vector<int32_t> of_part = encoder.encode(part);
    ids.insert(ids.end(), of_part.begin(), of_part.end());
  };
  append(&ids, encoder.bos_id);
  append(&ids, encoder.fim_begin_id);
  append_text(text.substr(0, cuts->middle));
  append(&ids, encoder.fim_hole_id);
  append_text(text.substr(cuts->suffix));
  append(&ids, encoder.fim_end_id);
  append_text(text.substr(cuts->middle, cuts->suffix - cuts->middle));
  append(&ids, encoder.eos_id);
  return checked(std::move(ids), document);
}

int64_t content_bytes(const Document& document) {
  if (document.messages.empty()) return static_cast<int64_t>(document.text.size());
  int64_t bytes = 0;
  for (const text::Message& m : document.messages) bytes += static_cast<int64_t>(m.content.size());
  return bytes;
}

void TokenizedDocuments::add(std::span<const int32_t> document, uint64_t text_hash, int64_t content) {
  documents.push_back(document);
  tokens += static_cast<int64_t>(document.size());
  bytes += content;
  const uint64_t parts[2] = {text_hash, document.size()};
  identity = XXH64(parts, sizeof parts, identity);
}

void append_tokens(const std::vector<Document>& documents, const TextEncoder& encoder, ThreadPool& pool,
                   TokenizedDocuments* out) {
  std::vector<std::vector<int32_t>> encoded(documents.size());
  pool.run(static_cast<int64_t>(documents.size()), [&](int64_t i, int) {
    encoded[i] = encode_fim(documents[i], encoder);
    if (encoded[i].empty()) encoded[i] = encode_document(documents[i], encoder);
  });
  // One block: a vector per document would cost more than the tokens of short ones.
  size_t total = 0;
  for (const auto& ids : encoded) total += ids.size();
  auto block = std::make_shared<std::vector<int32_t>>();
  block->reserve(total);
  for (size_t i = 0; i < documents.size(); ++i) {
    const size_t begin = block->size();
    block->insert(block->end(), encoded[i].begin(), encoded[i].end());
    encoded[i] = {};
    out->add(std::span<const int32_t>(*block).subspan(begin), text_hash(documents[i].text),
             content_bytes(documents[i]));
  }
  out->storage.push_back(std::move(block));
}

}  // namespace frugal::data
