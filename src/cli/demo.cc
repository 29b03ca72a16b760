// frugal demo: trains a small model in minutes while one watches, examines it, and talks to it.
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/files.h"
#include "base/log.h"
#include "base/progress.h"
#include "cli/chat.h"
#include "cli/commands.h"
#include "cli/compressed.h"
#include "cli/demo_screen.h"
#include "cli/model_argument.h"
#include "cost/energy.h"
#include "data/corpus.h"
#include "kernels/machine.h"
#include "model/flops.h"
#include "report/live_report.h"
#include "train/checkpoint.h"
#include "train/run_data.h"

namespace frugal::cli {

namespace {
constexpr int64_t kQuizQuestions = 48;  // a live quiz, kinds in equal number
constexpr double kQuizSeconds = 20, kShowSeconds = 30;
constexpr double kQuizShare = 0.05;      // of the time, about
constexpr uint64_t kQuizSeed = 7000000;  // not the exam's questions

struct DemoOptions {
  std::vector<std::string> paths;
  std::string run, recipe;
  double minutes = 10;
  int64_t questions = 2000, documents = 200000, seed = 1;
  int threads = 0;
  bool no_chat = false;
};

bool on_terminal() { return isatty(STDIN_FILENO) == 1 && detect_terminal(STDOUT_FILENO).ansi; }

void headline(const std::string& text) {
  std::fprintf(stderr, "%s\n", colored(detect_terminal(STDERR_FILENO), Color::kBold, "== " + text).c_str());
}

// ---- the run directory

// The newest complete step of an unfinished run; -1 when there is nothing to continue.
int64_t unfinished_step(const std::string& run) {
  if (!file_exists(run + "/recipe.toml") || !is_directory(run + "/checkpoints") ||
      list_directory(run + "/checkpoints").empty())
    return -1;
  const std::string newest = train::newest_checkpoint(run);
  const auto state = nlohmann::json::parse(read_file(newest + "/trainer/state.json"), nullptr, false);
  const int64_t step = state.is_object() ? state.value("step", int64_t{-1}) : -1;
  return step < train::read_recipe(run + "/recipe.toml", {}).steps ? step : -1;
}

// Asks on a terminal; without one the answer is yes, which loses nothing.
bool wants_to_resume(const std::string& run, int64_t step) {
  std::fprintf(stderr, "%s was interrupted after step %lld.", run.c_str(), static_cast<long long>(step));
  if (!on_terminal()) {
    std::fprintf(stderr, " It goes on.\n");
    return true;
  }
  std::fprintf(stderr, " Go on with it? [Y/n] ");
  std::string answer;
  std::getline(std::cin, answer);
  return answer.empty() || answer[0] == 'y' || answer[0] == 'Y';
}

std::string free_directory(const std::string& run) {
  if (!file_exists(run + "/recipe.toml")) return run;
  for (int n = 2;; ++n)
    if (const std::string other = fmt::format("{}-{}", run, n); !file_exists(other + "/recipe.toml"))
      return other;
}

// ---- what is said

kernels::Machine introduce_machine(kernels::Ctx& ctx, kernels::Operand operand) {
  const kernels::Machine m = kernels::measure_machine(ctx, operand);
  info(
      "machine     {}, {} threads of {} ({}), {:.0f} GB; measured: {:.0f} GFLOP/s of {} products, {:.1f} "
      "GB/s of reading",
      m.cpu, ctx.pool.size(), std::thread::hardware_concurrency(), ctx.level.name, m.memory_bytes * 1e-9,
      m.flops * 1e-9, operand == kernels::Operand::kF32 ? "f32" : "bf16", m.read_bytes * 1e-9);
  return m;
}

// The course for this run: written once, so that the run can be resumed and looked at.
void write_course(const DemoOptions& o, const std::string& path) {
  const auto start = std::chrono::steady_clock::now();
  write_file_atomic(path, data::course_text(static_cast<uint64_t>(o.seed), o.documents));
  info("course      {} questions with worked answers of {} kinds in {:.1f} s: {}", o.documents,
       data::course_kinds().size(), seconds_since(start), path);
}

struct Bill {
  double tokens, seconds, flops, peak, joules;
  bool measured;
  int threads;
};
void print_bill(const Bill& b) {
  const double hours = b.seconds / 3600, dollars = hours * b.threads * cost::kDollarsPerCoreHour;
  std::printf(
      "this run      %s tokens in %s, %.1f TFLOP: %.0f GFLOP/s, %.0f %% of the cores' measured peak (MFU)\n",
      format_count(b.tokens).c_str(), format_seconds(b.seconds).c_str(), b.flops * 1e-12,
      b.flops / b.seconds * 1e-9, 100 * b.flops / b.seconds / b.peak);
  if (b.measured)
    std::printf("energy        %.1f Wh, measured (RAPL, processor packages)\n", b.joules / 3600);
  else
    std::printf("energy        about %.1f Wh (estimate: %g W per core)\n", b.joules / 3600,
                cost::kWattsPerCore);
  std::printf("cost          about $%.3f (estimate: $%g per core and hour)\n", dollars,
              cost::kDollarsPerCoreHour);
  // DeepSeek-V3 report, table 1: the final training run, at $2 per H800 hour.
  std::printf(
      "DeepSeek-V3   14.8 T tokens, 2.788 M H800 hours, $5.576 M: as much as %.0f million such runs\n",
      5.576e6 / dollars * 1e-6);
}

// ---- training

struct Trained {
  bool complete = false;
  double seconds = 0, joules = 0;
  bool measured = false;
  int64_t steps = 0;
};

Trained train_watched(train::Trainer& trainer, const kernels::Machine& machine, bool course) {
  const train::Recipe& r = trainer.recipe();
  const double tokens_per_step = static_cast<double>(r.batch * r.sequence_length);
  const double flops = 3 * model::forward_flops_per_token(r.model, r.sequence_length, true);
  report::LiveReport report(trainer);
  DemoScreen screen(tokens_per_step, flops, machine.flops);
  cost::EnergyMeter meter(trainer.ctx().pool.size());
  const auto start = std::chrono::steady_clock::now();
  auto last_quiz = start, last_show = start;
  const int64_t first_step = trainer.steps_done();
  uint64_t quizzes = static_cast<uint64_t>(first_step);
  train::RunView view;
  view.line = [&](const std::string& text) { screen.line(text); };
  view.logged = [&](const std::string& text) { report.logged(text); };
  view.progress = [&](const train::Progress& p) {
    screen.progress(p);
    if (course && seconds_since(last_quiz) >= kQuizSeconds) {
      const auto answers =
          eval::take_exam(trainer.ctx(), trainer.model(), trainer.tokenizer(),
                          data::draw_exam(kQuizSeed + ++quizzes, kQuizQuestions), kQuizQuestions, {});
      screen.quiz(answers);
      last_quiz = std::chrono::steady_clock::now();
      if (seconds_since(last_show) >= kShowSeconds) {
        screen.show(answers[quizzes % answers.size()]);
        last_show = last_quiz;
      }
    }
    if (!course && seconds_since(last_show) >= kShowSeconds) {
      screen.line(fmt::format("step {}:  {}", p.step, trainer.sample_text()));
      last_show = std::chrono::steady_clock::now();
    }
    meter.joules();
  };
  Trained t;
  t.complete = trainer.run(view);
  t.seconds = seconds_since(start);
  t.joules = meter.joules();
  t.measured = meter.measured();
  t.steps = trainer.steps_done() - first_step;
  screen.close();
  return t;
}

void examine(train::Trainer& trainer, const DemoOptions& o, const std::string& run,
             const std::string& course_file) {
  headline(fmt::format("exam: {} questions that the course never asks, answered greedily, marked by a solver",
                       o.questions));
  const auto questions = data::draw_exam(1, o.questions);
  ProgressLine line(10);
  int64_t done = 0;
  const auto answers = eval::take_exam(
      trainer.ctx(), trainer.model(), trainer.tokenizer(), questions, 64,
      [&](const eval::ExamAnswer&) { line.show(fmt::format("question {}/{}", ++done, o.questions)); });
  line.finish();
  const auto scores = eval::scores_by_kind(answers);
  const auto chance = eval::chance_by_kind(questions);
  const auto nearest = eval::nearest_by_kind(questions, eval::read_course(course_file));
  std::fputs(eval::exam_table(scores, chance, nearest, detect_terminal(STDOUT_FILENO).columns).c_str(),
             stdout);
  nlohmann::ordered_json kinds, report;
  for (size_t k = 0; k < scores.size(); ++k)
    kinds[std::string(data::course_kinds()[k].name)] = {{"right", scores[k].right},
                                                        {"asked", scores[k].asked},
                                                        {"stderr", scores[k].standard_error()},
                                                        {"chance", chance[k]},
                                                        {"nearest", nearest[k].share()}};
  report["exact_match"] = eval::total(scores).share();
  report["exam_seed"] = 1;
  report["kinds"] = kinds;
  write_file_atomic(run + "/exam.json", report.dump(2) + "\n");
}

// Bits per byte of the validation text: the model's and what general compressors make of it.
void compare_with_compressors(train::Trainer& trainer) {
  const train::Recipe& r = trainer.recipe();
  std::string text;
  const data::CorpusOptions options = train::corpus_options(r);  // the run has told what was left out
  std::vector<data::Document> documents = data::read_documents(r.data, options);
  for (const data::Document& d :
       data::split_documents(std::move(documents), options.validation_fraction).validation)
    text += d.text;
  const double bits = 8.0 / static_cast<double>(text.size());
  const train::Validation v = trainer.validate();
  std::printf("validation text: %s bytes that training has not seen\n",
              format_count(static_cast<double>(text.size())).c_str());
  std::printf("  gzip -9     %.3f bits per byte\n", static_cast<double>(gzip_bytes(text)) * bits);
  std::printf("  xz -9       %.3f bits per byte\n", static_cast<double>(xz_bytes(text)) * bits);
  std::printf("  this model  %.3f bits per byte (%s of weights not counted)\n", v.bits_per_byte,
              format_count(static_cast<double>(trainer.model().table.elements) * 4).c_str());
}

void run_demo(const DemoOptions& o) {
  if (!(o.minutes > 0 && o.minutes <= 10000))
    fail("--minutes", fmt::format("{} is out of range", o.minutes), "use 0.1 to 10000");
  const bool course = o.paths.empty();
  std::vector<std::string> files;
  if (!course) files = o.paths;
  for (const data::Source& source : course ? std::vector<data::Source>{} : data::find_sources(o.paths))
    if (source.shards)
      fail(source.path, "holds shards; the demo compares texts", "give texts, or use `frugal train`");
  const std::string base = o.run.empty() ? (course ? "runs/demo" : "runs/text") : o.run;
  std::string run = base, course_file;
  std::unique_ptr<train::Trainer> trainer;
  kernels::Machine machine;
  const int64_t step = unfinished_step(base);
  if (step >= 0 && wants_to_resume(base, step)) {
    trainer = train::Trainer::resume(base, {});
    machine = introduce_machine(trainer->ctx(), trainer->model().operand);
    course_file = trainer->recipe().data[0];
  } else {
    run = free_directory(base);
    std::vector<std::string> settings = {
        "out=" + run, fmt::format("minutes={}", o.minutes * (course ? 1 - kQuizShare : 1)),
        fmt::format("seed={}", o.seed), fmt::format("threads={}", o.threads)};
    train::Recipe recipe = train::load_recipe(!o.recipe.empty() ? o.recipe
                                              : course          ? "demo"
                                                                : "nano",
                                              settings);
    recipe.sample_every = 0;
    if (recipe.save_every == 0) recipe.save_every = 500;
    {
      kernels::Ctx ctx(o.threads);
      machine = introduce_machine(ctx, train::operand_of(recipe));
    }
    if (course) {
      make_directories(run);
      course_file = run + "/course.jsonl";
      write_course(o, course_file);
      files = {course_file};
    }
    recipe.data = files;
    trainer = train::Trainer::start(recipe);
  }
  headline(fmt::format("training in {} (Ctrl-C saves and leaves; the same command goes on)", run));
  const Trained t = train_watched(*trainer, machine, course);
  if (!t.complete) throw ExitStatus{kInterrupted};
  if (course)
    examine(*trainer, o, run, course_file);
  else
    compare_with_compressors(*trainer);
  const train::Recipe& r = trainer->recipe();
  const double tokens = static_cast<double>(t.steps * r.batch * r.sequence_length);
  // Measured again: others may have worked here at the start.
  const double peak =
      std::max(machine.flops, kernels::measure_machine(trainer->ctx(), trainer->model().operand).flops);
  print_bill({tokens, t.seconds,
              tokens * 3 * model::forward_flops_per_token(r.model, r.sequence_length, true), peak, t.joules,
              t.measured, trainer->ctx().pool.size()});
  std::fflush(stdout);
  headline(course ? fmt::format("talk to it: frugal chat {} --temperature 0", run)
                  : fmt::format("more: frugal generate {} \"your text\"", run));
  if (course && !o.no_chat && on_terminal()) {
    ChatOptions chat;
    chat.sampling.temperature = 0;
    run_chat(trainer->ctx(), trainer->model(), trainer->tokenizer(), chat);
  }
}
}  // namespace

void add_demo_command(CLI::App& app) {
  CLI::App* c = app.add_subcommand(
      "demo", "train a small model in ten minutes while you watch, examine it, talk to it");
  auto o = std::make_shared<DemoOptions>();
  c->add_option("paths", o->paths, "your own text: files or folders; none: frugal's course of questions");
  c->add_option("--minutes", o->minutes, "how long to train")->capture_default_str();
  c->add_option("--run", o->run, "run directory; default runs/demo or runs/text");
  c->add_option("--recipe", o->recipe, "preset or file; default demo, for your own text nano");
  c->add_option("--documents", o->documents, "questions of the course")
      ->capture_default_str()
      ->check(CLI::Range(1000, 10000000));
  c->add_option("--questions", o->questions, "questions of the exam")
      ->capture_default_str()
      ->check(CLI::Range(8, 20000));
  c->add_option("--seed", o->seed, "same seed and steps, same model")
      ->capture_default_str()
      ->check(CLI::Range(int64_t{0}, int64_t{1} << 40));
  c->add_option("-t,--threads", o->threads, "0: every core")
      ->capture_default_str()
      ->check(CLI::Range(0, 4096));
  c->add_flag("--no-chat", o->no_chat, "do not start a chat at the end");
  c->callback([o] { run_demo(*o); });
}

}  // namespace frugal::cli
