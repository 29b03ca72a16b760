// Generated training text: short questions with worked answers, for demonstrations and tests that need a
// corpus which is small, free of licences and easy to check. A model that has learnt it answers questions
// that it has never seen.
//
// A document is "Question: ...\nAnswer: WORK so ANSWER\n". The work writes out every step in the order in
// which it is done (columns from the right, a word letter by letter), so that each token follows from those
// before it. Whole documents stay within about 75 tokens, even if numbers and unusual words are spelled one
// character at a time.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace frugal::data {

class Draws;  // data/draws.h

struct Task {
  std::string_view kind;  // name of its TaskKind
  std::string question;   // "What is 98 + 6?"
  std::string work;       // "098 + 006 ; 8+6=14, 9+0+1=10, 0+0+1=1"
  std::string answer;     // "104"
};

struct TaskKind {
  std::string_view name;
  Task (*make)(Draws& draws);
};

// All kinds, equally frequent. The position in the table is part of what a seed means: append, do not insert.
const std::vector<TaskKind>& task_kinds();

// Task `index` of the endless sequence of `seed`: a pure function, so that any part can be made without the
// rest.
Task make_task(uint64_t seed, int64_t index);

std::string task_prompt(const Task& task);    // "Question: ...\nAnswer:", what a model is asked to continue
std::string task_document(const Task& task);  // the prompt and " WORK so ANSWER\n"

// Documents 0 .. count-1 of `seed`. Throws Error when count is negative.
std::vector<std::string> generate_tasks(uint64_t seed, int64_t count);

}  // namespace frugal::data
