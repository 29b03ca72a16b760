#include "eval/solver.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <map>
#include <numeric>
#include <regex>
#include <vector>

namespace frugal::eval {

namespace {

using Answer = std::optional<std::string>;

// ---- reading

// Words of letters, numbers, prices ("$3.45") and quoted words, in order, punctuation dropped.
std::vector<std::string> words_of(std::string_view text) {
  static const std::regex word(R"(\$?\d+(\.\d+)?|[A-Za-z]+|[-+*=])");
  std::vector<std::string> words;
  for (std::cregex_iterator it(text.data(), text.data() + text.size(), word), end; it != end; ++it)
    words.push_back(it->str());
  return words;
}

struct Question {
  std::string text;
  std::vector<std::string> words;
  std::vector<int> numbers;  // whole numbers
  std::vector<int> cents;    // prices
  std::string quoted;        // the word in quotes, or empty

  bool has(std::string_view word) const { return std::find(words.begin(), words.end(), word) != words.end(); }
  bool says(std::string_view phrase) const { return text.find(phrase) != std::string::npos; }
};

Question read(std::string_view text) {
  Question q{std::string(text), words_of(text), {}, {}, {}};
  for (const std::string& w : q.words) {
    if (w.size() > 9) continue;
    if (w[0] == '$') {
      const size_t dot = w.find('.');
      if (dot == std::string::npos || w.size() != dot + 3) continue;
      q.cents.push_back(std::stoi(w.substr(1, dot - 1)) * 100 + std::stoi(w.substr(dot + 1)));
    } else if (w[0] >= '0' && w[0] <= '9' && w.find('.') == std::string::npos) {
      q.numbers.push_back(std::stoi(w));
    }
  }
  const size_t open = q.text.find('"'), close = q.text.rfind('"');
  if (open != std::string::npos && close > open) q.quoted = q.text.substr(open + 1, close - open - 1);
  return q;
}

// ---- numbers

Answer arithmetic(const Question& q) {
  if (q.numbers.size() != 2) return {};
  const int a = q.numbers[0], b = q.numbers[1];
  if (q.has("*") || q.has("times") || q.has("Multiply") || q.has("product")) return std::to_string(a * b);
  if (q.has("-") || q.has("minus") || q.has("Take") || q.has("Subtract") || q.says("How much more is"))
    return std::to_string(std::abs(a - b));
  if (q.has("+") || q.has("plus") || q.has("Add") || q.has("sum") || q.says("What do"))
    return std::to_string(a + b);
  return {};
}

Answer comparison(const Question& q) {
  const bool order = q.has("order") || q.has("Sort") || q.has("Order");
  if (order && q.numbers.size() >= 2) {
    std::vector<int> sorted = q.numbers;
    std::sort(sorted.begin(), sorted.end());
    if (q.has("largest") || q.says("from large")) std::reverse(sorted.begin(), sorted.end());
    return fmt::format("{}", fmt::join(sorted, " "));
  }
  if (q.numbers.size() != 2) return {};
  const int a = q.numbers[0], b = q.numbers[1];
  const bool up = q.has("larger") || q.has("more"), down = q.has("smaller") || q.has("less");
  if (up == down) return {};
  if (q.words[0] == "Is") return (up ? a > b : a < b) ? "yes" : "no";
  return std::to_string(up ? std::max(a, b) : std::min(a, b));
}

// ---- letters

Answer letters(const Question& q) {
  const std::string& w = q.quoted;
  if (w.empty()) return {};
  if (q.says("ackwards") || q.has("Reverse") || q.says("from the end"))
    return std::string(w.rbegin(), w.rend());
  if (q.has("Sort") || q.says("in order") || q.says("from A to Z")) {
    std::string sorted = w;
    std::sort(sorted.begin(), sorted.end());
    return sorted;
  }
  // A capital that stands alone outside the quotes is the letter to count.
  std::string wanted;
  for (const std::string& word : q.words)
    if (word.size() == 1 && word[0] >= 'A' && word[0] <= 'Z' && word != w) wanted = word;
  if (!wanted.empty()) return std::to_string(std::count(w.begin(), w.end(), wanted[0]));
  if (q.numbers.size() == 1) {
    const int n = q.numbers[0];
    if (n < 1 || n > static_cast<int>(w.size())) return {};
    return w.substr(static_cast<size_t>(n - 1), 1);
  }
  return std::to_string(w.size());
}

// ---- calendar

constexpr std::array<std::string_view, 7> kWeek = {"Sunday",   "Monday", "Tuesday", "Wednesday",
                                                   "Thursday", "Friday", "Saturday"};
constexpr std::array<std::string_view, 12> kYear = {"January",   "February", "March",    "April",
                                                    "May",       "June",     "July",     "August",
                                                    "September", "October",  "November", "December"};

template <size_t N>
int index_of(const std::array<std::string_view, N>& names, std::string_view name) {
  return static_cast<int>(std::find(names.begin(), names.end(), name) - names.begin());
}

// "March 12" in the words, in order.
std::vector<std::chrono::sys_days> dates_of(const Question& q) {
  using namespace std::chrono;
  std::vector<sys_days> dates;
  for (size_t i = 0; i + 1 < q.words.size(); ++i) {
    const int month = index_of(kYear, q.words[i]);
    const std::string& next = q.words[i + 1];
    if (month == 12 || next.size() > 2 || next[0] < '0' || next[0] > '9') continue;
    const year_month_day date{year{2023}, std::chrono::month{static_cast<unsigned>(month + 1)},
                              day{static_cast<unsigned>(std::stoi(next))}};
    if (date.ok()) dates.push_back(sys_days(date));
  }
  return dates;
}

Answer calendar(const Question& q) {
  const std::vector<std::chrono::sys_days> dates = dates_of(q);
  int weekday = 7;
  for (const std::string& w : q.words)
    if (index_of(kWeek, w) < 7) weekday = index_of(kWeek, w);
  if (weekday == 7) {
    if (dates.size() != 2) return {};
    return std::to_string(std::abs((dates[1] - dates[0]).count()));
  }
  int64_t shift = 0;
  if (dates.size() == 2) {
    // The date whose weekday is told is the one that "is a" follows.
    const bool told_first = q.words[0] != "What" && q.words[0] != "Which";
    shift = (told_first ? dates[1] - dates[0] : dates[0] - dates[1]).count();
  } else if (q.numbers.size() == 1 && q.has("days")) {
    shift = q.has("before") || q.has("ago") ? -q.numbers[0] : q.numbers[0];
  } else {
    return {};
  }
  return std::string(kWeek[static_cast<size_t>(((weekday + shift) % 7 + 7) % 7)]);
}

// ---- units and money

struct Ladder {
  std::string_view large, small;
  int factor;
};
constexpr std::array<Ladder, 7> kLadders = {{{"hour", "minutes", 60},
                                             {"minute", "seconds", 60},
                                             {"day", "hours", 24},
                                             {"week", "days", 7},
                                             {"year", "months", 12},
                                             {"meter", "centimeters", 100},
                                             {"dollar", "cents", 100}}};

Answer units(const Question& q) {
  for (const Ladder& l : kLadders) {
    const std::string plural = std::string(l.large) + "s";
    const bool large = q.has(l.large) || q.has(plural), small = q.has(l.small);
    if (!large || !small) continue;
    if (q.numbers.size() == 2) return std::to_string(q.numbers[0] * l.factor + q.numbers[1]);
    if (q.numbers.size() != 1) return {};
    const int whole = q.numbers[0] / l.factor, rest = q.numbers[0] % l.factor;
    return fmt::format("{} {} {} {}", whole, whole == 1 ? std::string(l.large) : plural, rest, l.small);
  }
  return {};
}

Answer money(const Question& q) {
  const auto price = [](int cents) {
    return fmt::format("${}.{}{}", cents / 100, cents / 10 % 10, cents % 10);
  };
  if (q.cents.size() == 1 && q.numbers.size() == 1) return price(q.cents[0] * q.numbers[0]);
  if (q.cents.size() != 2) return {};
  if (q.has("change") || q.has("back")) return price(std::abs(q.cents[0] - q.cents[1]));
  return price(q.cents[0] + q.cents[1]);
}

// ---- stories: what is said of numbers, clause by clause

Answer story(const Question& q) {
  int value = 0;
  size_t used = 0;
  std::string verb;
  for (size_t i = 0; i < q.words.size(); ++i) {
    const std::string& w = q.words[i];
    if (w[0] < '0' || w[0] > '9') {
      if (w == "has" || w == "buys" || w == "finds" || w == "gets" || w == "makes" || w == "gives" ||
          w == "loses" || w == "sells" || w == "takes" || w == "of" || w == "with" || w == "among" ||
          w == "into" || w == "Now")
        verb = w;
      continue;
    }
    const int n = std::stoi(w);
    ++used;
    if (verb == "has")
      value = n;
    else if (verb == "of" || verb == "with")
      value *= n;
    else if (verb == "among" || verb == "into" || verb == "Now") {
      if (n == 0 || value % n != 0) return {};
      value /= n;
    } else if (verb == "buys" || verb == "finds" || verb == "gets" || verb == "makes")
      value += n;
    else if (verb == "gives" || verb == "loses" || verb == "sells" || verb == "takes")
      value -= n;
    else
      return {};
    verb.clear();
  }
  return used == 3 ? Answer(std::to_string(value)) : Answer();
}

// ---- logic

// "Zor is taller than Mip": every order of the people in which all premises hold must give the same answer.
Answer relation(const Question& q) {
  struct Words {
    std::string_view more, less, most, least;
  };
  static constexpr std::array<Words, 4> kWords = {{{"taller", "shorter", "tallest", "shortest"},
                                                   {"older", "younger", "oldest", "youngest"},
                                                   {"faster", "slower", "fastest", "slowest"},
                                                   {"stronger", "weaker", "strongest", "weakest"}}};
  static const std::regex premise(R"(([A-Z]\w*) is (\w+) than ([A-Z]\w*)\.)");
  static const std::regex ask(R"((?:Is|Must|So is|is) ([A-Z]\w*) (?:be )?(\w+) than ([A-Z]\w*)\?)");
  std::vector<std::string> people;
  const auto person = [&](const std::string& name) {
    const auto at = std::find(people.begin(), people.end(), name);
    if (at == people.end()) people.push_back(name);
    return static_cast<size_t>(std::find(people.begin(), people.end(), name) - people.begin());
  };
  std::vector<std::pair<size_t, size_t>> greater;
  for (std::sregex_iterator it(q.text.begin(), q.text.end(), premise), end; it != end; ++it) {
    const size_t a = person((*it)[1]), b = person((*it)[3]);
    for (const Words& w : kWords) {
      if ((*it)[2].str() == w.more) greater.emplace_back(a, b);
      if ((*it)[2].str() == w.less) greater.emplace_back(b, a);
    }
  }
  if (greater.empty() || people.size() > 6) return {};
  std::smatch asked;
  const bool compares = std::regex_search(q.text, asked, ask);
  if (compares && (std::find(people.begin(), people.end(), asked[1].str()) == people.end() ||
                   std::find(people.begin(), people.end(), asked[3].str()) == people.end()))
    return {};
  std::vector<size_t> rank(people.size());  // of each person, 0 the greatest
  std::iota(rank.begin(), rank.end(), 0);
  Answer answer;
  do {
    if (!std::all_of(greater.begin(), greater.end(),
                     [&](const auto& g) { return rank[g.first] < rank[g.second]; }))
      continue;
    std::string here;
    for (const Words& w : kWords) {
      if (compares) {
        const size_t a = person(asked[1]), b = person(asked[3]);
        if (asked[2].str() == w.more) here = rank[a] < rank[b] ? "yes" : "no";
        if (asked[2].str() == w.less) here = rank[a] > rank[b] ? "yes" : "no";
      } else if (q.has(w.most) || q.has(w.least)) {
        const size_t wanted = q.has(w.most) ? 0 : people.size() - 1;
        here = people[static_cast<size_t>(std::find(rank.begin(), rank.end(), wanted) - rank.begin())];
      }
    }
    if (here.empty() || (answer && *answer != here)) return {};
    answer = here;
  } while (std::next_permutation(rank.begin(), rank.end()));
  return answer;
}

// A world says which of the eight sorts of thing exist that are or are not a, b, c. What follows holds in
// every world in which the premises hold.
Answer syllogism(const Question& q) {
  static const std::regex sentence(R"((All|Some|No|all|some|no) (\w+) are (\w+))");
  struct Claim {
    char quantifier;
    int subject, predicate;
  };
  std::vector<std::string> terms;
  std::vector<Claim> claims;
  for (std::sregex_iterator it(q.text.begin(), q.text.end(), sentence), end; it != end; ++it) {
    const auto term = [&](const std::string& name) {
      const auto at = std::find(terms.begin(), terms.end(), name);
      if (at != terms.end()) return static_cast<int>(at - terms.begin());
      terms.push_back(name);
      return static_cast<int>(terms.size()) - 1;
    };
    const int s = term((*it)[2]), p = term((*it)[3]);
    claims.push_back({static_cast<char>(std::tolower((*it)[1].str()[0])), s, p});
  }
  if (claims.size() != 3 || terms.size() != 3) return {};
  const auto holds = [](const Claim& c, int world) {
    bool both = false, only = false;
    for (int sort = 0; sort < 8; ++sort) {
      if ((world >> sort & 1) == 0 || (sort >> c.subject & 1) == 0) continue;
      ((sort >> c.predicate & 1) != 0 ? both : only) = true;
    }
    return c.quantifier == 'a' ? !only : c.quantifier == 's' ? both : !both;
  };
  for (int world = 0; world < 256; ++world)
    if (holds(claims[0], world) && holds(claims[1], world) && !holds(claims[2], world)) return "no";
  return "yes";
}

}  // namespace

std::optional<std::string> solve(std::string_view question) {
  if (question.size() > 1000) return {};
  const Question q = read(question);
  if (q.words.empty()) return {};
  if (!q.quoted.empty()) return letters(q);
  for (Answer (*way)(const Question&) : {syllogism, relation, money, units, calendar})
    if (Answer a = way(q)) return a;
  if (q.numbers.size() == 3 && q.has("has")) return story(q);
  if (Answer a = arithmetic(q)) return a;
  return comparison(q);
}

}  // namespace frugal::eval
