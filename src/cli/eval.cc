// frugal eval MODEL --tasks course: exams with standard errors and controls.
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>

#include "base/error.h"
#include "base/files.h"
#include "base/log.h"
#include "base/progress.h"
#include "base/terminal.h"
#include "cli/commands.h"
#include "cli/model_argument.h"
#include "data/corpus.h"
#include "eval/exam.h"
#include "model/model_files.h"

namespace frugal::cli {

namespace {
struct EvalOptions {
  std::string model, tasks = "course", nearest, log;
  HoldArgument hold;
  int64_t limit = 2000, parallel = 64;
  uint64_t seed = 1;
  int threads = 0;
};

void write_log(const std::string& path, const std::vector<eval::ExamAnswer>& answers) {
  std::string text;
  for (const eval::ExamAnswer& a : answers)
    text += nlohmann::json{{"kind", data::course_kinds()[a.kind].name},
                           {"question", a.question},
                           {"response", a.response},
                           {"expected", a.expected},
                           {"right", a.right}}
                .dump() +
            "\n";
  write_file_atomic(path, text);
}

void run_eval(const EvalOptions& o) {
  if (o.tasks != "course") fail("--tasks", "'" + o.tasks + "' is not known", "there is one so far: course");
  kernels::Ctx ctx(o.threads);
  const model::ModelConfig config = model::load_config(model_directory(o.model));
  const kernels::Operand operand = operand_argument("", config);
  const infer::CacheForm cache = cache_argument(o.hold, config, operand);
  const int64_t bytes = eval::exam_memory_bytes(config, operand, o.parallel, cache);
  const LoadedModel m = load_model_argument(ctx, o.model, "", bytes, cache.absorbed, o.hold.map_files);
  const std::vector<data::Asked> questions = data::draw_exam(o.seed, o.limit);
  ProgressLine progress(10);
  const auto start = std::chrono::steady_clock::now();
  int64_t done = 0, right = 0;
  const auto answers = eval::take_exam(
      ctx, *m.model, m.tokenizer, questions, o.parallel,
      [&](const eval::ExamAnswer& a) {
        ++done;
        right += a.right;
        const double seconds = seconds_since(start), rate = static_cast<double>(done) / seconds;
        progress.show(fmt::format("question {}/{}  right {:.1f} %  {:.0f} per s  ETA {}", done, o.limit,
                                  100.0 * static_cast<double>(right) / static_cast<double>(done), rate,
                                  format_seconds(static_cast<double>(o.limit - done) / rate)));
      },
      cache);
  progress.finish();
  std::vector<eval::Score> nearest;
  if (!o.nearest.empty()) nearest = eval::nearest_by_kind(questions, eval::read_course(o.nearest));
  std::fputs(eval::exam_table(eval::scores_by_kind(answers), eval::chance_by_kind(questions), nearest,
                              detect_terminal(STDOUT_FILENO).columns)
                 .c_str(),
             stdout);
  if (!o.log.empty()) write_log(o.log, answers);
}
}  // namespace

void add_eval_command(CLI::App& app) {
  CLI::App* c = app.add_subcommand("eval", "examine a model: frugal eval MODEL --tasks course");
  auto o = std::make_shared<EvalOptions>();
  c->add_option("model", o->model, "model directory, or run directory (its newest checkpoint)")->required();
  c->add_option("--tasks", o->tasks, "course: held-out questions of `frugal data course`")
      ->capture_default_str();
  c->add_option("--limit", o->limit, "questions")->capture_default_str()->check(CLI::Range(1, 20000));
  c->add_option("--seed", o->seed, "same seed, same questions")->capture_default_str()->check(not_negative);
  c->add_option("--nearest", o->nearest,
                "the course trained on (JSONL): also grade the answer of the most similar question in it");
  c->add_option("--log-samples", o->log, "write every question and answer to this file (JSONL)");
  c->add_option("--parallel", o->parallel, "questions at once")
      ->capture_default_str()
      ->check(CLI::Range(1, 1024));
  add_hold_options(c, &o->hold);
  c->add_option("-t,--threads", o->threads, "0: every core")
      ->capture_default_str()
      ->check(CLI::Range(0, 4096));
  c->callback([o] { run_eval(*o); });
}

}  // namespace frugal::cli
