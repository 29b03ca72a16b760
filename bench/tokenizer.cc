// Encoding on one thread: MB/s (10^6 bytes of UTF-8) of CPU time of the process, medians over rounds.
// bench/README.md.
//   frugal_bench_tokenizer [--rounds N] [--ids PREFIX] TOKENIZER FILE...
// Columns: Tokenizer::encode; cutting into pieces alone; cutting with the regular expressions that define the
// pieces. --ids writes the ids of the n-th file (from 0) to PREFIX.n, as int32 of this machine's byte order.
#include "text/tokenizer.h"

#include <fmt/format.h>
#include <time.h>

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/files.h"
#include "text/pretokenizer.h"
#include "text/tokenizer_json.h"

namespace frugal {
namespace {

double cpu_seconds() {
  timespec t{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
  return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
}

// MB/s of the median round.
template <class F>
double rate(int rounds, size_t bytes, F&& f) {
  std::vector<double> seconds;
  for (int i = 0; i < rounds; ++i) {
    const double start = cpu_seconds();
    f();
    seconds.push_back(cpu_seconds() - start);
  }
  std::nth_element(seconds.begin(), seconds.begin() + rounds / 2, seconds.end());
  return 1e-6 * static_cast<double>(bytes) / seconds[static_cast<size_t>(rounds / 2)];
}

struct Arguments {
  int rounds = 5;
  std::string ids;
  std::vector<std::string> paths;  // tokenizer, files
};

Arguments parse(int argc, char** argv) {
  Arguments a;
  for (int i = 1; i < argc; ++i) {
    const std::string_view word = argv[i];
    if (word == "--rounds" && i + 1 < argc) {
      const std::string_view n = argv[++i];
      std::from_chars(n.data(), n.data() + n.size(), a.rounds);
    } else if (word == "--ids" && i + 1 < argc) {
      a.ids = argv[++i];
    } else {
      a.paths.emplace_back(word);
    }
  }
  if (a.paths.size() < 2 || a.rounds < 1)
    fail("arguments", "none or wrong ones",
         "frugal_bench_tokenizer [--rounds N] [--ids PREFIX] TOKENIZER FILE...");
  return a;
}

void run(const Arguments& a) {
  const text::Tokenizer tokenizer = text::Tokenizer::load(a.paths[0]);
  const auto stages = text::parse_tokenizer_json(tokenizer.vocabulary_file(), a.paths[0]).stages;
  const text::PreTokenizer fastest(stages), regex(stages, text::PreTokenizer::Method::kRegex);
  fmt::print("{:>10} {:>10} {:>7} {:>8} {:>8} {:>8}  file\n", "bytes", "tokens", "B/token", "encode", "cut",
             "regex");
  for (size_t i = 1; i < a.paths.size(); ++i) {
    const std::string text = read_file(a.paths[i]);
    std::vector<int32_t> ids;
    const double encode = rate(a.rounds, text.size(), [&] { ids = tokenizer.encode(text); });
    text::MatchScratch scratch;
    size_t pieces = 0;
    const auto cut = [&](const text::PreTokenizer& p) {
      return rate(a.rounds, text.size(),
                  [&] { p.split(text, scratch, [&](std::string_view) { ++pieces; }); });
    };
    const double cut_fast = cut(fastest), cut_regex = cut(regex);
    fmt::print("{:>10} {:>10} {:>7.2f} {:>8.1f} {:>8.1f} {:>8.1f}  {}\n", text.size(), ids.size(),
               static_cast<double>(text.size()) / static_cast<double>(ids.size()), encode, cut_fast,
               cut_regex, a.paths[i]);
    if (a.ids.empty()) continue;
    FileWriter out(fmt::format("{}.{}", a.ids, i - 1));
    out.write(ids.data(), ids.size() * sizeof(int32_t));
    out.close();
  }
}

}  // namespace
}  // namespace frugal

int main(int argc, char** argv) {
  try {
    frugal::run(frugal::parse(argc, argv));
    return 0;
  } catch (const frugal::Error& e) {
    std::fprintf(stderr, "%s\n", e.what());
    return 1;
  }
}
