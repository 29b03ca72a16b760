// The kinds "add and subtract", "multiply" and "compare and order".
#include <algorithm>

#include "data/course_forms.h"

namespace frugal::data {

std::string add_columns(int a, int b, int columns) {
  std::string steps;
  int carry = 0;
  for (int c = 0; c < columns; ++c) {
    const int sum = digit(a, c) + digit(b, c) + carry;
    append_step(&steps, c == 0 ? fmt::format("{}+{}={}", digit(a, c), digit(b, c), sum)
                               : fmt::format("{}+{}+{}={}", digit(a, c), digit(b, c), carry, sum));
    carry = sum / 10;
  }
  return steps;
}

std::string subtract_columns(int a, int b, int columns) {
  std::string steps;
  int borrow = 0;
  for (int c = 0; c < columns; ++c) {
    const int lower = digit(b, c) + borrow;
    const int upper = digit(a, c) + (digit(a, c) < lower ? 10 : 0);
    append_step(&steps, c == 0 ? fmt::format("{}-{}={}", upper, digit(b, c), upper - lower)
                               : fmt::format("{}-{}-{}={}", upper, digit(b, c), borrow, upper - lower));
    borrow = upper >= 10 ? 1 : 0;
  }
  return steps;
}

std::string multiply_columns(int a, int b, int columns) {
  std::string steps;
  int carry = 0;
  for (int c = 0; c < columns; ++c) {
    const int product = digit(a, c) * b;
    append_step(&steps, c == 0
                            ? fmt::format("{}*{}={}", digit(a, c), b, product)
                            : fmt::format("{}*{}={}+{}={}", digit(a, c), b, product, carry, product + carry));
    carry = (product + carry) / 10;
  }
  return steps;
}

namespace {

// Numbers of one, two and three digits: uniform in 0 .. 999, nine of ten would have three.
int draw_number(Draws& draws) {
  constexpr std::array<int, 5> kLimits = {9, 99, 99, 999, 999};
  return number_between(draws, 0, pick(draws, kLimits));
}

Problem add(Draws& operands, Draws& wording) {
  static constexpr std::array<const char*, 14> kWordings = {"What is {} + {}?",
                                                            "What is {} plus {}?",
                                                            "How much is {} + {}?",
                                                            "How much is {} plus {}?",
                                                            "Add {} and {}.",
                                                            "Add {} to {}.",
                                                            "Find {} + {}.",
                                                            "Find the sum of {} and {}.",
                                                            "{} + {} = ?",
                                                            "{} plus {} is how much?",
                                                            "What is the sum of {} and {}?",
                                                            "Give the sum of {} and {}.",
                                                            "Work out {} + {}.",
                                                            "What do {} and {} make?"};
  const int a = draw_number(operands), b = draw_number(operands);
  return {fmt::format("{} {}", std::min(a, b), std::max(a, b)), "",
          fmt::format(fmt::runtime(pick(wording, kWordings)), a, b),
          fmt::format("{:03}+{:03}: {}", a, b, add_columns(a, b, 3)), std::to_string(a + b)};
}

Problem subtract(Draws& operands, Draws& wording) {
  static constexpr std::array<const char*, 12> kWordings = {
      "What is {0} - {1}?",         "What is {0} minus {1}?", "How much is {0} - {1}?",
      "How much is {0} minus {1}?", "Take {1} from {0}.",     "Take {1} away from {0}.",
      "Subtract {1} from {0}.",     "Find {0} - {1}.",        "{0} - {1} = ?",
      "{0} minus {1} is how much?", "Work out {0} - {1}.",    "How much more is {0} than {1}?"};
  int a = draw_number(operands), b = draw_number(operands);
  if (a < b) std::swap(a, b);
  return {fmt::format("{} {}", b, a), "", fmt::format(fmt::runtime(pick(wording, kWordings)), a, b),
          fmt::format("{:03}-{:03}: {}", a, b, subtract_columns(a, b, 3)), std::to_string(a - b)};
}

Problem multiply(Draws& operands, Draws& wording) {
  static constexpr std::array<const char*, 25> kWordings = {"Give {0} * {1}.",
                                                            "Give {0} times {1}.",
                                                            "How many are {0} times {1}?",
                                                            "What does {0} times {1} make?",
                                                            "{0} times {1} makes how much?",
                                                            "Work out the product of {0} and {1}.",
                                                            "What is {0} * {1}?",
                                                            "What is {0} times {1}?",
                                                            "What is {1} times {0}?",
                                                            "How much is {0} * {1}?",
                                                            "How much is {0} times {1}?",
                                                            "How much is {1} times {0}?",
                                                            "Find {0} * {1}.",
                                                            "Find {0} times {1}.",
                                                            "Find {1} times {0}.",
                                                            "Multiply {0} by {1}.",
                                                            "Multiply {0} and {1}.",
                                                            "Find the product of {0} and {1}.",
                                                            "What is the product of {0} and {1}?",
                                                            "Give the product of {0} and {1}.",
                                                            "Work out {0} * {1}.",
                                                            "Work out {0} times {1}.",
                                                            "Work out {1} times {0}.",
                                                            "{0} * {1} = ?",
                                                            "{0} times {1} is how much?"};
  const int b = number_between(operands, 2, 9);
  constexpr std::array<int, 4> kLimits = {99, 999, 999, 999};
  const int a = number_between(operands, 10, pick(operands, kLimits));
  return {fmt::format("{} {}", a, b), "", fmt::format(fmt::runtime(pick(wording, kWordings)), a, b),
          fmt::format("{:03}*{}: {}", a, b, multiply_columns(a, b, 3)), std::to_string(a * b)};
}

// Digits from the left up to the first that differs: "098 352: 0<3".
std::string compare_digits(int a, int b) {
  std::string steps;
  for (int c = 2; c >= 0; --c) {
    const int x = digit(a, c), y = digit(b, c);
    append_step(&steps, fmt::format("{}{}{}", x, x < y ? '<' : x > y ? '>' : '=', y));
    if (x != y) break;
  }
  return fmt::format("{:03} {:03}: {}", a, b, steps);
}

Problem compare(Draws& operands, Draws& wording) {
  struct Wording {
    const char* text;
    enum { kLarger, kSmaller, kIsLarger, kIsSmaller } asks;
  };
  static constexpr std::array<Wording, 16> kWordings = {
      {{"Which is larger, {} or {}?", Wording::kLarger},
       {"Which number is larger, {} or {}?", Wording::kLarger},
       {"Which is more, {} or {}?", Wording::kLarger},
       {"What is the larger of {} and {}?", Wording::kLarger},
       {"Give the larger of {} and {}.", Wording::kLarger},
       {"Find the larger of {} and {}.", Wording::kLarger},
       {"Which is smaller, {} or {}?", Wording::kSmaller},
       {"Which number is smaller, {} or {}?", Wording::kSmaller},
       {"Which is less, {} or {}?", Wording::kSmaller},
       {"What is the smaller of {} and {}?", Wording::kSmaller},
       {"Give the smaller of {} and {}.", Wording::kSmaller},
       {"Find the smaller of {} and {}.", Wording::kSmaller},
       {"Is {} larger than {}?", Wording::kIsLarger},
       {"Is {} more than {}?", Wording::kIsLarger},
       {"Is {} smaller than {}?", Wording::kIsSmaller},
       {"Is {} less than {}?", Wording::kIsSmaller}}};
  int a = draw_number(operands), b = 0;
  // Half of the pairs are near each other, or the first digit would nearly always decide. Never equal.
  if (operands.below(2) == 0)
    b = std::min(a + number_between(operands, 1, 9), 999);
  else
    b = draw_number(operands);
  if (a == b) a = a > 0 ? a - 1 : 1;
  const std::string key = fmt::format("{} {}", std::min(a, b), std::max(a, b));
  if (wording.below(2) == 0) std::swap(a, b);
  const Wording& w = pick(wording, kWordings);
  const std::string answer = w.asks == Wording::kLarger     ? std::to_string(std::max(a, b))
                             : w.asks == Wording::kSmaller  ? std::to_string(std::min(a, b))
                             : w.asks == Wording::kIsLarger ? (a > b ? "yes" : "no")
                                                            : (a < b ? "yes" : "no");
  return {key, "", fmt::format(fmt::runtime(w.text), a, b), compare_digits(a, b), answer, 2};
}

std::string joined(const std::vector<int>& numbers, int columns) {
  std::string text;
  for (const int n : numbers) append_step(&text, fmt::format("{:0{}}", n, columns));
  return text;
}

// The numbers, padded, then an insertion sort, the sorted part written anew for every number:
// "347 058 012: 058 347, 012 058 347".
Problem order_numbers(Draws& operands, Draws& wording, int count, int columns) {
  struct Wording {
    const char* text;
    bool descending;
  };
  static constexpr std::array<Wording, 12> kWordings = {{{"Put {} in order.", false},
                                                         {"Sort {}.", false},
                                                         {"Order {} from small to large.", false},
                                                         {"Sort {} from small to large.", false},
                                                         {"Put {} in order from small to large.", false},
                                                         {"Write {} in order, smallest first.", false},
                                                         {"Sort {}, smallest first.", false},
                                                         {"Order {} from large to small.", true},
                                                         {"Sort {} from large to small.", true},
                                                         {"Put {} in order from large to small.", true},
                                                         {"Write {} in order, largest first.", true},
                                                         {"Sort {}, largest first.", true}}};
  std::vector<int> numbers;
  while (static_cast<int>(numbers.size()) < count) {
    const int n = columns == 3 ? draw_number(operands) : number_between(operands, 1, 99);
    if (std::find(numbers.begin(), numbers.end(), n) == numbers.end()) numbers.push_back(n);
  }
  std::vector<int> set = numbers;
  std::sort(set.begin(), set.end());
  const Wording& w = pick(wording, kWordings);
  std::vector<int> sorted = {numbers[0]};
  std::string listed = std::to_string(numbers[0]), work = joined(numbers, columns) + ": ";
  for (int i = 1; i < count; ++i) {
    const int n = numbers[static_cast<size_t>(i)];
    const auto at =
        std::find_if(sorted.begin(), sorted.end(), [&](int m) { return w.descending ? m < n : m > n; });
    sorted.insert(at, n);
    work += (i > 1 ? ", " : "") + joined(sorted, columns);
    listed += fmt::format("{}{}", i + 1 == count ? " and " : ", ", n);
  }
  return {joined(set, 1), "", fmt::format(fmt::runtime(w.text), listed), work, joined(sorted, 1)};
}

Problem order_three(Draws& operands, Draws& wording) { return order_numbers(operands, wording, 3, 3); }
Problem order_four(Draws& operands, Draws& wording) { return order_numbers(operands, wording, 4, 2); }

}  // namespace

std::vector<Form> sum_forms() { return {{60000, add}, {60000, subtract}}; }
std::vector<Form> product_forms() { return {{60000, multiply}}; }
std::vector<Form> comparison_forms() { return {{30000, compare}, {30000, order_three}, {30000, order_four}}; }

}  // namespace frugal::data
