// Packing of a corpus into rows by the product (best fit), by first fit and by plain concatenation: padding
// and documents that are cut. And what the loader costs per batch. frugal_bench_packing TOKENIZER LENGTH
// DATA...
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/progress.h"
#include "data/corpus.h"
#include "data/loader.h"
#include "data/tokenize.h"
#include "text/tokenizer.h"

namespace {

struct Figures {
  int64_t rows = 0, cut = 0;
};

// The first row with room for each piece, in the order of the documents; documents longer than a row are cut
// as the product does. A tree of maxima over the rows' free slots finds the row.
Figures first_fit(const std::vector<int64_t>& lengths, int64_t length) {
  size_t leaves = 1;
  int64_t pieces = 0;
  for (const int64_t n : lengths) pieces += (n + length - 1) / length;
  while (leaves < static_cast<size_t>(pieces)) leaves *= 2;
  std::vector<int64_t> room(2 * leaves, length);
  Figures f;
  for (const int64_t n : lengths) {
    f.cut += n > length;
    for (int64_t rest = n; rest > 0; rest -= length) {
      const int64_t piece = std::min(rest, length);
      size_t at = 1;
      while (at < leaves) at = room[2 * at] >= piece ? 2 * at : 2 * at + 1;
      f.rows = std::max(f.rows, static_cast<int64_t>(at - leaves) + 1);
      room[at] -= piece;
      for (at /= 2; at > 0; at /= 2) room[at] = std::max(room[2 * at], room[2 * at + 1]);
    }
  }
  return f;
}

// All tokens in one stream, cut every `length` tokens.
Figures concatenation(const std::vector<int64_t>& lengths, int64_t length) {
  Figures f;
  int64_t at = 0;
  for (const int64_t n : lengths) {
    f.cut += n > 0 && at / length != (at + n - 1) / length;
    at += n;
  }
  f.rows = (at + length - 1) / length;
  return f;
}

void print(const char* name, const Figures& f, int64_t tokens, int64_t documents, int64_t length) {
  fmt::print("{:<14} {:>8} rows   padding {:>6.2f} %   documents cut {:>6.2f} %\n", name, f.rows,
             100 - 100 * static_cast<double>(tokens) / static_cast<double>(f.rows * length),
             100 * static_cast<double>(f.cut) / static_cast<double>(documents));
}

void run(int argc, char** argv) {
  using namespace frugal;
  const int64_t length = std::atoll(argv[2]);
  const text::Tokenizer tokenizer = text::Tokenizer::load(argv[1]);
  ThreadPool pool;
  data::TokenizedDocuments documents;
  data::append_tokens(data::read_documents(std::vector<std::string>(argv + 3, argv + argc), {}),
                      data::encoder_of(tokenizer, 0), pool, &documents);
  std::vector<int64_t> lengths;
  for (const auto& d : documents.documents) lengths.push_back(static_cast<int64_t>(d.size()));
  fmt::print("{} documents, {} tokens, rows of {}\n", documents.count(), documents.tokens, length);

  const data::Packing packing = data::plan_rows(documents, length);
  Figures best{packing.rows(), 0};
  std::vector<bool> cut(lengths.size(), false);
  for (const data::Piece& p : packing.pieces) cut[p.document] = cut[p.document] || p.continues;
  best.cut = std::count(cut.begin(), cut.end(), true);
  print("best fit", best, documents.tokens, documents.count(), length);
  print("first fit", first_fit(lengths, length), documents.tokens, documents.count(), length);
  print("concatenation", concatenation(lengths, length), documents.tokens, documents.count(), length);

  constexpr int64_t kBatch = 8;
  data::Loader loader(std::move(documents), length, kBatch, 1);
  const auto start = std::chrono::steady_clock::now();
  const int64_t batches = std::max<int64_t>(1, loader.rows() / kBatch) * 3;  // three epochs
  for (int64_t b = 0; b < batches; ++b) loader.next();
  const double seconds = seconds_since(start);
  fmt::print("loader         {:.1f} us per batch of {} rows, packing of the epochs included\n",
             seconds / static_cast<double>(batches) * 1e6, kBatch);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 4) {
    std::fprintf(stderr, "usage: frugal_bench_packing TOKENIZER LENGTH DATA...\n");
    return 2;
  }
  try {
    run(argc, argv);
  } catch (const frugal::Error& e) {
    std::fprintf(stderr, "%s\n", e.what());
    return 1;
  }
  return 0;
}
