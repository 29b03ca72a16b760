// Document packing (DeepSeek-V3 report, section 4.1; Ding et al. 2024, "Fewer Truncations Improve Language
// Modeling"): documents are packed whole into rows of `length` tokens, best fit decreasing, without
// cross-document masking. Only a document longer than a row is cut, into pieces of `length` tokens.
//
// A row stores length + 2 slots. Slots [0, length) are the inputs; position i predicts slot i + 1 (main head)
// and slot i + 2 (the MTP head, section 2.2), hence the two look-ahead slots at the end. A slot is -1 where
// there is no token: as a target "no target", as an input "padding" (the consumer maps it to a valid id). So:
//  - inside a row the token after a document's EOS is the next document's BOS, and it counts as a target;
//  - free slots at the end of a row are -1;
//  - the look-ahead of a full row that ends inside a document continues that document, otherwise it is -1.
// A piece that its document continues elsewhere is always the last one of its row, because what follows it
// must not be another text. If such a row is not full, the piece's last token has no target and the one
// before it no MTP target (at most once per cut document).
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "data/tokenize.h"

namespace frugal::data {

inline constexpr int32_t kNoToken = -1;
inline constexpr int64_t kLookAhead = 2;  // slots of a row behind its inputs

// Makes the packing of every epoch a different one: the first piece of a cut document gets a length drawn
// from [1, length], and documents meet other neighbours. Without it (validation) cuts are at multiples of the
// length.
struct Variation {
  uint64_t seed = 0;
  int64_t epoch = 0;
};

struct Piece {
  int64_t document = 0;    // index into TokenizedDocuments::documents
  int64_t begin = 0;       // token of the document
  int64_t length = 0;      // tokens
  bool continues = false;  // the document goes on behind it
};

// Which piece lies in which row: small beside the tokens, so that an epoch's rows need not be held in memory.
struct Packing {
  int64_t length = 0;                     // inputs per row
  std::vector<Piece> pieces;              // in the order in which they lie in the rows
  std::vector<int64_t> row_starts = {0};  // [rows + 1]: row r is pieces [row_starts[r], row_starts[r + 1])

  int64_t rows() const { return static_cast<int64_t>(row_starts.size()) - 1; }
};

// The documents that an epoch of a mixture sees, in their order (data/sources.h has the rule): source s gives
// its share of the tokens, documents in a random order that is drawn anew for every pass over the source; an
// epoch goes on where the one before it ended. Without weights: all documents. A pure function.
std::vector<int64_t> epoch_documents(const TokenizedDocuments& documents,
                                     const std::optional<Variation>& variation);

// A pure function of its arguments. With variation, the epoch's documents of a mixture. Throws Error: length
// < 1, documents without a token.
Packing plan_rows(const TokenizedDocuments& documents, int64_t length,
                  const std::optional<Variation>& variation = std::nullopt);

// Writes the length + 2 slots of one row of a packing of these documents.
void fill_row(const TokenizedDocuments& documents, const Packing& packing, int64_t row,
              std::span<int32_t> slots);

struct Rows {
  int64_t length = 0;           // inputs per row
  std::vector<int32_t> tokens;  // [count, length + 2], -1 = none
  int64_t count = 0;            // rows
};

// plan_rows and fill_row for all rows: validation sets, whole corpora that are small.
Rows pack_rows(const TokenizedDocuments& documents, int64_t length,
               const std::optional<Variation>& variation = std::nullopt);

}  // namespace frugal::data
