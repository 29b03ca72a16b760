#include "eval/solver.h"

#include <gtest/gtest.h>

#include <map>
#include <regex>
#include <set>

#include "data/course.h"

namespace frugal::eval {
namespace {

TEST(Solver, ReadsByHand) {
  EXPECT_EQ(solve("What is 98 + 6?"), "104");
  EXPECT_EQ(solve("Take 27 from 40."), "13");
  EXPECT_EQ(solve("How much is 7 times 123?"), "861");
  EXPECT_EQ(solve("Write 9, 120 and 14 in order, largest first."), "120 14 9");
  EXPECT_EQ(solve("Is 475 less than 474?"), "no");
  EXPECT_EQ(solve("Reverse \"HOUSE\"."), "ESUOH");
  EXPECT_EQ(solve("How many times is E in \"SEVEN\"?"), "2");
  EXPECT_EQ(solve("Which letter is number 2 in \"SEVEN\"?"), "E");
  EXPECT_EQ(solve("What day is 78 days after Saturday?"), "Sunday");
  EXPECT_EQ(solve("Which day is March 15 if March 1 is a Monday?"), "Monday");
  EXPECT_EQ(solve("How many days is it from May 4 to December 10 in 2023?"), "220");
  EXPECT_EQ(solve("Give 432 minutes in hours and minutes."), "7 hours 12 minutes");
  EXPECT_EQ(solve("One book costs $1.08. What is the change from $2.00?"), "$0.92");
  EXPECT_EQ(solve("Tom has 6 boxes of 4 cups each. He loses 5. How many cups are there now?"), "19");
  EXPECT_EQ(solve("Max has 4 cups and gets 2 more. Max puts them into 2 bags. How many are in each?"), "3");
  EXPECT_EQ(solve("Pox is weaker than Nib. Jat is stronger than Nib. Who is the weakest?"), "Pox");
  EXPECT_EQ(solve("Pox is weaker than Nib. Jat is stronger than Nib. So is Pox stronger than Jat?"), "no");
  EXPECT_EQ(solve("All dobs are kips. No nibs are kips. Must it be that no dobs are nibs?"), "yes");
  EXPECT_EQ(solve("All dobs are kips. All kips are nibs. Must it be that all nibs are dobs?"), "no");
}

TEST(Solver, SaysNothingWhereItCannotRead) {
  for (const char* text : {"", "Hello!", "Who is the tallest?", "What is 3?",
                           "Zor is taller than Mip. Lun is taller than Tak. Who is the tallest?",
                           "March 40 is a Monday. What day is it?"})
    EXPECT_EQ(solve(text), std::nullopt) << text;
}

// Every question of every kind: two programs that share no code give the same answer.
TEST(Solver, AgreesWithTheCourse) {
  std::map<std::string_view, int64_t> seen;
  for (int64_t i = 0; i < 20000; ++i) {
    const data::Asked a = data::course_problem(5, i);
    ++seen[data::course_kinds()[a.kind].name];
    ASSERT_EQ(solve(a.problem.question), a.problem.answer)
        << a.problem.question << " -> " << worked_answer(a.problem);
    ASSERT_EQ(data::final_answer(worked_answer(a.problem)), a.problem.answer);
  }
  EXPECT_EQ(seen.size(), 8u);
  for (const auto& [kind, n] : seen) EXPECT_GT(n, 2300) << kind;
  for (const data::Asked& a : data::draw_exam(1, 2000))
    ASSERT_EQ(solve(a.problem.question), a.problem.answer) << a.problem.question;
}

}  // namespace
}  // namespace frugal::eval
