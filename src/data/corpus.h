// Text files to documents, and documents to a training and a validation part.
//
// Formats: a `.jsonl` file holds one JSON object per line, whose string field `text` is a document (other
// fields are ignored, as are blank lines), or whose array `messages` is a conversation ({"role": "user" |
// "assistant" | "system", "content": "..."}). Every other file is UTF-8 text: one document, or several with
// `separator`. Text is taken as it is, byte for byte, except that a byte order mark at the start of a file is
// dropped.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "text/chat.h"

namespace frugal::data {

struct Document {
  std::string text;    // valid UTF-8, not blank; of a conversation: as the chat template writes it
  std::string source;  // "file", or "file:line" (1-based) where the document starts inside a file
  std::vector<text::Message> messages = {};  // a conversation
};

struct CorpusOptions {
  std::string separator;             // between documents of a text file, e.g. "<|endoftext|>"; empty: none
  double validation_fraction = 0.1;  // of the bytes, in [0, 0.5]; 0: no validation part
};

struct Corpus {
  std::vector<Document> train;
  std::vector<Document> validation;
  int64_t skipped_blank = 0;  // documents of white space only, left out
};

// The files among `paths` and inside the folders among them (all levels, sorted, hidden ones left out). In
// folders, files that are empty or not UTF-8 text are left out and counted in a warning. Throws Error: a path
// that does not exist, no text.
std::vector<std::string> text_files(const std::vector<std::string>& paths);

// The documents of the files, in the order of the files. `skipped_blank`, if given, grows by the blank
// documents. Throws Error: no path, a missing file, a directory, an empty file, a NUL byte or invalid UTF-8
// (line and byte offset), a JSONL line that is neither of the two (line), no usable document
// at all.
std::vector<Document> read_documents(const std::vector<std::string>& paths, const CorpusOptions& options,
                                     int64_t* skipped_blank = nullptr);

// Splits documents, deterministically. Several: whole documents go to validation, chosen by a hash of their
// text (so equal documents are never on both sides), until they hold validation_fraction of the bytes; at
// least one document on each side; a document larger than that share is never chosen while a smaller one
// exists. One: its end, cut at the line end nearest to that share; where no line end leaves it at least half,
// at a character. Throws Error: a fraction outside [0, 0.5], several documents that are all equal, one too
// short to cut.
Corpus split_documents(std::vector<Document> documents, const CorpusOptions& options);

// read_documents, then split_documents.
Corpus load_corpus(const std::vector<std::string>& paths, const CorpusOptions& options);

}  // namespace frugal::data
