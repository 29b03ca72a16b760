#include "data/corpus.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <string_view>
#include <tuple>
#include <utility>

#include "base/error.h"

namespace frugal::data {

void read_source(const Source& source, const CorpusOptions& options, SeenDocuments* seen,
                 std::vector<Document>* documents, ReadReport* report) {
  DocumentReader reader(source.files, options.read);
  ReadReport duplicates;
  for (Document document; reader.next(&document);) {
    const auto bands = options.dedupe == Dedupe::kNear ? near_bands(document.text) : std::vector<uint64_t>{};
    const SeenDocuments::Verdict verdict = seen->see(text_hash(document.text), bands);
    if (verdict == SeenDocuments::Verdict::kNew)
      documents->push_back(std::move(document));
    else
      duplicates.count(verdict == SeenDocuments::Verdict::kEqual ? LeftOut::kEqual : LeftOut::kAlike);
  }
  report->add(reader.report());
  report->add(duplicates);
}

std::vector<Document> read_documents(const std::vector<std::string>& data, const CorpusOptions& options,
                                     ReadReport* report) {
  ReadReport own;
  if (report == nullptr) report = &own;
  std::vector<Document> documents;
  SeenDocuments seen(options.dedupe);
  for (const Source& source : find_sources(data, options.extensions)) {
    if (source.shards) fail(source.path, "holds shards, not texts", "give the texts they were made from");
    read_source(source, options, &seen, &documents, report);
  }
  require_documents(*report, data[0]);
  return documents;
}

void check_fraction(double fraction) {
  if (!(fraction >= 0.0 && fraction <= 0.5))  // so written that NaN fails
    fail("validation_fraction", fmt::format("{} is outside [0, 0.5]", fraction), "0.1 is usual");
}

namespace {
constexpr std::string_view kWhiteSpace = " \t\r\n\v\f";

// Byte offset at which the validation part of a single document begins.
size_t cut_single(const Document& document, double fraction) {
  const std::string_view text = document.text;
  if (!document.messages.empty())
    fail(document.source, "the corpus is one conversation and cannot be split",
         "give more, or set validation_fraction=0");
  // White space at either end is no text: a part made of it would be blank.
  const size_t first = text.find_first_not_of(kWhiteSpace);
  const size_t last = text.find_last_not_of(kWhiteSpace);
  const size_t size = last + 1;
  const size_t target = size - static_cast<size_t>(std::ceil(fraction * static_cast<double>(size)));

  size_t best = 0;
  const auto consider = [&](size_t newline) {
    if (newline == std::string_view::npos) return;
    const size_t cut = newline + 1;
    if (newline < first || cut > last || 2 * cut < size) return;
    const auto distance = [&](size_t c) { return c > target ? c - target : target - c; };
    if (best == 0 || distance(cut) < distance(best)) best = cut;
  };
  if (target > 0) consider(text.rfind('\n', target - 1));
  consider(text.find('\n', target));
  if (best != 0) return best;

  size_t cut = std::max(target, first + 1);
  while (cut < size && (static_cast<uint8_t>(text[cut]) & 0xC0) == 0x80) ++cut;
  if (cut >= size) {  // the target lies in the last character: cut before it
    cut = last;
    while (cut > first && (static_cast<uint8_t>(text[cut]) & 0xC0) == 0x80) --cut;
  }
  if (cut <= first || cut >= size)
    fail(document.source, "the corpus is one document of one character and cannot be split",
         "give more text, or set validation_fraction=0");
  return cut;
}
}  // namespace

std::vector<bool> choose_validation(std::span<const DocumentKey> documents, double fraction,
                                    const std::string& data) {
  using Entry = std::tuple<uint64_t, size_t>;  // hash of the text, index
  std::vector<Entry> order;
  size_t total = 0;
  for (size_t i = 0; i < documents.size(); ++i) {
    order.emplace_back(documents[i].hash, i);
    total += documents[i].bytes;
  }
  std::sort(order.begin(), order.end());

  struct Group {
    size_t begin, end, bytes;  // entries [begin, end) of order
  };
  std::vector<Group> groups;
  for (size_t i = 0; i < order.size(); ++i) {
    if (i == 0 || std::get<0>(order[i]) != std::get<0>(order[i - 1])) groups.push_back({i, i, 0});
    groups.back().end = i + 1;
    groups.back().bytes += documents[std::get<1>(order[i])].bytes;
  }
  if (groups.size() < 2)
    fail(data, fmt::format("all {} documents of the corpus are equal", documents.size()),
         "give different documents, or set validation_fraction=0");

  std::vector<bool> chosen(documents.size(), false);
  const auto choose = [&](const Group& g) {
    for (size_t i = g.begin; i < g.end; ++i) chosen[std::get<1>(order[i])] = true;
  };
  // At most half of the bytes, and no larger group is taken: so one group at least is always left for
  // training.
  const double target = fraction * static_cast<double>(total);
  double bytes = 0;
  size_t taken = 0;
  for (const Group& g : groups) {
    if (bytes >= target) break;
    if (static_cast<double>(g.bytes) > target) continue;
    choose(g);
    bytes += static_cast<double>(g.bytes);
    ++taken;
  }
  if (taken == 0)
    choose(*std::min_element(groups.begin(), groups.end(),
                             [](const Group& a, const Group& b) { return a.bytes < b.bytes; }));
  return chosen;
}

Corpus split_documents(std::vector<Document> documents, double fraction) {
  check_fraction(fraction);
  FRUGAL_ASSERT(!documents.empty(), "split_documents without a document");
  Corpus corpus;
  if (fraction == 0.0) {
    corpus.train = std::move(documents);
  } else if (documents.size() == 1) {
    const size_t cut = cut_single(documents[0], fraction);
    corpus.train.push_back({documents[0].text.substr(0, cut), documents[0].source});
    corpus.validation.push_back({documents[0].text.substr(cut), documents[0].source});
  } else {
    std::vector<DocumentKey> keys;
    for (const Document& d : documents) keys.push_back({text_hash(d.text), d.text.size()});
    const std::vector<bool> chosen = choose_validation(keys, fraction, documents[0].source);
    for (size_t i = 0; i < documents.size(); ++i)
      (chosen[i] ? corpus.validation : corpus.train).push_back(std::move(documents[i]));
  }
  return corpus;
}

}  // namespace frugal::data
