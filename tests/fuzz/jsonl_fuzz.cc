// libFuzzer: DocumentReader on any bytes as a .jsonl file and as a text with a separator. What it gives out
// is valid text, and everything is accounted for.
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>

#include "base/error.h"
#include "data/document_reader.h"
#include "text/utf8.h"

namespace {

void check(bool condition, const char* what) {
  if (condition) return;
  std::fprintf(stderr, "%s\n", what);
  std::abort();
}

void read_all(const std::string& path, const frugal::data::ReadOptions& options) {
  frugal::data::DocumentReader reader({path}, options);
  int64_t documents = 0;
  for (frugal::data::Document d; reader.next(&d); ++documents) {
    check(!frugal::data::is_blank(d.text), "a blank document");
    check(frugal::text::well_formed_prefix(d.text) == d.text.size(), "a document that is not UTF-8");
  }
  check(documents == reader.report().documents, "documents are not counted");
  frugal::data::left_out_text(reader.report());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string path = "/tmp/frugal_jsonl_fuzz_" + std::to_string(::getpid());
  for (const char* ending : {".jsonl", ".txt", ".jsonl.gz", ".txt.zst"}) {
    const std::string name = path + ending;
    std::FILE* f = std::fopen(name.c_str(), "wb");
    if (f == nullptr) return 0;
    const bool written = size == 0 || std::fwrite(data, 1, size, f) == size;
    std::fclose(f);
    if (written) {
      frugal::data::ReadOptions options;
      options.separator = "--";
      read_all(name, options);
      options.strict = true;
      try {
        read_all(name, options);
      } catch (const frugal::Error&) {
        // The right answer to a file that is wrong.
      }
    }
    std::remove(name.c_str());
  }
  return 0;
}
