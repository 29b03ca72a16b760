#include "data/tasks.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cctype>
#include <map>
#include <regex>
#include <set>

#include "base/error.h"
#include "data/draws.h"

namespace frugal::data {
namespace {

std::vector<int> numbers_in(const std::string& text) {
  std::vector<int> out;
  for (size_t i = 0; i < text.size();) {
    if (!std::isdigit(static_cast<unsigned char>(text[i]))) {
      ++i;
      continue;
    }
    int value = 0;
    for (; i < text.size() && std::isdigit(static_cast<unsigned char>(text[i])); ++i)
      value = value * 10 + (text[i] - '0');
    out.push_back(value);
  }
  return out;
}

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

std::vector<Task> tasks_of(const std::string& kind, int64_t searched = 8000) {
  std::vector<Task> out;
  for (int64_t i = 0; i < searched; ++i)
    if (Task task = make_task(17, i); task.kind == kind) out.push_back(std::move(task));
  EXPECT_GT(out.size(), 500u) << kind;
  return out;
}

// Every "a+b+c=d", "a-b=c", "a*b=c" and "a<b" of the work must be true.
void check_equations(const std::string& work) {
  static const std::regex kStep(R"((\d+(?:[-+*]\d+)*)([=<>])(\d+))");
  for (auto it = std::sregex_iterator(work.begin(), work.end(), kStep); it != std::sregex_iterator(); ++it) {
    const std::string left = (*it)[1], relation = (*it)[2];
    const std::vector<int> terms = numbers_in(left);
    int value = terms[0];
    size_t term = 1;
    for (const char c : left) {
      if (c == '+') value += terms[term++];
      if (c == '-') value -= terms[term++];
      if (c == '*') value *= terms[term++];
    }
    const int right = std::stoi((*it)[3]);
    EXPECT_TRUE(relation == "=" ? value == right : relation == "<" ? value < right : value > right) << work;
  }
}

TEST(Tasks, SameSeedSameDocuments) {
  const auto a = generate_tasks(3, 200);
  ASSERT_EQ(a.size(), 200u);
  EXPECT_EQ(a, generate_tasks(3, 200));
  EXPECT_NE(a, generate_tasks(4, 200));
  const auto b = generate_tasks(3, 300);
  EXPECT_TRUE(std::equal(a.begin(), a.end(), b.begin())) << "a longer list must begin with the shorter one";
  EXPECT_EQ(task_document(make_task(3, 150)), a[150]);
  EXPECT_TRUE(generate_tasks(3, 0).empty());
}

TEST(Tasks, PinnedDocuments) {
  // A seed names a data set in recipes and reports: what it means must not drift.
  const auto documents = generate_tasks(1, 3);
  EXPECT_EQ(documents[0],
            "Question: Take 2 away from 33.\nAnswer: 033 - 002 ; 3-2=1, 3-0-0=3, 0-0-0=0 so 31\n");
  EXPECT_EQ(documents[1],
            "Question: How many letters has the word flower?\nAnswer: f 1, l 2, o 3, w 4, e 5, r 6 so 6\n");
  EXPECT_EQ(documents[2],
            "Question: How much is 477 plus 6?\nAnswer: 477 + 006 ; 7+6=13, 7+0+1=8, 4+0+0=4 so 483\n");
}

TEST(Tasks, NegativeCountIsAnError) {
  try {
    generate_tasks(1, -2);
    FAIL();
  } catch (const Error& e) {
    EXPECT_STREQ(e.what(), "tasks: -2 documents; give a number of at least 0");
  }
}

TEST(Tasks, FormOfADocument) {
  const Task task{"addition", "What is 98 + 6?", "098 + 006 ; 8+6=14, 9+0+1=10, 0+0+1=1", "104"};
  EXPECT_EQ(task_document(task),
            "Question: What is 98 + 6?\nAnswer: 098 + 006 ; 8+6=14, 9+0+1=10, 0+0+1=1 so 104\n");
  EXPECT_EQ(task_prompt(task), "Question: What is 98 + 6?\nAnswer:");
}

TEST(Tasks, KindsAreEquallyFrequentAndVaried) {
  std::map<std::string, int> count;
  std::map<std::string, std::set<std::string>> distinct;
  constexpr int kDocuments = 7000;
  for (int64_t i = 0; i < kDocuments; ++i) {
    const Task task = make_task(5, i);
    ++count[std::string(task.kind)];
    distinct[std::string(task.kind)].insert(task_document(task));
  }
  ASSERT_EQ(count.size(), task_kinds().size());
  for (const TaskKind& kind : task_kinds()) {
    const std::string name(kind.name);
    EXPECT_NEAR(count[name], kDocuments / static_cast<double>(task_kinds().size()), 150) << name;
    EXPECT_GT(distinct[name].size(), 250u) << name;
    Draws draws(1, "kind", 0);
    EXPECT_EQ(kind.make(draws).kind, kind.name);
  }
}

// Tokens when digits, punctuation, separate letters and unknown words (`spelled`) stand one by one, other
// words are one token with the space before them, and BOS and EOS are counted.
int64_t tokens_of(const std::string& document, const std::string& spelled) {
  static const std::regex kToken(R"( ?[A-Za-z]+| ?[^A-Za-z0-9\s]|\d|\s)");
  int64_t tokens = 2;
  for (auto it = std::sregex_iterator(document.begin(), document.end(), kToken); it != std::sregex_iterator();
       ++it) {
    const std::string word = it->str().substr(it->str()[0] == ' ' ? 1 : 0);
    tokens += word == spelled ? static_cast<int64_t>(std::max<size_t>(1, word.size())) : 1;
  }
  return tokens;
}

TEST(Tasks, DocumentsAreShortAscii) {
  EXPECT_EQ(
      tokens_of("Question: What is 98 + 6?\nAnswer: 098 + 006 ; 8+6=14, 9+0+1=10, 0+0+1=1 so 104\n", ""), 58);
  int64_t longest = 0;
  for (int64_t i = 0; i < 20000; ++i) {
    const Task task = make_task(9, i);
    const std::string document = task_document(task);
    const int64_t tokens = tokens_of(document, task.kind == "reversal" ? task.answer : "");
    ASSERT_LE(tokens, 75) << document;
    longest = std::max(longest, tokens);
    ASSERT_TRUE(std::all_of(document.begin(), document.end(), [](char c) {
      return c == '\n' || (c >= ' ' && c < 127);
    })) << document;
    ASSERT_FALSE(contains(document, "  ")) << document;
    ASSERT_FALSE(contains(document, "{")) << document;
    ASSERT_EQ(std::count(document.begin(), document.end(), '\n'), 2) << document;
  }
  EXPECT_GT(longest, 60);  // or the count above counts nothing
}

TEST(Tasks, AdditionIsRight) {
  int carries = 0, thousands = 0;
  for (const Task& task : tasks_of("addition")) {
    const auto q = numbers_in(task.question);
    ASSERT_EQ(q.size(), 2u) << task.question;
    EXPECT_EQ(task.answer, std::to_string(q[0] + q[1])) << task.question;
    const auto w = numbers_in(task.work);
    ASSERT_EQ(w.size(), 2u + 3u + 4u + 4u) << task.work;
    EXPECT_EQ(w[0], q[0]);
    EXPECT_EQ(w[1], q[1]);
    // The answer reads off the columns: units, tens, and all of the last sum.
    EXPECT_EQ(w[4] % 10 + 10 * (w[8] % 10) + 100 * w[12], q[0] + q[1]) << task.work;
    EXPECT_EQ(w[7], w[4] / 10) << "carry: " << task.work;
    EXPECT_EQ(w[11], w[8] / 10) << "carry: " << task.work;
    check_equations(task.work);
    carries += w[7] + w[11];
    thousands += q[0] + q[1] > 999;
  }
  EXPECT_GT(carries, 100);
  EXPECT_GT(thousands, 10);
}

TEST(Tasks, SubtractionIsRight) {
  int borrows = 0;
  for (const Task& task : tasks_of("subtraction")) {
    auto q = numbers_in(task.question);
    ASSERT_EQ(q.size(), 2u) << task.question;
    const bool reversed = task.question.starts_with("Subtract") || task.question.starts_with("Take");
    if (reversed) std::swap(q[0], q[1]);
    ASSERT_GE(q[0], q[1]) << task.question;
    EXPECT_EQ(task.answer, std::to_string(q[0] - q[1])) << task.question;
    const auto w = numbers_in(task.work);
    ASSERT_EQ(w.size(), 2u + 3u + 4u + 4u) << task.work;
    EXPECT_EQ(w[0], q[0]) << task.work;
    EXPECT_EQ(w[1], q[1]) << task.work;
    EXPECT_EQ(w[4] + 10 * w[8] + 100 * w[12], q[0] - q[1]) << task.work;
    EXPECT_EQ(w[7], w[2] >= 10) << "borrow: " << task.work;
    EXPECT_EQ(w[11], w[5] >= 10) << "borrow: " << task.work;
    check_equations(task.work);
    borrows += w[7] + w[11];
  }
  EXPECT_GT(borrows, 100);
}

TEST(Tasks, ComparisonIsRight) {
  std::set<size_t> steps;
  std::map<std::string, int> answers;
  for (const Task& task : tasks_of("comparison")) {
    const auto q = numbers_in(task.question);
    ASSERT_EQ(q.size(), 2u) << task.question;
    ASSERT_NE(q[0], q[1]);
    const bool more = contains(task.question, "larger") || contains(task.question, "more");
    if (contains(task.question, "Is ")) {
      EXPECT_EQ(task.answer, (more ? q[0] > q[1] : q[0] < q[1]) ? "yes" : "no") << task.question;
      ++answers[task.answer];
    } else {
      EXPECT_EQ(task.answer, std::to_string(more ? std::max(q[0], q[1]) : std::min(q[0], q[1])))
          << task.question;
    }
    const auto w = numbers_in(task.work);
    ASSERT_GE(w.size(), 4u);
    EXPECT_EQ(w[0], q[0]);
    EXPECT_EQ(w[1], q[1]);
    // Equal digits, then one pair that differs the same way as the numbers.
    for (size_t i = 2; i + 2 < w.size(); i += 2) EXPECT_EQ(w[i], w[i + 1]) << task.work;
    EXPECT_EQ(w[w.size() - 2] < w[w.size() - 1], q[0] < q[1]) << task.work;
    EXPECT_NE(w[w.size() - 2], w[w.size() - 1]) << task.work;
    check_equations(task.work);
    steps.insert(w.size());
  }
  EXPECT_EQ(steps, (std::set<size_t>{4, 6, 8}));
  EXPECT_GT(answers["yes"], 100);
  EXPECT_GT(answers["no"], 100);
}

std::string spaced(const std::string& word) {
  std::string out;
  for (const char c : word) {
    out += c;
    out += ' ';
  }
  out.pop_back();
  return out;
}

TEST(Tasks, ReversalIsRight) {
  for (const Task& task : tasks_of("reversal")) {
    const std::string word(task.answer.rbegin(), task.answer.rend());
    EXPECT_TRUE(contains(task.question, word)) << task.question;
    EXPECT_EQ(task.work, spaced(word) + " ; " + spaced(task.answer));
  }
}

TEST(Tasks, SpellingIsRight) {
  std::set<std::string> forms;
  for (const Task& task : tasks_of("spelling")) {
    static const std::regex kWord(R"((?:the word|letter of) ([a-z]+)\?)");
    std::smatch match;
    ASSERT_TRUE(std::regex_search(task.question, match, kWord)) << task.question;
    const std::string word = match[1];
    std::string letters;  // the letters that the work names
    for (const char c : task.work)
      if (std::isalpha(static_cast<unsigned char>(c))) letters += c;
    ASSERT_TRUE(word.starts_with(letters)) << task.work;
    const auto numbers = numbers_in(task.work);
    for (size_t i = 0; i < numbers.size(); ++i) EXPECT_EQ(numbers[i], static_cast<int>(i) + 1) << task.work;
    if (contains(task.question, "How many")) {
      EXPECT_EQ(task.answer, std::to_string(word.size()));
      EXPECT_EQ(numbers.size(), word.size());
      forms.insert("count");
    } else if (contains(task.question, "first")) {
      EXPECT_EQ(task.answer, word.substr(0, 1));
      forms.insert("first");
    } else if (contains(task.question, "last")) {
      EXPECT_EQ(task.answer, word.substr(word.size() - 1));
      EXPECT_EQ(letters, word);
      forms.insert("last");
    } else {
      const size_t n = static_cast<size_t>(numbers_in(task.question)[0]);
      EXPECT_EQ(task.answer, word.substr(n - 1, 1));
      EXPECT_EQ(letters.size(), n);
      EXPECT_EQ(numbers.size(), n);
      forms.insert("nth");
    }
  }
  EXPECT_EQ(forms.size(), 4u);
}

TEST(Tasks, DaysAreRight) {
  const std::vector<std::string> days = {"Monday", "Tuesday",  "Wednesday", "Thursday",
                                         "Friday", "Saturday", "Sunday"};
  int forwards = 0, backwards = 0;
  for (const Task& task : tasks_of("days")) {
    const int count = numbers_in(task.question)[0];
    int start = -1;
    for (int d = 0; d < 7; ++d)
      if (contains(task.question, days[d])) start = d;
    ASSERT_GE(start, 0) << task.question;
    const bool back = contains(task.question, "before") || contains(task.question, "ago") ||
                      contains(task.question, "earlier");
    const int end = ((start + (back ? -count : count)) % 7 + 7) % 7;
    EXPECT_EQ(task.answer, days[end]) << task.question;
    check_equations(task.work);
    // Named in order from the start to the answer, numbered from 0 to what is left of the weeks.
    std::string expected = days[start] + " 0";
    for (int i = 1; i <= count % 7; ++i)
      expected += ", " + days[((start + (back ? -i : i)) % 7 + 7) % 7] + " " + std::to_string(i);
    EXPECT_TRUE(task.work.ends_with(" ; " + expected)) << task.work;
    EXPECT_EQ(numbers_in(task.work)[0], count);
    EXPECT_EQ(contains(task.work, "="), count >= 7);
    if (count == 1) {
      EXPECT_FALSE(contains(task.question, "days")) << task.question;
    }
    ++(back ? backwards : forwards);
  }
  EXPECT_GT(forwards, 100);
  EXPECT_GT(backwards, 100);
}

TEST(Tasks, WordProblemsAreRight) {
  std::map<std::string, int> forms;
  for (const Task& task : tasks_of("word problem")) {
    const auto q = numbers_in(task.question);
    ASSERT_EQ(q.size(), 3u) << task.question;
    int answer = -1;
    if (contains(task.question, "gives away")) {
      answer = q[0] + q[1] - q[2];
      ++forms["give"];
    } else if (contains(task.question, "boxes")) {
      answer = q[0] * q[1] + q[2];
      ++forms["boxes"];
    } else if (contains(task.question, "lost")) {
      answer = q[0] - q[1] - q[2];
      ++forms["lost"];
    } else if (contains(task.question, "packs")) {
      answer = q[2] - q[0] * q[1];
      EXPECT_FALSE(contains(task.question, "packs of coins")) << task.question;
      ++forms["packs"];
    }
    EXPECT_EQ(task.answer, std::to_string(answer)) << task.question;
    EXPECT_GE(answer, 0) << task.question;
    check_equations(task.work);
    const auto w = numbers_in(task.work);
    ASSERT_EQ(w.size(), 6u) << task.work;
    EXPECT_EQ(w[5], answer);
    EXPECT_EQ(w[0], q[0]) << task.work;
    EXPECT_EQ(contains(task.question, " He ") || contains(task.question, " he "),
              std::regex_search(task.question, std::regex("^(Tom|Ben|Sam|Max|Leo) ")) &&
                  (contains(task.question, "gives") || contains(task.question, "lost") ||
                   contains(task.question, "packs")))
        << task.question;
  }
  EXPECT_EQ(forms.size(), 4u);
}

}  // namespace
}  // namespace frugal::data
