#include "cli/bench_model.h"

#include <cstdio>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/progress.h"
#include "cli/model_argument.h"
#include "cli/profile_table.h"
#include "cost/model_bench.h"
#include "model/model_files.h"

namespace frugal::cli {

namespace {
std::vector<cost::ModelTest> tests_of(const ModelBenchArguments& a, int64_t positions) {
  std::vector<cost::ModelTest> tests;
  for (const int64_t n : a.prompts)
    if (n > 0) tests.push_back({.prefill = true, .tokens = n});
  for (const int64_t n : a.generate)
    for (const int64_t depth : a.depths)
      for (const int64_t batch : a.batches)
        if (n > 0) tests.push_back({.tokens = n, .depth = depth, .batch = batch});
  for (const cost::ModelTest& t : tests)
    if (cost::positions_of(t) > positions)
      fail(t.name(), fmt::format("needs {} positions, the model has {}", cost::positions_of(t), positions),
           "lower --depth or the tokens, or raise max_position_embeddings");
  return tests;
}

void print_model_json(const cost::ModelRow& r) {
  nlohmann::json line = {{"test", r.test.name()},
                         {"avg_ts", r.average()},
                         {"stddev_ts", r.deviation()},
                         {"bytes_per_token", r.bytes_per_token},
                         {"flops_per_token", r.flops_per_token},
                         {"floor_seconds_per_token", r.floor_seconds_per_token},
                         {"share_of_limit", r.share_of_limit()}};
  if (r.joules_measured) line["joules_per_token"] = r.joules_per_token;
  std::printf("%s\n", line.dump().c_str());
  std::fflush(stdout);
}
void print_model_line(const cost::ModelRow& r) {
  std::printf("%-18s %9.2f +- %-6.2f %10.1f %12.1f %9.2f %7.0f %% %8.1f %8.0f", r.test.name().c_str(),
              r.average(), r.deviation(), r.bytes_per_token * 1e-6, r.flops_per_token * 1e-9,
              r.floor_seconds_per_token * 1e3, 100 * r.share_of_limit(), r.limits.machine.read_bytes * 1e-9,
              r.limits.machine.flops * 1e-9);
  if (r.joules_measured) std::printf(" %8.3f", r.joules_per_token);
  std::printf("\n");
  std::fflush(stdout);
}
}  // namespace

void add_model_bench_options(CLI::App* c, ModelBenchArguments* a) {
  const auto counts = [&](const char* name, std::vector<int64_t>* to, int64_t least, int64_t most,
                          const char* help) {
    c->add_option(name, *to, help)->delimiter(',')->capture_default_str()->check(CLI::Range(least, most));
  };
  constexpr int64_t kMostTokens = 1 << 24, kMostSequences = 4096;
  counts("-p,--pp", &a->prompts, 0, kMostTokens, "model: prefill of this many tokens; 0: none");
  counts("-n,--tg", &a->generate, 0, kMostTokens, "model: decode of this many tokens; 0: none");
  counts("-d,--depth", &a->depths, 0, kMostTokens, "model: decode with this many positions in the cache");
  counts("-b,--batch", &a->batches, 1, kMostSequences, "model: decode of this many sequences at once");
  c->add_option("-r,--repeats", a->repeats, "model: prompts that are timed")
      ->capture_default_str()
      ->check(CLI::Range(1, 1000));
  add_hold_options(c, &a->hold, "model: ");
  c->add_option("--precision", a->precision, "model: bf16 or f32; default: as stored");
}

void bench_model_directory(const std::string& path, const ModelBenchArguments& a, int threads, bool json) {
  const std::string directory = model_directory(path);
  const model::ModelConfig config = model::load_config(directory);
  const kernels::Operand operand = operand_argument(a.precision, config);
  cost::ModelBenchOptions options{tests_of(a, config.max_position_embeddings), a.repeats,
                                  cache_argument(a.hold, config, operand)};
  if (options.tests.empty()) fail("--pp, --tg", "leave nothing to measure", "ask for a test");
  kernels::Ctx ctx(threads);
  const auto start = std::chrono::steady_clock::now();
  const auto m = model::load_model(
      ctx, directory, {operand, false, options.cache.absorbed, cost::model_bench_bytes(config, operand, options),
                       a.hold.map_files});
  const double load = seconds_since(start);
  if (!json) {
    std::printf("%s, level %s, %d threads; loaded in %.1f s; %s cache\n\n", kernels::cpu_name().c_str(),
                ctx.level.name, ctx.pool.size(), load, options.cache.absorbed ? "absorbed" : "expanded");
    std::printf("%-18s %19s %10s %12s %9s %9s %17s\n", "test", "tok/s", "MB/token", "GFLOP/token", "floor ms",
                "of limit", "at GB/s, GFLOP/s");
  }
  cost::bench_model(ctx, *m, options, [&](const cost::ModelRow& r) {
    json ? print_model_json(r) : print_model_line(r);
    if (!a.profile || json) return;
    print_profile(r.profile.rows, r.seconds, static_cast<int>(r.rates.size()), r.limits.machine,
                  r.limits.attention_flops);
    std::printf("\n");
  });
}

}  // namespace frugal::cli
