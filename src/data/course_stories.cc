// The kinds "units and money" and "two-step stories".
#include <algorithm>

#include "data/course_forms.h"

namespace frugal::data {

namespace {

struct Unit {
  std::string_view large, larges, smalls;
  int factor;
};
constexpr std::array<Unit, 7> kUnits = {{{"hour", "hours", "minutes", 60},
                                         {"minute", "minutes", "seconds", 60},
                                         {"day", "days", "hours", 24},
                                         {"week", "weeks", "days", 7},
                                         {"year", "years", "months", 12},
                                         {"meter", "meters", "centimeters", 100},
                                         {"dollar", "dollars", "cents", 100}}};

struct Measure {
  const Unit& unit;
  int large, small, total;  // total in small units
};
Measure draw_measure(Draws& draws, int most) {
  const Unit& unit = pick(draws, kUnits);
  const int large = number_between(draws, 1, unit.factor == 100 ? 9 : most),
            small = number_between(draws, 1, unit.factor - 1);
  return {unit, large, small, large * unit.factor + small};
}
std::string measure_key(const Measure& m) { return fmt::format("{} {}", m.unit.larges, m.total); }
std::string_view large_name(const Measure& m) { return m.large == 1 ? m.unit.large : m.unit.larges; }

Problem to_small_units(Draws& operands, Draws& wording) {
  static constexpr std::array<const char*, 5> kWordings = {
      "How many {3} are {0} {1} and {2} {3}?", "What is {0} {1} and {2} {3} in {3}?",
      "Write {0} {1} and {2} {3} in {3}.", "How many {3} are there in {0} {1} and {2} {3}?",
      "Give {0} {1} and {2} {3} in {3}."};
  const Measure m = draw_measure(operands, 9);
  const int whole = m.large * m.unit.factor;
  return {measure_key(m), "",
          fmt::format(fmt::runtime(pick(wording, kWordings)), m.large, large_name(m), m.small, m.unit.smalls),
          fmt::format("{}*{}={:03} {:03}+{:03}: {}", m.large, m.unit.factor, whole, whole, m.small,
                      add_columns(whole, m.small, 3)),
          std::to_string(m.total)};
}

// Multiples up to the first that is too much: "1:60 2:120 3:180 4:240 187-180=7". Hundreds can be read off.
Problem to_large_units(Draws& operands, Draws& wording) {
  static constexpr std::array<const char*, 5> kWordings = {
      "How many {1} and {2} are {0} {2}?", "What is {0} {2} in {1} and {2}?", "Write {0} {2} in {1} and {2}.",
      "How many {1} and {2} are there in {0} {2}?", "Give {0} {2} in {1} and {2}."};
  const Measure m = draw_measure(operands, 6);
  std::string work;
  if (m.unit.factor != 100)
    for (int n = 1; n <= m.large + 1; ++n) append_step(&work, fmt::format("{}:{}", n, n * m.unit.factor));
  append_step(&work, fmt::format("{}-{}={}", m.total, m.large * m.unit.factor, m.small));
  return {measure_key(m), "",
          fmt::format(fmt::runtime(pick(wording, kWordings)), m.total, m.unit.larges, m.unit.smalls), work,
          fmt::format("{} {} {} {}", m.large, large_name(m), m.small, m.unit.smalls)};
}

struct Thing {
  std::string_view one, many;
};
constexpr std::array<Thing, 10> kThings = {{{"book", "books"},
                                            {"pen", "pens"},
                                            {"cup", "cups"},
                                            {"card", "cards"},
                                            {"ball", "balls"},
                                            {"cake", "cakes"},
                                            {"stamp", "stamps"},
                                            {"shell", "shells"},
                                            {"stone", "stones"},
                                            {"apple", "apples"}}};

std::string dollars(int cents) { return fmt::format("${}.{:02}", cents / 100, cents % 100); }

Problem price_of_many(Draws& operands, Draws& wording) {
  static constexpr std::array<const char*, 5> kWordings = {
      "One {0} costs {2}. What do {3} {1} cost?", "What do {3} {1} cost at {2} each?",
      "How much are {3} {1} at {2} each?", "One {0} costs {2}. How much are {3} {1}?",
      "Find the price of {3} {1} at {2} each."};
  const int cents = number_between(operands, 101, 999), n = number_between(operands, 2, 9);
  const Thing& thing = pick(wording, kThings);
  return {fmt::format("{}*{}", cents, n), "",
          fmt::format(fmt::runtime(pick(wording, kWordings)), thing.one, thing.many, dollars(cents), n),
          fmt::format("{}*{}: {}", cents, n, multiply_columns(cents, n, 3)), dollars(cents * n)};
}

Problem price_of_two(Draws& operands, Draws& wording) {
  static constexpr std::array<const char*, 5> kWordings = {
      "One {0} costs {2}, one {1} costs {3}. How much are both?",
      "What do a {0} at {2} and a {1} at {3} cost?", "How much are a {0} at {2} and a {1} at {3}?",
      "Find the price of a {0} at {2} and a {1} at {3}.",
      "One {0} costs {2} and one {1} costs {3}. What do both cost?"};
  const int a = number_between(operands, 101, 999), b = number_between(operands, 101, 999);
  const Thing& first = pick(wording, kThings);
  const Thing& second = pick(wording, kThings);
  return {fmt::format("{}+{}", std::min(a, b), std::max(a, b)), "",
          fmt::format(fmt::runtime(pick(wording, kWordings)), first.one, second.one, dollars(a), dollars(b)),
          fmt::format("{}+{}: {}", a, b, add_columns(a, b, 3)), dollars(a + b)};
}

Problem change_back(Draws& operands, Draws& wording) {
  static constexpr std::array<const char*, 5> kWordings = {
      "One {0} costs {1}. What is the change from {2}?", "You pay {2} for a {0} at {1}. What is the change?",
      "What is the change from {2} for a {0} at {1}?",
      "You buy a {0} at {1} and pay {2}. How much do you get back?",
      "One {0} costs {1} and you pay {2}. How much do you get back?"};
  const int paid = 100 * number_between(operands, 2, 9), cents = number_between(operands, 101, paid - 1);
  const Thing& thing = pick(wording, kThings);
  return {fmt::format("{}-{}", paid, cents), "",
          fmt::format(fmt::runtime(pick(wording, kWordings)), thing.one, dollars(cents), dollars(paid)),
          fmt::format("{}-{}: {}", paid, cents, subtract_columns(paid, cents, 3)), dollars(paid - cents)};
}

// ---- stories

struct Person {
  std::string_view name, he;
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
constexpr std::array<const char*, 4> kGains = {"buys {} more", "finds {} more", "gets {} more",
                                               "makes {} more"};
constexpr std::array<const char*, 4> kLosses = {"gives away {}", "loses {}", "sells {}", "takes away {}"};

std::string clause(Draws& wording, char sign, int n) {
  return fmt::format(fmt::runtime(sign == '+' ? pick(wording, kGains) : pick(wording, kLosses)), n);
}

// "Tom has 12 apples. He buys 15 more and gives away 8. How many apples does he have now?"
std::string tell(Draws& wording, const std::string& start, const std::string& first,
                 const std::string& second) {
  static constexpr std::array<const char*, 4> kEnds = {"How many {1} does {0} have now?",
                                                       "How many {1} are there now?", "How many {1} is that?",
                                                       "How many does {0} have in the end?"};
  const Person& p = pick(wording, kPeople);
  const Thing& thing = pick(wording, kThings);
  std::string text = fmt::format(fmt::runtime(start), p.name, thing.many);
  if (second.empty())
    text += fmt::format(". {} {}. ", p.he, first);
  else if (wording.below(2) == 0)
    text += fmt::format(". {} {} and {}. ", p.he, first, second);
  else
    text += fmt::format(", {} and {}. ", first, second);
  return text + fmt::format(fmt::runtime(pick(wording, kEnds)), p.name, thing.many);
}

Problem gain_and_lose(Draws& operands, Draws& wording) {
  static constexpr std::array<std::array<char, 2>, 4> kSigns = {
      {{'+', '-'}, {'-', '+'}, {'+', '+'}, {'-', '-'}}};
  const auto signs = pick(operands, kSigns);
  int value = number_between(operands, 20, 60);
  const int a = value;
  std::array<int, 2> by{};
  std::string work;
  for (size_t i = 0; i < 2; ++i) {
    by[i] = number_between(operands, 2, signs[i] == '+' ? 30 : std::min(value - (i == 0 ? 3 : 1), 30));
    const int next = signs[i] == '+' ? value + by[i] : value - by[i];
    append_step(&work, fmt::format("{}{}{}={}", value, signs[i], by[i], next));
    value = next;
  }
  const std::string first = clause(wording, signs[0], by[0]), second = clause(wording, signs[1], by[1]);
  return {fmt::format("{}{}{}{}{}", a, signs[0], by[0], signs[1], by[1]), "",
          tell(wording, fmt::format("{{}} has {} {{}}", a), first, second), work, std::to_string(value)};
}

Problem boxes(Draws& operands, Draws& wording) {
  static constexpr std::array<const char*, 4> kStarts = {
      "{{}} has {0} boxes of {1} {{}} each", "{{}} has {0} boxes with {1} {{}} each",
      "{{}} has {0} bags of {1} {{}} each", "{{}} has {0} bags with {1} {{}} each"};
  const int count = number_between(operands, 2, 9), each = number_between(operands, 2, 9),
            product = count * each;
  const char sign = operands.below(2) == 0 ? '+' : '-';
  const int by = number_between(operands, 1, sign == '+' ? 30 : std::min(product - 1, 30));
  const int value = sign == '+' ? product + by : product - by;
  // One draw after the other: the order of arguments is the compiler's.
  const std::string change = clause(wording, sign, by);
  const std::string start = fmt::format(fmt::runtime(pick(wording, kStarts)), count, each);
  return {fmt::format("{}*{}{}{}", count, each, sign, by), "", tell(wording, start, change, ""),
          fmt::format("{}*{}={} {}{}{}={}", count, each, product, product, sign, by, value),
          std::to_string(value)};
}

Problem share(Draws& operands, Draws& wording) {
  static constexpr std::array<const char*, 6> kWordings = {
      "{0} has {2} {1} and {3}. {0} shares them among {4} friends. How many does each get?",
      "{0} has {2} {1} and {3}. Now {4} friends share them. How many does each get?",
      "{0} has {2} {1}, {3} and shares all among {4} friends. How many {1} does each get?",
      "{0} has {2} {1} and {3}. All are put into {4} boxes. How many {1} are in each?",
      "{0} has {2} {1}, {3} and puts all into {4} boxes. How many {1} are in each?",
      "{0} has {2} {1} and {3}. {0} puts them into {4} bags. How many are in each?"};
  const int friends = number_between(operands, 2, 9), each = number_between(operands, 2, 9),
            total = friends * each;
  const char sign = operands.below(2) == 0 && total > 4 ? '+' : '-';
  const int by = number_between(operands, 2, sign == '+' ? std::min(total - 2, 30) : 30);
  const int have = sign == '+' ? total - by : total + by;
  const Person& p = pick(wording, kPeople);
  const Thing& thing = pick(wording, kThings);
  const std::string change = clause(wording, sign, by);
  return {fmt::format("{}{}{}/{}", have, sign, by, friends), "",
          fmt::format(fmt::runtime(pick(wording, kWordings)), p.name, thing.many, have, change, friends),
          fmt::format("{}{}{}={} {}/{}={}", have, sign, by, total, total, friends, each),
          std::to_string(each)};
}

}  // namespace

std::vector<Form> unit_forms() {
  return {{20000, to_small_units},
          {20000, to_large_units},
          {30000, price_of_many},
          {30000, price_of_two},
          {30000, change_back}};
}
std::vector<Form> story_forms() { return {{60000, gain_and_lose}, {30000, boxes}, {30000, share}}; }

}  // namespace frugal::data
