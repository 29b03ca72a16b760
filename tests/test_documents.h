// Tokenised documents for tests.
#pragma once

#include <memory>
#include <numeric>
#include <vector>

#include "data/tokenize.h"

namespace frugal::test {

// Documents of these lengths; the tokens are numbered from 0 through all of them.
inline data::TokenizedDocuments numbered_documents(const std::vector<int64_t>& lengths) {
  auto tokens =
      std::make_shared<std::vector<int32_t>>(std::accumulate(lengths.begin(), lengths.end(), int64_t{0}));
  std::iota(tokens->begin(), tokens->end(), 0);
  data::TokenizedDocuments documents;
  int64_t begin = 0;
  for (const int64_t n : lengths) {
    documents.add(std::span<const int32_t>(*tokens).subspan(begin, n), static_cast<uint64_t>(begin), 0);
    begin += n;
  }
  documents.storage.push_back(tokens);
  return documents;
}

}  // namespace frugal::test
