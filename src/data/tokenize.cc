#include "data/tokenize.h"

#include "base/error.h"

namespace frugal::data {

namespace {
std::vector<int32_t> framed(const Document& document, const TextEncoder& encoder) {
  if (!document.messages.empty()) return encoder.encode_chat(document.messages);
  std::vector<int32_t> ids = encoder.encode(document.text);
  if (encoder.bos_id >= 0) ids.insert(ids.begin(), encoder.bos_id);
  if (encoder.eos_id >= 0) ids.push_back(encoder.eos_id);
  return ids;
}

int64_t text_bytes(const Document& document) {
  if (document.messages.empty()) return static_cast<int64_t>(document.text.size());
  int64_t bytes = 0;
  for (const text::Message& m : document.messages) bytes += static_cast<int64_t>(m.content.size());
  return bytes;
}
}  // namespace

TokenizedDocuments tokenize(const std::vector<Document>& documents, const TextEncoder& encoder) {
  TokenizedDocuments out;
  out.starts.reserve(documents.size() + 1);
  for (const Document& document : documents) {
    for (const int32_t id : framed(document, encoder)) {
      // Packed rows use -1 for "no token": a negative id would silently become a hole in the text.
      FRUGAL_ASSERT(id >= 0, "the encoder returned id {} in document {}", id, out.count());
      out.tokens.push_back(id);
    }
    out.starts.push_back(static_cast<int64_t>(out.tokens.size()));
    out.bytes += text_bytes(document);
  }
  return out;
}

}  // namespace frugal::data
