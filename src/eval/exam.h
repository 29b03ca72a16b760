// The exam of the course: held-out questions, greedy answers, grades by the solver, and two controls.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "data/course.h"
#include "infer/engine.h"
#include "kernels/ctx.h"
#include "model/model.h"
#include "text/tokenizer.h"

namespace frugal::eval {

struct ExamAnswer {
  size_t kind = 0;  // index into data::course_kinds()
  std::string question, response;
  std::string expected;  // the solver's answer
  bool right = false;    // final_answer(response) == expected
};

// Answers each question in a conversation of its own, `parallel` at once, with the most probable token each
// time. on_answer is called as answers come, in no fixed order; it may be empty. `cache` as what the model
// was loaded for: the answers are what generate and chat would sample with it. The result is in the order of
// the questions and does not depend on `parallel`. Throws Error for a question that the solver cannot read.
std::vector<ExamAnswer> take_exam(kernels::Ctx& ctx, model::Model& model, const text::Tokenizer& tokenizer,
                                  const std::vector<data::Asked>& questions, int64_t parallel,
                                  const std::function<void(const ExamAnswer&)>& on_answer,
                                  const infer::CacheForm& cache = {});
// Bytes that taking an exam needs beside the model.
int64_t exam_memory_bytes(const model::ModelConfig& config, kernels::Operand operand, int64_t parallel,
                          const infer::CacheForm& cache = {});

struct Score {
  int64_t asked = 0, right = 0;
  double share() const { return asked > 0 ? static_cast<double>(right) / static_cast<double>(asked) : 0; }
  double standard_error() const;  // of the share, binomial
};
// One per kind.
std::vector<Score> scores_by_kind(const std::vector<ExamAnswer>& answers);
Score total(const std::vector<Score>& scores);

// Expected score of blind guessing among the answers that each question offers, per kind.
std::vector<double> chance_by_kind(const std::vector<data::Asked>& questions);

// The questions and answers of a course file. Throws Error for a file that is none.
std::vector<data::Problem> read_course(const std::string& path);

// Control: answers each question with the answer of the most similar training question (words in common,
// weighted by their rarity; numbers count digit by digit and as wholes).
std::vector<Score> nearest_by_kind(const std::vector<data::Asked>& questions,
                                   const std::vector<data::Problem>& training);

// The table of an exam as text: kind, share, standard error, chance, nearest (empty: not shown). Below 60
// columns the two controls are given in one line.
std::string exam_table(const std::vector<Score>& scores, const std::vector<double>& chance,
                       const std::vector<Score>& nearest, int columns = 80);

}  // namespace frugal::eval
