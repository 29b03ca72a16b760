// frugal train RECIPE key=value ... | frugal train --resume DIR [key=value ...]
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>

#include "base/disk.h"
#include "base/error.h"
#include "base/memory.h"
#include "base/progress.h"
#include "cli/commands.h"
#include "kernels/machine.h"
#include "model/flops.h"
#include "report/live_report.h"
#include "report/run_line.h"
#include "train/plan.h"
#include "train/trainer.h"

namespace frugal::cli {

namespace {
struct TrainOptions {
  std::string resume;
  bool dry_run = false;
  std::vector<std::string> words;
};

std::string default_text(const train::RecipeOption& option) {
  train::Recipe r;
  if (const auto* i = std::get_if<int64_t& (*)(train::Recipe&)>(&option.field))
    return fmt::format("{}", (*i)(r));
  if (const auto* d = std::get_if<double& (*)(train::Recipe&)>(&option.field))
    return fmt::format("{:g}", (*d)(r));
  if (const auto* b = std::get_if<bool& (*)(train::Recipe&)>(&option.field))
    return (*b)(r) ? "true" : "false";
  if (const auto* s = std::get_if<std::string& (*)(train::Recipe&)>(&option.field))
    return "\"" + (*s)(r) + "\"";
  return "[]";
}

std::string keys_help() {
  std::string text = "Presets:";
  for (const std::string& name : train::preset_names()) text += " " + name;
  text += "\nRecipe keys (TOML file or key=value), with defaults:\n";
  for (const train::RecipeOption& o : train::recipe_options())
    text += fmt::format("  {:<26} {:<8} {}\n", o.name, default_text(o), o.help);
  return text;
}

// False: interrupted, and saved.
bool run_watched(train::Trainer& trainer) {
  ProgressLine line;
  report::LossHistory losses;
  report::LiveReport report(trainer);
  train::RunView view;
  view.line = [&](const std::string& text) { line.print(text); };
  view.logged = [&](const std::string& text) { report.logged(text); };
  view.progress = [&](const train::Progress& p) {
    losses.add(p.report.loss);
    line.show(report::run_line(p, losses, detect_terminal(STDERR_FILENO)));
  };
  return trainer.run(view);
}

// Bytes of a tokenizer's files: those that are named, or an estimate for one that will be trained.
int64_t tokenizer_bytes(const train::Recipe& r) {
  constexpr int64_t kBytesPerToken = 60;  // its line in the vocabulary and one merge
  if (r.tokenizer.empty()) return r.model.vocab_size * kBytesPerToken;
  return text::Tokenizer::load(r.tokenizer).file_bytes();
}

// From the peak of this machine's products, measured, and a usual share of it (bench/RESULTS.md).
std::string time_text(const train::Recipe& r, kernels::Ctx& ctx) {
  constexpr double kUsualShare = 0.6;
  const kernels::Machine machine = kernels::measure_machine(ctx, train::operand_of(r));
  const double flops = 3 * model::forward_flops_per_token(r.model, r.sequence_length, true),
               rate = kUsualShare * machine.flops / flops,
               tokens = static_cast<double>(r.batch * r.sequence_length * r.steps);
  return fmt::format(
      "time        {} for {} tokens at {} tok/s (estimated: {:.0f} % of {:.0f} GFLOP/s, which is measured)\n",
      format_seconds(tokens / rate), format_count(tokens), format_count(rate), 100 * kUsualShare,
      machine.flops * 1e-9);
}

void dry_run(const train::Recipe& recipe) {
  train::check_recipe(recipe);
  kernels::Ctx ctx(static_cast<int>(recipe.threads));
  model::Weights weights;
  const int64_t bytes =
      train::checkpoint_bytes(model::build_param_table(recipe.model, &weights), train::operand_of(recipe),
                              train::moments_of(recipe), tokenizer_bytes(recipe));
  const train::MemoryPlan plan = train::memory_plan(recipe, ctx.pool.size(), 0);
  std::fputs(train::recipe_to_toml(recipe).c_str(), stdout);
  std::fputs(train::plan_text(recipe, plan, bytes).c_str(), stdout);
  std::fputs(time_text(recipe, ctx).c_str(), stdout);
  require_memory(train::to_allocate(plan), "training", train::kLessMemory);
  require_disk(recipe.out, train::most_checkpoints(recipe) * bytes, "the run's checkpoints");
}

void run_train(TrainOptions o) {
  if (!o.resume.empty()) {
    if (o.dry_run) fail("--dry-run", "does not go with --resume", "leave one of them out");
    if (!run_watched(*train::Trainer::resume(o.resume, o.words))) throw ExitStatus{kInterrupted};
    return;
  }
  if (o.words.empty()) throw CLI::RequiredError("recipe (a file or a preset), or --resume DIR,");
  const std::string recipe_name = o.words[0];
  o.words.erase(o.words.begin());
  const train::Recipe recipe = train::load_recipe(recipe_name, o.words);
  if (o.dry_run) {
    dry_run(recipe);
    return;
  }
  if (!run_watched(*train::Trainer::start(recipe))) throw ExitStatus{kInterrupted};
}
}  // namespace

void add_train_command(CLI::App& app) {
  CLI::App* c =
      app.add_subcommand("train", "pre-train a model on text: frugal train nano data=book.txt out=runs/book");
  auto o = std::make_shared<TrainOptions>();
  c->add_option("recipe", o->words, "RECIPE (file or preset), then key=value settings");
  c->add_option("--resume", o->resume, "continue the run in this directory");
  c->add_flag("--dry-run", o->dry_run, "print the resolved recipe and the plan, then stop");
  c->footer(keys_help);
  c->callback([o] { run_train(*o); });
}

}  // namespace frugal::cli
