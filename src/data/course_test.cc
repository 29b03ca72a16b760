#include "data/course.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <regex>
#include <set>
#include <unordered_set>

#include "base/error.h"

namespace frugal::data {
namespace {

TEST(Course, SameSeedSameProblems) {
  for (int64_t i = 0; i < 200; ++i) {
    EXPECT_EQ(course_line(course_problem(3, i).problem), course_line(course_problem(3, i).problem));
  }
  std::set<std::string> a, b;
  for (int64_t i = 0; i < 200; ++i) {
    a.insert(course_problem(3, i).problem.question);
    b.insert(course_problem(4, i).problem.question);
  }
  EXPECT_GT(a.size(), 190u);
  EXPECT_NE(a, b);
}

TEST(Course, PinnedProblems) {
  // A seed names a data set in recipes and reports: what it means must not drift.
  const auto line = [](int64_t i) { return course_line(course_problem(1, i).problem); };
  EXPECT_EQ(line(0), R"({"messages":[{"role":"user","content":"Which day comes 34 days after a Thursday?"},)"
                     R"({"role":"assistant","content":"34=4*7+6 Thursday=4 4+6=10-7=3 so Wednesday"}]})");
  EXPECT_EQ(
      line(1),
      R"({"messages":[{"role":"user","content":"Sam has 5 bags of 8 cups each. He loses 14. How many cups does Sam )"
      R"(have now?"},{"role":"assistant","content":"5*8=40 40-14=26 so 26"}]})");
  EXPECT_EQ(
      line(2),
      R"({"messages":[{"role":"user","content":"Sort \"KLUC\" from A to Z."},)"
      R"({"role":"assistant","content":"11K 12L 21U 03C: 11K 12L, 11K 12L 21U, 03C 11K 12L 21U so CKLU"}]})");
}

// Numbers, names and words replaced: what is left is the wording.
std::string shape(std::string text) {
  text = std::regex_replace(text, std::regex("\\d+"), "#");
  text = std::regex_replace(text, std::regex("\"[A-Z]+\"|\\b[A-Z]\\b"), "W");
  static const std::regex names(
      "\\b(Zor|Mip|Tak|Lun|Vex|Dob|Fen|Gil|Hul|Jat|Kip|Nol|Pim|Rud|Sog|Wib|Bax|Cam|Dez|Fip|Gon|Hep|Juv|Kel|"
      "Lop|Mur|Nib|Pox|Quin|Rab|Tuz|Yol|Tom|Anna|Ben|Mia|Sam|Lucy|Max|Emma|Leo|Sara|\\w+day)\\b");
  text = std::regex_replace(text, names, "N");
  static const std::regex things(
      "\\b(book|pen|cup|card|ball|cake|stamp|shell|stone|apple|zor|mip|tak|lun|vexe|dob|fen|gil|hul|jat|kip|"
      "nol|"
      "pim|rud|sog|wib|cap|gon|hep|kel|lop|mur|nib|yol|January|February|March|April|May|June|July|August|"
      "September|October|November|December|hour|minute|second|day|week|year|month|meter|centimeter|dollar|"
      "cent)s?\\b");
  return std::regex_replace(text, things, "T");
}

TEST(Course, KindsHaveManyWordingsAndOperandSets) {
  for (const Kind& kind : course_kinds()) {
    std::unordered_set<std::string> keys;
    std::set<std::string> shapes;
    for (size_t f = 0; f < kind.forms.size(); ++f)
      for (int64_t set = 0; set < std::min<int64_t>(20000, kind.forms[f].sets); ++set) {
        const Problem p = make_problem(kind, f, set, 7, 0);
        keys.insert(p.key);
        if (set < 500) shapes.insert(shape(p.question));
      }
    EXPECT_GE(keys.size(), 5000u) << kind.name;
    EXPECT_GE(shapes.size(), 20u) << kind.name;
  }
}

// Every operand set of every form, each asked twice: sides hold for the set whatever the wording, and no
// question of the exam's side is one of the course's.
TEST(Course, ExamNeverOccursInTheCourse) {
  for (const Kind& kind : course_kinds()) {
    std::unordered_map<std::string, Side> side_of_key;
    std::unordered_set<std::string> course, exam;
    int64_t sides[3] = {0, 0, 0};
    for (size_t f = 0; f < kind.forms.size(); ++f) {
      for (int64_t set = 0; set < kind.forms[f].sets; ++set) {
        for (int64_t wording = 0; wording < 2; ++wording) {
          const Problem p = make_problem(kind, f, set, 11, wording);
          const Side side = side_of(kind, p);
          ++sides[static_cast<int>(side)];
          // Structure enters the key where the kind has one.
          const auto [at, fresh] = side_of_key.emplace(p.key + "|" + p.structure, side);
          ASSERT_EQ(at->second, side) << p.question;
          if (side == Side::kCourse) course.insert(p.question);
          if (side == Side::kExam) exam.insert(p.question);
        }
      }
    }
    for (const std::string& q : exam) ASSERT_FALSE(course.count(q)) << q;
    const double total = static_cast<double>(sides[0] + sides[1] + sides[2]);
    EXPECT_GT(static_cast<double>(sides[static_cast<int>(Side::kExam)]), 0.01 * total) << kind.name;
    EXPECT_GT(static_cast<double>(sides[static_cast<int>(Side::kCourse)]), 0.5 * total) << kind.name;
  }
}

TEST(Course, LogicIsSplitByStructureToo) {
  const Kind& logic = course_kinds().back();
  std::set<std::string> course, exam;
  for (int64_t i = 0; i < 100000; ++i) {
    const Asked a = course_problem(2, i);
    if (a.kind == course_kinds().size() - 1) course.insert(a.problem.structure);
  }
  for (const Asked& a : draw_exam(2, 8000))
    if (a.kind == course_kinds().size() - 1) exam.insert(a.problem.structure);
  EXPECT_EQ(logic.name, "logic");
  EXPECT_GE(exam.size(), 20u);
  for (const std::string& s : exam) EXPECT_FALSE(course.count(s)) << s;
}

TEST(Course, ExamHasKindsInTurnAndNoQuestionTwice) {
  const auto exam = draw_exam(1, 2000);
  std::set<std::string> questions;
  for (size_t i = 0; i < exam.size(); ++i) {
    EXPECT_EQ(exam[i].kind, i % 8);
    EXPECT_TRUE(questions.insert(exam[i].problem.question).second);
    EXPECT_EQ(side_of(course_kinds()[exam[i].kind], exam[i].problem), Side::kExam);
  }
  EXPECT_THROW(draw_exam(1, 0), Error);
  EXPECT_THROW(draw_exam(1, 1000000), Error);
}

TEST(Course, FinalAnswer) {
  EXPECT_EQ(final_answer("8+6=14 so 104"), "104");
  EXPECT_EQ(final_answer("x so y so 3 hours 2 minutes.\n"), "3 hours 2 minutes");
  EXPECT_EQ(final_answer("104"), "");
}

}  // namespace
}  // namespace frugal::data
