// frugal bench --floor RECIPE: a training step beside the least time that this machine could take for it.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <memory>

#include "base/error.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/progress.h"
#include "base/rng.h"
#include "cli/commands.h"
#include "cost/step_floor.h"
#include "kernels/machine.h"
#include "model/objective.h"
#include "train/optimizer.h"
#include "train/recipe.h"
#include "train/trainer.h"

namespace frugal::cli {

namespace {
struct Options {
  std::vector<std::string> words;
  bool floor = false, details = false;
  int steps = 5, threads = 0;
};

// A step on random tokens: what is measured does not depend on which.
struct Step {
  Step(const train::Recipe& r, kernels::Ctx& context)
      : recipe(r),
        ctx(context),
        operand(train::operand_of(r)),
        rows(r.microbatch > 0 ? r.microbatch : r.batch),
        model(r.model, operand, true),
        optimizer(model),
        objective(r.model, rows, r.sequence_length, true),
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
    model.pack(ctx, done);
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

// Rows of the same name added up.
std::vector<kernels::ProfileRow> without_details(const std::vector<kernels::ProfileRow>& rows) {
  std::vector<kernels::ProfileRow> sums;
  for (const kernels::ProfileRow& r : rows) {
    auto sum = std::find_if(sums.begin(), sums.end(), [&](const auto& s) { return s.name == r.name; });
    if (sum == sums.end()) sum = sums.insert(sum, kernels::ProfileRow{r.name, {}});
    sum->calls += r.calls;
    sum->seconds += r.seconds;
    sum->flops += r.flops;
  }
  return sums;
}

void print_profile(std::vector<kernels::ProfileRow> rows, double total, int steps, double peak) {
  std::printf("%-34s %8s %9s %6s %9s %8s\n", "operation", "calls", "ms", "share", "GFLOP/s", "of peak");
  double known = 0;
  std::sort(rows.begin(), rows.end(), [](const auto& a, const auto& b) { return a.seconds > b.seconds; });
  for (const kernels::ProfileRow& r : rows) {
    known += r.seconds;
    std::printf("%-34s %8.0f %9.2f %4.1f %%", fmt::format("{} {}", r.name, r.detail).c_str(),
                static_cast<double>(r.calls) / steps, r.seconds / steps * 1e3, 100 * r.seconds / total);
    if (r.flops > 0)
      std::printf(" %9.1f %6.0f %%", r.flops / r.seconds * 1e-9, 100 * r.flops / r.seconds / peak);
    std::printf("\n");
  }
  std::printf("%-34s %8s %9.2f %4.1f %%\n", "everything else", "", (total - known) / steps * 1e3,
              100 * (total - known) / total);
}

void run(const Options& o) {
  if (!o.floor) fail("bench", "nothing to measure is named", "use --floor RECIPE");
  if (o.words.empty()) throw CLI::RequiredError("recipe (a file or a preset)");
  std::vector<std::string> settings = {"data=none", "out=none"};
  settings.insert(settings.end(), o.words.begin() + 1, o.words.end());
  const train::Recipe recipe = train::load_recipe(o.words[0], settings);
  train::check_recipe(recipe);
  kernels::Ctx ctx(o.threads);
  require_memory(train::training_bytes(recipe), "a training step",
                 "lower batch or microbatch, or take a smaller model");
  Step step(recipe, ctx);
  const kernels::Machine machine = kernels::measure_machine(ctx, step.operand);
  step.run();
  step.run();
  kernels::Profile profile;
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
  print_profile(o.details ? profile.rows : without_details(profile.rows), total, o.steps, machine.flops);
  const auto rows = cost::step_floor(recipe.model, recipe.batch, recipe.sequence_length);
  std::printf("\n%-24s %9s %9s %9s\n", "floor", "GFLOP", "MB", "ms");
  for (const cost::FloorRow& r : rows)
    std::printf("%-24s %9.1f %9.1f %9.2f\n", r.name.c_str(), r.flops * 1e-9, r.bytes * 1e-6,
                1e3 * cost::floor_seconds({r}, machine.flops, machine.read_bytes));
  const double floor = cost::floor_seconds(rows, machine.flops, machine.read_bytes);
  std::printf(
      "%s, %s, %d threads of %s: step %.1f ms (%.0f tok/s), floor %.1f ms at %.0f GFLOP/s and %.1f GB/s: "
      "%.0f %% of the floor\n",
      o.words[0].c_str(), recipe.precision.c_str(), ctx.pool.size(), ctx.level.name, median * 1e3,
      tokens / median, floor * 1e3, machine.flops * 1e-9, machine.read_bytes * 1e-9, 100 * floor / median);
}
}  // namespace

void add_bench_command(CLI::App& app) {
  CLI::App* c = app.add_subcommand("bench", "measure this machine: frugal bench --floor nano");
  auto o = std::make_shared<Options>();
  c->add_option("recipe", o->words, "RECIPE (file or preset), then key=value settings");
  c->add_flag("--floor", o->floor, "profile of a training step, and the least time it could take");
  c->add_flag("--details", o->details, "products by weight");
  c->add_option("--steps", o->steps, "timed steps; the median counts")
      ->capture_default_str()
      ->check(CLI::Range(1, 1000));
  c->add_option("-t,--threads", o->threads, "0: every core")
      ->capture_default_str()
      ->check(CLI::Range(0, 4096));
  c->callback([o] { run(*o); });
}

}  // namespace frugal::cli
