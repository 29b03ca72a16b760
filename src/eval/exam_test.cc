#include "eval/exam.h"

#include <gtest/gtest.h>

#include "eval/solver.h"
#include "test_models.h"
#include "text/chat.h"
#include "text/tokenizer_train.h"

namespace frugal::eval {
namespace {

TEST(Exam, AnswersDoNotDependOnHowManyAreAskedAtOnce) {
  const auto questions = data::draw_exam(3, 24);
  std::vector<std::string_view> texts;
  for (const data::Asked& q : questions) texts.push_back(q.problem.question);
  text::TokenizerTrainOptions options;
  options.vocab_size = 300;
  options.added_tokens = {text::kUserToken, text::kAssistantToken};
  const text::Tokenizer tokenizer = text::train_tokenizer(texts, options);
  model::ModelConfig config = test::v3_config();
  config.vocab_size = 300;
  kernels::Ctx ctx(2);
  model::Model model(config, kernels::Operand::kF32, true);
  model.init(ctx, 7);
  const auto alone = take_exam(ctx, model, tokenizer, questions, 1, {});
  int64_t calls = 0;
  const auto together = take_exam(ctx, model, tokenizer, questions, 7, [&](const ExamAnswer&) { ++calls; });
  EXPECT_EQ(calls, 24);
  ASSERT_EQ(alone.size(), together.size());
  for (size_t i = 0; i < alone.size(); ++i) {
    EXPECT_EQ(alone[i].response, together[i].response);
    EXPECT_EQ(alone[i].question, questions[i].problem.question);
    EXPECT_FALSE(alone[i].right);
  }
}

TEST(Exam, Scores) {
  std::vector<ExamAnswer> answers(8);
  for (size_t i = 0; i < 8; ++i) answers[i].kind = i % 2, answers[i].right = i == 2;
  const auto scores = scores_by_kind(answers);
  EXPECT_EQ(scores[0].asked, 4);
  EXPECT_EQ(scores[0].right, 1);
  EXPECT_DOUBLE_EQ(scores[0].share(), 0.25);
  EXPECT_DOUBLE_EQ(scores[0].standard_error(), std::sqrt(0.25 * 0.75 / 4));
  EXPECT_EQ(scores[1].right, 0);
  EXPECT_EQ(scores[2].asked, 0);
  EXPECT_EQ(scores[2].share(), 0);
  EXPECT_EQ(total(scores).asked, 8);
  EXPECT_NE(
      exam_table(scores, std::vector<double>(8, 0.125), {}).find("exact match 12.5 % over all kinds (1/8)"),
      std::string::npos);
}

TEST(Exam, ChanceCountsTheAnswersOffered) {
  std::vector<data::Asked> questions(4);
  questions[0] = {0, {"", "", "", "", "yes", 2}};
  questions[1] = {0, {"", "", "", "", "12", 0}};
  questions[2] = {1, {"", "", "", "", "Zor", 4}};
  questions[3] = {1, {"", "", "", "", "no", 2}};
  const auto chance = chance_by_kind(questions);
  EXPECT_DOUBLE_EQ(chance[0], 0.25);
  EXPECT_DOUBLE_EQ(chance[1], 0.375);
}

TEST(Exam, NearestTakesTheMostSimilarQuestion) {
  data::Problem a, b, c;
  a.question = "What is 12 + 7?", a.answer = "19";
  b.question = "Is 12 larger than 9?", b.answer = "yes";
  c.question = "Reverse \"HOUSE\".", c.answer = "ESUOH";
  std::vector<data::Asked> questions(2);
  questions[0].problem.question = "Is 13 larger than 9?", questions[0].problem.answer = "yes";
  questions[1].problem.question = "What is 13 + 7?", questions[1].problem.answer = "20";
  const auto scores = nearest_by_kind(questions, {a, b, c});
  EXPECT_EQ(scores[0].asked, 2);
  EXPECT_EQ(scores[0].right, 1);
  EXPECT_EQ(nearest_by_kind(questions, {})[0].right, 0);
}

}  // namespace
}  // namespace frugal::eval
