// Texts to documents in memory, and documents to a training and a validation part.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "data/dedupe.h"
#include "data/document_reader.h"
#include "data/sources.h"

namespace frugal::data {

struct CorpusOptions {
  ReadOptions read;
  std::vector<std::string> extensions;  // of files in folders (sources.h); empty: all
  Dedupe dedupe = Dedupe::kNone;
  double validation_fraction = 0.1;  // of the bytes, in [0, 0.5]; 0: no validation part
};

struct Corpus {
  std::vector<Document> train;
  std::vector<Document> validation;
};

// The documents of a source of texts, appended in the order of its files. `seen` outlives the sources of a
// corpus, so that duplicates are found across them. Throws Error as DocumentReader does.
void read_source(const Source& source, const CorpusOptions& options, SeenDocuments* seen,
                 std::vector<Document>* documents, ReadReport* report);

// The documents of all sources (sources.h). What is left out is told in `report` alone. Throws Error also when
// there is none, and for shards.
std::vector<Document> read_documents(const std::vector<std::string>& data, const CorpusOptions& options,
                                     ReadReport* report = nullptr);

// What the split looks at.
struct DocumentKey {
  uint64_t hash = 0;   // text_hash
  uint64_t bytes = 0;  // of the text
};
// Which of several documents go to validation, deterministically: chosen by their hash (so equal documents
// are never on both sides, and the order does not matter), until they hold `fraction` of the bytes; at least
// one document on each side; a document larger than that share is never chosen while a smaller one exists.
// `data` is for the message. Throws Error: documents that are all equal.
std::vector<bool> choose_validation(std::span<const DocumentKey> documents, double fraction,
                                    const std::string& data);

// Throws Error for a fraction outside [0, 0.5].
void check_fraction(double fraction);

// Several documents: as choose_validation says. One: its end, cut at the line end nearest to that share;
// where no line end leaves it at least half, at a character. Throws Error: a fraction outside [0, 0.5],
// several documents that are all equal, one too short to cut.
Corpus split_documents(std::vector<Document> documents, double fraction);

}  // namespace frugal::data
