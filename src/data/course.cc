#include "data/course.h"

#include <xxhash.h>

#include <nlohmann/json.hpp>
#include <unordered_set>

#include "base/error.h"
#include "data/course_forms.h"

namespace frugal::data {

namespace {
constexpr uint64_t kExamShare = 8;       // one operand set of so many is held out
constexpr uint64_t kStructureShare = 6;  // and one structure of so many

bool held_out(std::string_view kind, std::string_view text, uint64_t share) {
  const uint64_t seed = XXH64(kind.data(), kind.size(), 0);
  return XXH64(text.data(), text.size(), seed) % share == 0;
}
}  // namespace

const std::vector<Kind>& course_kinds() {
  static const std::vector<Kind> kinds = {
      {"add and subtract", sum_forms()},
      {"multiply", product_forms()},
      {"compare and order", comparison_forms()},
      {"letters and words", letter_forms()},
      {"calendar", calendar_forms()},
      {"units and money", unit_forms()},
      {"two-step stories", story_forms()},
      {"logic", logic_forms()},
  };
  return kinds;
}

Problem make_problem(const Kind& kind, size_t form, int64_t set, uint64_t seed, int64_t wording) {
  // The operand sets of a form are fixed: no seed enters.
  Draws operands(0, fmt::format("{} {} operands", kind.name, form), set);
  Draws words(seed, fmt::format("{} {} wording {}", kind.name, form, set), wording);
  return kind.forms[form].make(operands, words);
}

Side side_of(const Kind& kind, const Problem& p) {
  const bool key = held_out(kind.name, p.key, kExamShare);
  if (p.structure.empty()) return key ? Side::kExam : Side::kCourse;
  if (held_out(kind.name, p.structure, kStructureShare)) return key ? Side::kExam : Side::kNeither;
  return key ? Side::kNeither : Side::kCourse;
}

namespace {
// The first problem of the wanted side among those that `draws` names.
Problem draw_problem(Draws& draws, const Kind& kind, Side side) {
  while (true) {
    const size_t form = static_cast<size_t>(draws.below(static_cast<int64_t>(kind.forms.size())));
    const int64_t set = draws.below(kind.forms[form].sets);
    Problem p = make_problem(kind, form, set, draws.next(), 0);
    if (side_of(kind, p) == side) return p;
  }
}
}  // namespace

Asked course_problem(uint64_t seed, int64_t index) {
  Draws draws(seed, "course", index);
  const size_t kind = static_cast<size_t>(draws.below(static_cast<int64_t>(course_kinds().size())));
  return {kind, draw_problem(draws, course_kinds()[kind], Side::kCourse)};
}

std::vector<Asked> draw_exam(uint64_t seed, int64_t count) {
  constexpr int64_t kMost = 20000;
  if (count < 1 || count > kMost)
    fail("exam", fmt::format("{} questions", count), fmt::format("use 1 to {}", kMost));
  Draws draws(seed, "exam", 0);
  std::unordered_set<std::string> seen;
  std::vector<Asked> exam;
  while (static_cast<int64_t>(exam.size()) < count) {
    const size_t kind = exam.size() % course_kinds().size();
    Problem p = draw_problem(draws, course_kinds()[kind], Side::kExam);
    if (seen.insert(p.question).second) exam.push_back({kind, std::move(p)});
  }
  return exam;
}

std::string worked_answer(const Problem& p) { return p.work + " so " + p.answer; }

std::string final_answer(std::string_view response) {
  const size_t at = response.rfind("so ");
  if (at == std::string_view::npos) return "";
  std::string_view answer = response.substr(at + 3);
  while (!answer.empty() && (answer.back() == ' ' || answer.back() == '\n' || answer.back() == '.'))
    answer.remove_suffix(1);
  return std::string(answer);
}

std::string course_line(const Problem& p) {
  nlohmann::ordered_json user = {{"role", "user"}, {"content", p.question}};
  nlohmann::ordered_json assistant = {{"role", "assistant"}, {"content", worked_answer(p)}};
  nlohmann::ordered_json line;
  line["messages"] = {user, assistant};
  return line.dump();
}

std::string course_text(uint64_t seed, int64_t count) {
  std::string text;
  for (int64_t i = 0; i < count; ++i) text += course_line(course_problem(seed, i).problem) + "\n";
  return text;
}

}  // namespace frugal::data
