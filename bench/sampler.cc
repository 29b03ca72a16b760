// What drawing a token costs: frugal_bench_sampler [VOCAB]. One thread, normal logits of deviation 3,
// milliseconds, the least of eight runs of four tokens.
#include "infer/sampler.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>

#include "base/rng.h"

using namespace frugal;

int main(int argc, char** argv) {
  const int64_t vocab = argc > 1 ? std::atoll(argv[1]) : 163840;
  if (vocab < 1 || vocab > (int64_t{1} << 24)) {
    fmt::print(stderr, "bench_sampler: VOCAB: {} is not in 1 .. 2^24\n", argv[1]);
    return 2;
  }
  std::vector<float> logits;
  const uint64_t key = rng_key(1, "logits");
  for (int64_t i = 0; i < vocab; ++i)
    logits.push_back(static_cast<float>(3 * rng_normal(key, static_cast<uint64_t>(i))));
  struct Case {
    const char* name;
    infer::SamplingParams params;
  };
  constexpr Case kCases[] = {{"likeliest", {.temperature = 0}},
                             {"temperature 1", {}},
                             {"temperature 0.3, top_p 0.95", {.temperature = 0.3f, .top_p = 0.95f}},
                             {"top_p 0.95", {.top_p = 0.95f}},
                             {"top_k 50", {.top_k = 50}},
                             {"min_p 0.05", {.min_p = 0.05f}}};
  for (const Case& c : kCases) {
    double best = 1e9;
    int64_t drawn = 0;  // of all tokens: the same for every version
    for (int64_t run = 0; run < 8; ++run) {
      const auto start = std::chrono::steady_clock::now();
      for (int64_t i = 0; i < 4; ++i)
        drawn += infer::sample(kernels::default_level(), logits.data(), vocab, c.params, run * 4 + i).token;
      best =
          std::min(best, std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count() / 4);
    }
    fmt::print("{:28} {:8.3f} ms   sum of ids {}\n", c.name, 1e3 * best, drawn);
  }
  return 0;
}
