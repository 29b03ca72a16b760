#include "data/tokenize.h"

#include "base/error.h"

namespace frugal::data {

TokenizedDocuments tokenize(const std::vector<std::string>& documents, const TextEncoder& encoder) {
  TokenizedDocuments out;
  out.starts.reserve(documents.size() + 1);
  for (const std::string& text : documents) {
    if (encoder.bos_id >= 0) out.tokens.push_back(encoder.bos_id);
    for (const int32_t id : encoder.encode(text)) {
      // Packed rows use -1 for "no token": a negative id would silently become a hole in the text.
      FRUGAL_ASSERT(id >= 0, "the encoder returned id {} in document {}", id, out.count());
      out.tokens.push_back(id);
    }
    if (encoder.eos_id >= 0) out.tokens.push_back(encoder.eos_id);
    out.starts.push_back(static_cast<int64_t>(out.tokens.size()));
    out.bytes += static_cast<int64_t>(text.size());
  }
  return out;
}

}  // namespace frugal::data
