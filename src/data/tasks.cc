#include "data/tasks.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <utility>

#include "base/error.h"
#include "data/draws.h"

namespace frugal::data {

namespace {

constexpr int kColumns = 3;  // digits of the largest operands

constexpr std::array<std::string_view, 7> kDays = {"Monday", "Tuesday",  "Wednesday", "Thursday",
                                                   "Friday", "Saturday", "Sunday"};

// At most seven letters, so that a word, its letters and its reverse stay short.
constexpr std::array<std::string_view, 72> kWords = {
    "apple",  "bird",   "boat",   "book",   "bread",  "bridge", "bus",    "candle", "cat",
    "chair",  "cloud",  "coat",   "corn",   "cup",    "desk",   "dog",    "door",   "duck",
    "farm",   "fish",   "flower", "forest", "fox",    "frog",   "garden", "glass",  "goat",
    "grape",  "green",  "hand",   "hat",    "horse",  "house",  "island", "jacket", "key",
    "kitten", "lake",   "lamp",   "lemon",  "letter", "lion",   "market", "milk",   "moon",
    "mouse",  "orange", "paper",  "pencil", "piano",  "planet", "plate",  "queen",  "rabbit",
    "rain",   "river",  "road",   "rocket", "salt",   "ship",   "silver", "snow",   "spoon",
    "star",   "stone",  "summer", "table",  "train",  "tree",   "window", "winter", "zebra"};

struct Person {
  std::string_view name, pronoun;
};
constexpr std::array<Person, 10> kPeople = {{{"Tom", "He"},
                                             {"Anna", "She"},
                                             {"Ben", "He"},
                                             {"Mia", "She"},
                                             {"Sam", "He"},
                                             {"Lucy", "She"},
                                             {"Max", "He"},
                                             {"Emma", "She"},
                                             {"Leo", "He"},
                                             {"Sara", "She"}}};
constexpr std::array<std::string_view, 10> kThings = {"apples", "books",   "pens",   "coins", "stamps",
                                                      "cards",  "marbles", "shells", "eggs",  "stones"};

template <class T, size_t N>
const T& pick(Draws& draws, const std::array<T, N>& values) {
  return values[static_cast<size_t>(draws.below(static_cast<int64_t>(N)))];
}

// Numbers of one, two and three digits equally often: uniform in 0 .. 999, nine of ten would have three.
int draw_number(Draws& draws) {
  constexpr std::array<int, 3> kLimits = {9, 99, 999};
  return static_cast<int>(draws.between(0, pick(draws, kLimits)));
}

int digit(int number, int column) {
  for (; column > 0; --column) number /= 10;
  return number % 10;
}

void append_step(std::string& work, std::string_view step) {
  if (!work.empty()) work += ", ";
  work += step;
}

Task add_numbers(Draws& draws) {
  const int a = draw_number(draws), b = draw_number(draws);
  static constexpr std::array<const char*, 5> kWordings = {"What is {} + {}?", "Add {} and {}.",
                                                           "How much is {} plus {}?",
                                                           "Find the sum of {} and {}.", "Work out {} + {}."};
  std::string steps;
  int carry = 0;
  for (int c = 0; c < kColumns; ++c) {
    const int sum = digit(a, c) + digit(b, c) + carry;
    append_step(steps, c == 0 ? fmt::format("{}+{}={}", digit(a, c), digit(b, c), sum)
                              : fmt::format("{}+{}+{}={}", digit(a, c), digit(b, c), carry, sum));
    carry = sum / 10;
  }
  return {"addition", fmt::format(fmt::runtime(pick(draws, kWordings)), a, b),
          fmt::format("{:03} + {:03} ; {}", a, b, steps), std::to_string(a + b)};
}

Task subtract_numbers(Draws& draws) {
  int a = draw_number(draws), b = draw_number(draws);
  if (a < b) std::swap(a, b);
  static constexpr std::array<const char*, 5> kWordings = {"What is {0} - {1}?", "Subtract {1} from {0}.",
                                                           "How much is {0} minus {1}?",
                                                           "Take {1} away from {0}.", "Work out {0} - {1}."};
  std::string steps;
  int borrow = 0;
  for (int c = 0; c < kColumns; ++c) {
    const int lower = digit(b, c) + borrow;
    // A column that borrows shows its upper digit with the ten already added: 14-8=6.
    const int upper = digit(a, c) + (digit(a, c) < lower ? 10 : 0);
    append_step(steps, c == 0 ? fmt::format("{}-{}={}", upper, digit(b, c), upper - lower)
                              : fmt::format("{}-{}-{}={}", upper, digit(b, c), borrow, upper - lower));
    borrow = upper >= 10 ? 1 : 0;
  }
  return {"subtraction", fmt::format(fmt::runtime(pick(draws, kWordings)), a, b),
          fmt::format("{:03} - {:03} ; {}", a, b, steps), std::to_string(a - b)};
}

// Digits from the left up to the first that differs: "098 and 352 ; 0<3".
std::string compare_digits(int a, int b) {
  std::string steps;
  for (int c = kColumns - 1; c >= 0; --c) {
    const int x = digit(a, c), y = digit(b, c);
    append_step(steps, fmt::format("{}{}{}", x, x < y ? '<' : x > y ? '>' : '=', y));
    if (x != y) break;
  }
  return fmt::format("{:03} and {:03} ; {}", a, b, steps);
}

Task compare_numbers(Draws& draws) {
  int a = draw_number(draws), b = 0;
  // Half of the pairs are near each other, or the first digit would nearly always decide. Never equal.
  if (draws.below(2) == 0)
    b = std::min(a + static_cast<int>(draws.between(1, 9)), 999);
  else
    b = draw_number(draws);
  if (a == b) a = a > 0 ? a - 1 : 1;
  if (draws.below(2) == 0) std::swap(a, b);
  const std::string work = compare_digits(a, b);
  switch (draws.below(5)) {
    case 0:
      return {"comparison", fmt::format("Which is larger, {} or {}?", a, b), work,
              std::to_string(std::max(a, b))};
    case 1:
      return {"comparison", fmt::format("Which is smaller, {} or {}?", a, b), work,
              std::to_string(std::min(a, b))};
    case 2:
      return {"comparison", fmt::format("Is {} more than {}?", a, b), work, a > b ? "yes" : "no"};
    case 3:
      return {"comparison", fmt::format("Is {} less than {}?", a, b), work, a < b ? "yes" : "no"};
    default:
      return {"comparison", fmt::format("Give the larger of {} and {}.", a, b), work,
              std::to_string(std::max(a, b))};
  }
}

std::string spaced(std::string_view word) {
  std::string out;
  for (const char c : word) {
    if (!out.empty()) out += ' ';
    out += c;
  }
  return out;
}

Task reverse_word(Draws& draws) {
  const std::string_view word = pick(draws, kWords);
  static constexpr std::array<const char*, 4> kWordings = {
      "Write {} backwards.", "What is {} spelled backwards?", "Reverse the word {}.",
      "What do you get if you read {} from the end?"};
  const std::string reversed(word.rbegin(), word.rend());
  return {"reversal", fmt::format(fmt::runtime(pick(draws, kWordings)), word),
          fmt::format("{} ; {}", spaced(word), spaced(reversed)), reversed};
}

Task spell_word(Draws& draws) {
  const std::string_view word = pick(draws, kWords);
  std::string counted;
  for (size_t i = 0; i < word.size(); ++i) append_step(counted, fmt::format("{} {}", word[i], i + 1));
  switch (draws.below(4)) {
    case 0:
      return {"spelling", fmt::format("How many letters has the word {}?", word), counted,
              std::to_string(word.size())};
    case 1:
      return {"spelling", fmt::format("What is the first letter of {}?", word), spaced(word),
              std::string(1, word.front())};
    case 2:
      return {"spelling", fmt::format("What is the last letter of {}?", word), spaced(word),
              std::string(1, word.back())};
    default: {
      const int64_t n = draws.between(2, static_cast<int64_t>(word.size()));
      const std::string_view head = word.substr(0, static_cast<size_t>(n));
      counted.clear();
      for (size_t i = 0; i < head.size(); ++i) append_step(counted, fmt::format("{} {}", head[i], i + 1));
      return {"spelling", fmt::format("What is letter {} of the word {}?", n, word), counted,
              std::string(1, head.back())};
    }
  }
}

Task count_days(Draws& draws) {
  const int start = static_cast<int>(draws.below(7));
  const int days = static_cast<int>(draws.between(1, 30));
  const bool forward = draws.below(2) == 0;
  static constexpr std::array<const char*, 3> kAfter = {"What day is {1} days after {0}?",
                                                        "Today is {0}. What day is it in {1} days?",
                                                        "It is {0}. Which day comes {1} days later?"};
  static constexpr std::array<const char*, 3> kBefore = {"What day is {1} days before {0}?",
                                                         "Today is {0}. What day was it {1} days ago?",
                                                         "It is {0}. Which day was {1} days earlier?"};
  // Whole weeks change nothing: take them off first, then count at most six days.
  std::string work = std::to_string(days);
  for (int w = 0; w < days / 7; ++w) work += "-7";
  if (days >= 7) work += fmt::format("={}", days % 7);
  work += fmt::format(" ; {} 0", kDays[static_cast<size_t>(start)]);
  int day = start;
  for (int i = 1; i <= days % 7; ++i) {
    day = (day + (forward ? 1 : 6)) % 7;
    append_step(work, fmt::format("{} {}", kDays[static_cast<size_t>(day)], i));
  }
  std::string question = fmt::format(fmt::runtime(pick(draws, forward ? kAfter : kBefore)),
                                     kDays[static_cast<size_t>(start)], days);
  if (days == 1) question.replace(question.find("1 days"), 6, "1 day");
  return {"days", question, work, std::string(kDays[static_cast<size_t>(day)])};
}

Task word_problem(Draws& draws) {
  const Person& person = pick(draws, kPeople);
  const std::string_view things = pick(draws, kThings);
  const auto [name, he] = person;
  const auto number = [&](int low, int high) { return static_cast<int>(draws.between(low, high)); };
  std::string question;
  int first = 0, answer = 0;
  std::string work;
  switch (draws.below(4)) {
    case 0: {
      const int have = number(2, 50), more = number(2, 40);
      first = have + more;
      const int away = number(2, first);
      answer = first - away;
      question = fmt::format("{} has {} {}. {} buys {} more and gives away {}. How many are left?", name,
                             have, things, he, more, away);
      work = fmt::format("{}+{}={}, {}-{}={}", have, more, first, first, away, answer);
      break;
    }
    case 1: {
      const int boxes = number(2, 9), each = number(2, 9), more = number(2, 20);
      first = boxes * each;
      answer = first + more;
      question = fmt::format("{} has {} boxes with {} {} each and finds {} more. How many {} is that?", name,
                             boxes, each, things, more, things);
      work = fmt::format("{}*{}={}, {}+{}={}", boxes, each, first, first, more, answer);
      break;
    }
    case 2: {
      const int have = number(10, 90), lost = number(2, 8);
      first = have - lost;
      const int sold = number(1, first);
      answer = first - sold;
      question = fmt::format("{} had {} {}. {} lost {} and sold {}. How many {} are left?", name, have,
                             things, he, lost, sold, things);
      work = fmt::format("{}-{}={}, {}-{}={}", have, lost, first, first, sold, answer);
      break;
    }
    default: {
      const int packs = number(2, 9), price = number(2, 9);
      first = packs * price;
      const int paid = number(first, 100);
      answer = paid - first;
      question = fmt::format(
          "{} buys {} packs of {} for {} coins each and pays {}. How many coins does {} get back?", name,
          packs, things == "coins" ? "cards" : things, price, paid, he == "He" ? "he" : "she");
      work = fmt::format("{}*{}={}, {}-{}={}", packs, price, first, paid, first, answer);
      break;
    }
  }
  return {"word problem", question, work, std::to_string(answer)};
}

}  // namespace

const std::vector<TaskKind>& task_kinds() {
  static const std::vector<TaskKind> kinds = {
      {"addition", add_numbers},      {"subtraction", subtract_numbers}, {"comparison", compare_numbers},
      {"reversal", reverse_word},     {"spelling", spell_word},          {"days", count_days},
      {"word problem", word_problem},
  };
  return kinds;
}

Task make_task(uint64_t seed, int64_t index) {
  Draws draws(seed, "tasks", index);
  const auto& kinds = task_kinds();
  return kinds[static_cast<size_t>(draws.below(static_cast<int64_t>(kinds.size())))].make(draws);
}

std::string task_prompt(const Task& task) { return fmt::format("Question: {}\nAnswer:", task.question); }

std::string task_document(const Task& task) {
  return fmt::format("{} {} so {}\n", task_prompt(task), task.work, task.answer);
}

std::vector<std::string> generate_tasks(uint64_t seed, int64_t count) {
  if (count < 0) fail("tasks", fmt::format("{} documents", count), "give a number of at least 0");
  std::vector<std::string> documents;
  documents.reserve(static_cast<size_t>(count));
  for (int64_t i = 0; i < count; ++i) documents.push_back(task_document(make_task(seed, i)));
  return documents;
}

}  // namespace frugal::data
