#include "eval/exam.h"

#include <algorithm>
#include <cmath>
#include <unordered_map>

#include "base/error.h"
#include "base/math64.h"
#include "data/corpus.h"
#include "eval/solver.h"
#include "text/chat.h"

namespace frugal::eval {

namespace {
constexpr int64_t kContext = 256;       // the longest question and worked answer take about 110 tokens
constexpr int64_t kAnswerTokens = 128;  // what talks longer has lost its way

infer::EngineOptions engine_options(const model::ModelConfig& config, int64_t parallel,
                                    const infer::CacheForm& cache) {
  infer::EngineOptions o;
  o.max_context = std::min(kContext, config.max_position_embeddings);
  o.max_sequences = parallel;
  o.max_batch_tokens = std::max<int64_t>(parallel, 256);
  o.cache = cache;
  return o;
}
}  // namespace

int64_t exam_memory_bytes(const model::ModelConfig& config, kernels::Operand operand, int64_t parallel,
                          const infer::CacheForm& cache) {
  return infer::Engine::memory_bytes(config, operand, engine_options(config, parallel, cache));
}

std::vector<ExamAnswer> take_exam(kernels::Ctx& ctx, model::Model& model, const text::Tokenizer& tokenizer,
                                  const std::vector<data::Asked>& questions, int64_t parallel,
                                  const std::function<void(const ExamAnswer&)>& on_answer,
                                  const infer::CacheForm& cache) {
  const infer::EngineOptions options = engine_options(model.config, parallel, cache);
  infer::Engine engine(ctx, model, options);
  std::vector<ExamAnswer> answers;
  std::vector<std::vector<int32_t>> ids(questions.size());
  std::unordered_map<int64_t, size_t> question_of;
  const text::ChatTemplate chat = text::chat_template(tokenizer);
  for (size_t i = 0; i < questions.size(); ++i) {
    const std::string& question = questions[i].problem.question;
    const std::optional<std::string> expected = solve(question);
    if (!expected) fail("exam", "the solver cannot read \"" + question + "\"", "this is a defect of frugal");
    answers.push_back({questions[i].kind, question, "", *expected, false});
    infer::Request request;
    const std::vector<text::Message> messages = {{"user", question}};
    request.prompt = text::encode_chat(tokenizer, chat, messages, {.generation_prompt = true});
    // A model too short for a question has not answered it.
    if (static_cast<int64_t>(request.prompt.size()) >= options.max_context) continue;
    request.sampling.temperature = 0;
    request.max_tokens = kAnswerTokens;
    request.stop_tokens = text::chat_stop_tokens(tokenizer, chat);
    question_of[engine.add(std::move(request))] = i;
  }
  while (!engine.idle()) {
    for (const infer::Event& e : engine.step()) {
      const size_t i = question_of.at(e.request);
      if (e.finish != infer::Finish::kStop) ids[i].push_back(e.token);
      if (e.finish == infer::Finish::kNone) continue;
      ExamAnswer& a = answers[i];
      a.response = tokenizer.decode(ids[i], true);
      a.right = e.finish == infer::Finish::kStop && data::final_answer(a.response) == a.expected;
      if (on_answer) on_answer(a);
    }
  }
  return answers;
}

double Score::standard_error() const {
  return asked > 0 ? std::sqrt(share() * (1 - share()) / static_cast<double>(asked)) : 0;
}

std::vector<Score> scores_by_kind(const std::vector<ExamAnswer>& answers) {
  std::vector<Score> scores(data::course_kinds().size());
  for (const ExamAnswer& a : answers) {
    ++scores[a.kind].asked;
    scores[a.kind].right += a.right;
  }
  return scores;
}

Score total(const std::vector<Score>& scores) {
  Score sum;
  for (const Score& s : scores) sum = {sum.asked + s.asked, sum.right + s.right};
  return sum;
}

std::vector<double> chance_by_kind(const std::vector<data::Asked>& questions) {
  std::vector<double> sum(data::course_kinds().size()), count(sum.size());
  for (const data::Asked& q : questions) {
    if (q.problem.choices > 0) sum[q.kind] += 1.0 / q.problem.choices;
    ++count[q.kind];
  }
  for (size_t k = 0; k < sum.size(); ++k) sum[k] = count[k] > 0 ? sum[k] / count[k] : 0;
  return sum;
}

namespace {
// Words, whole numbers and single characters of numbers and capitals.
std::vector<std::string> features(const std::string& question) {
  std::vector<std::string> out;
  std::string word;
  const auto flush = [&] {
    if (word.empty()) return;
    out.push_back(word);
    if (word.size() > 1 && !(word[0] >= 'a' && word[0] <= 'z') && !(word[1] >= 'a' && word[1] <= 'z'))
      for (const char c : word) out.emplace_back(1, c);
    word.clear();
  };
  for (const char c : question) {
    const bool part = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    if (part)
      word += c;
    else
      flush();
  }
  flush();
  std::sort(out.begin(), out.end());
  out.erase(std::unique(out.begin(), out.end()), out.end());
  return out;
}
}  // namespace

std::vector<data::Problem> read_course(const std::string& path) {
  std::vector<data::Problem> problems;
  data::CorpusOptions options;
  options.read.strict = true;
  for (const data::Document& d : data::read_documents({path}, options)) {
    if (d.messages.size() != 2)
      fail(d.source, "is not a question and its answer", "give a file that `frugal data course` wrote");
    data::Problem p;
    p.question = d.messages[0].content;
    p.answer = data::final_answer(d.messages[1].content);
    problems.push_back(std::move(p));
  }
  return problems;
}

std::vector<Score> nearest_by_kind(const std::vector<data::Asked>& questions,
                                   const std::vector<data::Problem>& training) {
  std::unordered_map<std::string, std::vector<uint32_t>> where;  // training questions that have a feature
  std::vector<float> length(training.size());
  for (uint32_t i = 0; i < training.size(); ++i)
    for (const std::string& f : features(training[i].question)) where[f].push_back(i);
  const auto weight = [&](const std::vector<uint32_t>& list) {
    return static_cast<float>(
        log64(1.0 + static_cast<double>(training.size()) / static_cast<double>(list.size())));
  };
  for (const auto& [feature, list] : where)
    for (const uint32_t i : list) length[i] += weight(list) * weight(list);
  std::vector<Score> scores(data::course_kinds().size());
  std::vector<float> score(training.size());
  for (const data::Asked& q : questions) {
    std::fill(score.begin(), score.end(), 0.0f);
    for (const std::string& f : features(q.problem.question)) {
      const auto found = where.find(f);
      if (found == where.end()) continue;
      const float w = weight(found->second) * weight(found->second);
      for (const uint32_t i : found->second) score[i] += w;
    }
    size_t best = 0;
    for (size_t i = 0; i < training.size(); ++i) {
      score[i] /= std::sqrt(length[i]);  // cosine, but for the question's own length
      if (score[i] > score[best]) best = i;
    }
    ++scores[q.kind].asked;
    scores[q.kind].right += !training.empty() && training[best].answer == q.problem.answer;
  }
  return scores;
}

std::string exam_table(const std::vector<Score>& scores, const std::vector<double>& chance,
                       const std::vector<Score>& nearest, int columns) {
  const bool wide = columns >= 60;
  double mean_chance = 0;
  for (const double c : chance) mean_chance += c / static_cast<double>(chance.size());
  std::string text = fmt::format("{:<20} {:>14}", "exam, held out", "right");
  if (wide) text += fmt::format(" {:>9}{}", "chance", nearest.empty() ? "" : "  nearest");
  const auto row = [&](std::string_view name, const Score& score, double by_chance, double by_nearest) {
    text += fmt::format("\n{:<20} {:>5.1f} % ± {:>3.1f}", name, 100 * score.share(),
                        100 * score.standard_error());
    if (wide) text += fmt::format(" {:>7.1f} %", 100 * by_chance);
    if (wide && !nearest.empty()) text += fmt::format(" {:>6.1f} %", 100 * by_nearest);
  };
  for (size_t k = 0; k < scores.size(); ++k)
    row(data::course_kinds()[k].name, scores[k], chance[k], nearest.empty() ? 0 : nearest[k].share());
  const Score all = total(scores);
  row("all", all, mean_chance, total(nearest).share());
  if (!wide) {
    text += fmt::format("\nguessing: {:.1f} %", 100 * mean_chance);
    if (!nearest.empty()) text += fmt::format(", nearest: {:.1f} %", 100 * total(nearest).share());
  }
  return text + fmt::format("\nexact match {:.1f} % over all kinds ({}/{})\n", 100 * all.share(), all.right,
                            all.asked);
}

}  // namespace frugal::eval
