// The kind "calendar". Weekdays count from Monday = 1; dates lie in a year of 365 days.
#include "data/course_forms.h"

namespace frugal::data {

namespace {

constexpr std::array<std::string_view, 7> kDays = {"Monday", "Tuesday",  "Wednesday", "Thursday",
                                                   "Friday", "Saturday", "Sunday"};
struct Month {
  std::string_view name;
  int days, before;  // days of the year before it
};
constexpr std::array<Month, 12> kMonths = {{{"January", 31, 0},
                                            {"February", 28, 31},
                                            {"March", 31, 59},
                                            {"April", 30, 90},
                                            {"May", 31, 120},
                                            {"June", 30, 151},
                                            {"July", 31, 181},
                                            {"August", 31, 212},
                                            {"September", 30, 243},
                                            {"October", 31, 273},
                                            {"November", 30, 304},
                                            {"December", 31, 334}}};

// "17=2*7+3 Monday=1 1+3=4": whole weeks change nothing; the rest moves the number of the day.
std::string weekday_steps(int start, int days, bool forward, int* day) {
  const int rest = days % 7;
  std::string work =
      fmt::format("{}={}*7+{} {}={} ", days, days / 7, rest, kDays[static_cast<size_t>(start)], start + 1);
  const int moved = forward ? start + 1 + rest : start + 1 - rest;
  work += fmt::format("{}{}{}={}", start + 1, forward ? '+' : '-', rest, moved);
  *day = (moved + 6) % 7;
  if (moved > 7) work += fmt::format("-7={}", *day + 1);
  if (moved < 1) work += fmt::format("+7={}", *day + 1);
  return work;
}

Problem count_days(Draws& operands, Draws& wording) {
  static constexpr std::array<const char*, 5> kAfter = {
      "What day is {1} days after {0}?", "Today is {0}. What day is it in {1} days?",
      "It is {0}. What day is it {1} days later?", "Which day comes {1} days after a {0}?",
      "Which day is it {1} days after {0}?"};
  static constexpr std::array<const char*, 5> kBefore = {
      "What day is {1} days before {0}?", "Today is {0}. What day was it {1} days ago?",
      "It is {0}. What day was it {1} days before?", "Which day comes {1} days before a {0}?",
      "Which day was it {1} days before {0}?"};
  const int start = number_between(operands, 0, 6), days = number_between(operands, 2, 50);
  const bool forward = operands.below(2) == 0;
  int day = 0;
  std::string work = weekday_steps(start, days, forward, &day);
  const std::string_view name = kDays[static_cast<size_t>(start)];
  return {fmt::format("{} {} {}", name, days, forward),
          "",
          fmt::format(fmt::runtime(pick(wording, forward ? kAfter : kBefore)), name, days),
          work,
          std::string(kDays[static_cast<size_t>(day)]),
          7};
}

Problem weekday_of_date(Draws& operands, Draws& wording) {
  static constexpr std::array<const char*, 6> kWordings = {
      "{0} {1} is a {3}. What day is {0} {2}?",   "If {0} {1} is a {3}, what day is {0} {2}?",
      "{0} {1} is a {3}. Which day is {0} {2}?",  "If {0} {1} is a {3}, which day is {0} {2}?",
      "What day is {0} {2} if {0} {1} is a {3}?", "Which day is {0} {2} if {0} {1} is a {3}?"};
  const Month& month = pick(operands, kMonths);
  const int first = number_between(operands, 1, month.days - 1),
            second = number_between(operands, first + 1, month.days);
  const int start = number_between(operands, 0, 6);
  int day = 0;
  const std::string steps = weekday_steps(start, second - first, true, &day);
  return {fmt::format("{} {} {} {}", month.name, first, second, start),
          "",
          fmt::format(fmt::runtime(pick(wording, kWordings)), month.name, first, second,
                      kDays[static_cast<size_t>(start)]),
          fmt::format("{}-{}={}", second, first, steps),
          std::string(kDays[static_cast<size_t>(day)]),
          7};
}

Problem days_between(Draws& operands, Draws& wording) {
  static constexpr std::array<const char*, 6> kWordings = {
      "How many days are there from {} {} to {} {} in 2023?",
      "How many days is it from {} {} to {} {} in 2023?",
      "Count the days from {} {} to {} {} in 2023.",
      "How many days lie between {} {} and {} {} in 2023?",
      "In 2023, how many days is it from {} {} to {} {}?",
      "Find the days from {} {} to {} {} in 2023."};
  int a = number_between(operands, 1, 365), b = number_between(operands, 1, 364);
  if (b >= a) ++b;
  if (a > b) std::swap(a, b);
  const auto month_of = [](int day) {
    size_t m = kMonths.size() - 1;
    while (kMonths[m].before >= day) --m;
    return kMonths[m];
  };
  const Month from = month_of(a), to = month_of(b);
  return {
      fmt::format("{} {}", a, b), "",
      fmt::format(fmt::runtime(pick(wording, kWordings)), from.name, a - from.before, to.name, b - to.before),
      fmt::format("{} {:03}+{:02}={:03} {} {:03}+{:02}={:03} {}", from.name, from.before, a - from.before, a,
                  to.name, to.before, b - to.before, b, subtract_columns(b, a, 3)),
      std::to_string(b - a)};
}

}  // namespace

std::vector<Form> calendar_forms() {
  return {{20000, count_days}, {60000, weekday_of_date}, {60000, days_between}};
}

}  // namespace frugal::data
