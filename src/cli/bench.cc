// frugal bench: kernels as shares of this machine's limits. frugal bench --floor RECIPE: a training step
// beside the least time that this machine could take for it. frugal bench MODEL: prefill and decode
// (bench_model.cc).
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/files.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/progress.h"
#include "base/rng.h"
#include "cli/bench_model.h"
#include "cli/commands.h"
#include "cli/profile_table.h"
#include "cost/kernel_bench.h"
#include "cost/step_floor.h"
#include "kernels/machine.h"
#include "model/objective.h"
#include "train/optimizer.h"
#include "train/plan.h"
#include "train/recipe.h"

namespace frugal::cli {

namespace {
struct BenchOptions {
  std::vector<std::string> words;
  bool floor = false, profile = false, json = false;
  std::string trace;
  int steps = 5, threads = 0;
  ModelBenchArguments model;
};

// A step on random tokens: what is measured does not depend on which.
struct Step {
  Step(const train::Recipe& r, kernels::Ctx& context)
      : recipe(r),
        ctx(context),
        operand(train::operand_of(r)),
        rows(train::rows_per_pass(r)),
        model(r.model, operand, true),
        optimizer(model, train::moments_of(r)),
        objective(r.model, operand, rows, r.sequence_length, true),
        grads(aligned_array<float>(model.table.elements)) {
    model.init(ctx, 1);
    const int64_t slots = r.batch * (r.sequence_length + 2);
    for (int64_t i = 0; i < slots; ++i)
      tokens.push_back(static_cast<int32_t>(rng_uniform(rng_key(1, "bench"), static_cast<uint64_t>(i)) *
                                            static_cast<double>(r.model.vocab_size)));
  }

  void run() {
    model::ObjectiveArgs args;
    args.mtp_lambda = recipe.model.num_nextn_predict_layers > 0 ? recipe.mtp_lambda : 0;
    args.balance_alpha = recipe.balance_alpha;
    args.grads = grads.get();
    args.sequences = recipe.batch;
    model::count_targets({tokens.data(), recipe.batch, recipe.sequence_length}, &args.main_targets,
                         &args.mtp_targets);
    {
      const kernels::ProfileScope timed(ctx.profile, "zero gradients");
      ctx.pool.parallel_for(model.table.elements, [&](int64_t begin, int64_t end, int) {
        std::fill(grads.get() + begin, grads.get() + end, 0.0f);
      });
    }
    for (int64_t row = 0; row < recipe.batch; row += rows) {
      args.input = {tokens.data() + row * (recipe.sequence_length + 2), rows, recipe.sequence_length};
      objective.run(ctx, model, args);
    }
    optimizer.step(ctx, model, grads.get(), {}, 1e-4, ++done);
  }

  const train::Recipe& recipe;
  kernels::Ctx& ctx;
  kernels::Operand operand;
  int64_t rows;
  model::Model model;
  train::Optimizer optimizer;
  model::Objective objective;
  AlignedPtr<float> grads;
  std::vector<int32_t> tokens;
  int64_t done = 0;
};

// The time line as Chrome's trace format, which Perfetto (ui.perfetto.dev) opens: microseconds, one thread,
// since operations follow each other and each uses all threads.
void write_trace(const std::string& path, const kernels::Profile& profile, const std::string& process) {
  nlohmann::json events = nlohmann::json::array();
  events.push_back({{"ph", "M"}, {"pid", 1}, {"name", "process_name"}, {"args", {{"name", process}}}});
  for (const kernels::ProfileEvent& e : profile.events)
    events.push_back({{"ph", "X"},
                      {"pid", 1},
                      {"tid", 1},
                      {"name", fmt::format("{}{}{}", e.name, e.detail.empty() ? "" : " ", e.detail)},
                      {"cat", std::string(e.name)},
                      {"ts", e.start * 1e6},
                      {"dur", e.seconds * 1e6},
                      {"args", {{"flops", e.work.flops}, {"bytes", e.work.bytes}}}});
  write_file_atomic(path, nlohmann::json{{"traceEvents", events}, {"displayTimeUnit", "ms"}}.dump() + "\n");
}

void run_floor(const BenchOptions& o) {
  if (o.words.empty()) throw CLI::RequiredError("recipe (a file or a preset)");
  std::vector<std::string> settings = {"data=none", "out=none"};
  settings.insert(settings.end(), o.words.begin() + 1, o.words.end());
  const train::Recipe recipe = train::load_recipe(o.words[0], settings);
  train::check_recipe(recipe);
  const std::filesystem::path folder = std::filesystem::path(o.trace).parent_path();
  if (!folder.empty() && !std::filesystem::is_directory(folder))
    fail(folder.string(), "is not a directory", "name another --trace");
  kernels::Ctx ctx(o.threads);
  require_memory(train::to_allocate(train::memory_plan(recipe, 1, 0)), "a training step",
                 "lower batch or microbatch, or take a smaller model");
  // Before the step, whose memory is to be the peak.
  const kernels::Machine machine = kernels::measure_machine(ctx, train::operand_of(recipe));
  Step step(recipe, ctx);
  step.run();
  step.run();
  kernels::Profile profile;
  profile.keep_events = !o.trace.empty();
  ctx.profile = &profile;
  std::vector<double> times;
  double total = 0;
  for (int i = 0; i < o.steps; ++i) {
    const auto start = std::chrono::steady_clock::now();
    step.run();
    times.push_back(seconds_since(start));
    total += times.back();
  }
  ctx.profile = nullptr;
  std::sort(times.begin(), times.end());
  const double median = times[times.size() / 2],
               tokens = static_cast<double>(recipe.batch * recipe.sequence_length);
  print_profile(o.profile ? profile.rows : without_details(profile.rows), total, o.steps, machine, machine.flops);
  if (!o.trace.empty()) {
    write_trace(o.trace, profile, "frugal training step, " + o.words[0]);
    std::printf("time line -> %s (open it with ui.perfetto.dev)\n", o.trace.c_str());
  }
  const auto rows = cost::step_floor(recipe.model, train::operand_of(recipe), train::moments_of(recipe),
                                     recipe.batch, recipe.sequence_length);
  std::printf("\n%-24s %9s %9s %9s\n", "floor", "GFLOP", "MB", "ms");
  for (const cost::FloorRow& r : rows)
    std::printf("%-24s %9.1f %9.1f %9.2f\n", r.name.c_str(), r.flops * 1e-9, r.bytes * 1e-6,
                1e3 * cost::floor_seconds({r}, machine.flops, machine.read_bytes));
  const double floor = cost::floor_seconds(rows, machine.flops, machine.read_bytes);
  std::printf(
      "%s, %s, %d threads of %s: step %.1f ms (%.0f tok/s), floor %.1f ms at %.0f GFLOP/s and %.1f GB/s: "
      "%.0f %% of the floor; peak memory %.2f GiB\n",
      o.words[0].c_str(), recipe.precision.c_str(), ctx.pool.size(), ctx.level.name, median * 1e3,
      tokens / median, floor * 1e3, machine.flops * 1e-9, machine.read_bytes * 1e-9, 100 * floor / median,
      static_cast<double>(peak_memory_bytes()) / 1073741824.0);
}

void print_json(const cost::KernelRow& r) {
  nlohmann::json line = {{"kernel", r.kernel},
                         {"shape", r.shape},
                         {"threads", r.threads},
                         {"seconds", r.seconds},
                         {"flops_per_second", r.flops_per_second()},
                         {"peak", r.peak},
                         {"share_of_peak", r.share_of_peak()}};
  if (r.work.bytes > 0) line["bytes_per_second"] = r.bytes_per_second();
  std::printf("%s\n", line.dump().c_str());
}
void print_line(const cost::KernelRow& r) {
  std::printf("%-30s %-38s %7d %9.1f %7.0f %%", r.kernel.c_str(), r.shape.c_str(), r.threads,
              r.flops_per_second() * 1e-9, 100 * r.share_of_peak());
  if (r.work.bytes > 0) std::printf(" %8.1f", r.bytes_per_second() * 1e-9);
  std::printf("\n");
  std::fflush(stdout);
}

void run_kernels(const BenchOptions& o) {
  kernels::Ctx one(1), all(o.threads);
  if (!o.json) {
    std::printf(
        "%s, level %s: at most %.0f GFLOP/s in f32 and %.0f in bf16 per thread; reads %.1f GB/s with 1 "
        "thread, %.1f "
        "with %d\n\n",
        kernels::cpu_name().c_str(), one.level.name,
        kernels::product_peak(one.level, kernels::Operand::kF32) * 1e-9,
        kernels::product_peak(one.level, kernels::Operand::kBF16) * 1e-9, kernels::read_bandwidth(one) * 1e-9,
        kernels::read_bandwidth(all) * 1e-9, all.pool.size());
    std::printf("%-30s %-38s %7s %9s %9s %8s\n", "kernel", "shape", "threads", "GFLOP/s", "of peak", "GB/s");
  }
  const auto rows = cost::bench_kernels(one, all, o.json ? print_json : print_line);
  if (o.json) return;
  std::printf("\ngeometric means of the share of the peak:");
  for (const char* kernel : {"gemm f32", "gemm bf16", "weight gradient f32", "weight gradient bf16"})
    std::printf("  %s %.2f", kernel, cost::mean_share(rows, kernel));
  std::printf("\n");
}

void run_bench(BenchOptions& o) {
  if (o.floor) return run_floor(o);
  if (o.words.empty()) {
    if (o.profile)
      fail("--profile", "shows a training step or a model", "give --floor RECIPE or a model directory");
    return run_kernels(o);
  }
  if (o.words.size() > 1 || !std::filesystem::is_directory(o.words[0]))
    fail(o.words.back(), "is not something that bench measures",
         "give a model directory; for a recipe's step use --floor");
  o.model.profile = o.profile;
  bench_model_directory(o.words[0], o.model, o.threads, o.json);
}
}  // namespace

void add_bench_command(CLI::App& app) {
  CLI::App* c = app.add_subcommand(
      "bench", "measure this machine: frugal bench, frugal bench MODEL, frugal bench --floor nano");
  auto o = std::make_shared<BenchOptions>();
  c->add_option("recipe", o->words, "model directory; with --floor a recipe, then key=value settings");
  auto* floor =
      c->add_flag("--floor", o->floor, "a training step's profile, and the least time it could take");
  c->add_flag("--profile", o->profile, "products by weight, row operations by kind; of a model as well");
  c->add_option("--trace", o->trace, "write the time line here, for ui.perfetto.dev")->needs(floor);
  c->add_flag("--json", o->json, "one object per line")->excludes(floor);
  add_model_bench_options(c, &o->model);
  c->add_option("--steps", o->steps, "timed steps; the median counts")
      ->capture_default_str()
      ->check(CLI::Range(1, 1000));
  c->add_option("-t,--threads", o->threads, "0: every core")
      ->capture_default_str()
      ->check(CLI::Range(0, 4096));
  c->callback([o] { run_bench(*o); });
}

}  // namespace frugal::cli
