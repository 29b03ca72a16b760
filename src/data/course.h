// The course: generated questions with worked answers of eight kinds, and an exam of questions that the
// course never asks. A corpus that is small, free of licences and easy to check: who has learnt it answers
// questions never seen before.
//
// A problem is made from an operand set (numbers, names, words) and a wording. Operand sets are split once
// and for all, whatever the seed: an exam asks of one side, the course of the other. Logic is split by
// structure too (which premise comes first, which way round it is said, what is asked): its exam has neither
// the sets of names nor the structures of the course.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace frugal::data {

class Draws;  // data/draws.h

struct Problem {
  std::string key;        // the operand set, the same for every order and wording that mean the same
  std::string structure;  // logic only
  std::string question;   // "What is 98 + 6?"
  std::string work;       // "098+006: 8+6=14 9+0+1=10 0+0+1=1"
  std::string answer;     // "104"
  int choices = 0;        // answers among which the question lets one guess ("yes", "no": 2); 0: not a choice
};

// A way to ask: a pure function of two independent streams of draws.
struct Form {
  int64_t sets;  // operand sets that training and exams draw from
  Problem (*make)(Draws& operands, Draws& wording);
};

struct Kind {
  std::string_view name;
  std::vector<Form> forms;  // equally frequent
};
// Eight kinds, equally frequent.
const std::vector<Kind>& course_kinds();

// Operand set `set` of a form, asked in the way that number `wording` draws.
Problem make_problem(const Kind& kind, size_t form, int64_t set, uint64_t seed, int64_t wording);

enum class Side { kCourse, kExam, kNeither };
Side side_of(const Kind& kind, const Problem& problem);

struct Asked {
  size_t kind = 0;  // index into course_kinds()
  Problem problem;
};
// Problem `index` of the endless course of `seed`.
Asked course_problem(uint64_t seed, int64_t index);
// `count` different questions, kinds in turn. Throws Error when count is not in 1 .. 20,000.
std::vector<Asked> draw_exam(uint64_t seed, int64_t count);

// "WORK so ANSWER", what the model is to say.
std::string worked_answer(const Problem& problem);
// What stands after the last "so " of a response, without trailing white space and full stop; empty if there
// is none.
std::string final_answer(std::string_view response);

// One line of JSON in chat form: {"messages":[{"role":"user",...},{"role":"assistant",...}]}.
std::string course_line(const Problem& problem);
// Lines 0 .. count-1 of the course of `seed`, each with its line end.
std::string course_text(uint64_t seed, int64_t count);

}  // namespace frugal::data
