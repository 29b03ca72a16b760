// frugal train RECIPE key=value ... | frugal train --resume DIR [key=value ...]
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>

#include "base/error.h"
#include "base/progress.h"
#include "cli/commands.h"
#include "report/live_report.h"
#include "report/run_line.h"
#include "train/trainer.h"

namespace frugal::cli {

namespace {
struct Options {
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

void run(Options o) {
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
    train::check_recipe(recipe);
    std::fputs(train::recipe_to_toml(recipe).c_str(), stdout);
    std::fputs(train::plan_text(recipe).c_str(), stdout);
    return;
  }
  if (!run_watched(*train::Trainer::start(recipe))) throw ExitStatus{kInterrupted};
}
}  // namespace

void add_train_command(CLI::App& app) {
  CLI::App* c =
      app.add_subcommand("train", "pre-train a model on text: frugal train nano data=book.txt out=runs/book");
  auto o = std::make_shared<Options>();
  c->add_option("recipe", o->words, "RECIPE (file or preset), then key=value settings");
  c->add_option("--resume", o->resume, "continue the run in this directory");
  c->add_flag("--dry-run", o->dry_run, "print the resolved recipe and the plan, then stop");
  c->footer(keys_help);
  c->callback([o] { run(*o); });
}

}  // namespace frugal::cli
