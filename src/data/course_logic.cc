// The kind "logic": who is the tallest, and what follows from two sentences with all, some and no.
#include <algorithm>

#include "data/course_forms.h"

namespace frugal::data {

namespace {

constexpr std::array<std::string_view, 32> kNames = {"Zor", "Mip", "Tak", "Lun", "Vex",  "Dob", "Fen", "Gil",
                                                     "Hul", "Jat", "Kip", "Nol", "Pim",  "Rud", "Sog", "Wib",
                                                     "Bax", "Cam", "Dez", "Fip", "Gon",  "Hep", "Juv", "Kel",
                                                     "Lop", "Mur", "Nib", "Pox", "Quin", "Rab", "Tuz", "Yol"};
constexpr std::array<std::string_view, 24> kNouns = {
    "zors", "mips", "taks", "luns", "vexes", "dobs", "fens", "gils", "huls", "jats", "kips", "nols",
    "pims", "ruds", "sogs", "wibs", "caps",  "gons", "heps", "kels", "lops", "murs", "nibs", "yols"};

template <size_t N>
std::vector<std::string_view> draw_different(Draws& draws, const std::array<std::string_view, N>& from,
                                             int count) {
  std::vector<std::string_view> out;
  for (const int64_t i : draws.permutation(static_cast<int64_t>(N))) {
    if (static_cast<int>(out.size()) == count) break;
    out.push_back(from[static_cast<size_t>(i)]);
  }
  return out;
}

std::string joined(const std::vector<std::string_view>& words, std::string_view by) {
  std::string text;
  for (const std::string_view w : words) text += (text.empty() ? "" : std::string(by)) + std::string(w);
  return text;
}

struct Relation {
  std::string_view more, less, most, least;
};
constexpr std::array<Relation, 4> kRelations = {{{"taller", "shorter", "tallest", "shortest"},
                                                 {"older", "younger", "oldest", "youngest"},
                                                 {"faster", "slower", "fastest", "slowest"},
                                                 {"stronger", "weaker", "strongest", "weakest"}}};

// Orders in which the premises are said: each one touches what has been said before, so that a chain can
// grow.
constexpr std::array<std::array<int, 3>, 4> kOrders = {{{0, 1, 2}, {1, 0, 2}, {1, 2, 0}, {2, 1, 0}}};

// names[0] is the most, names.back() the least. Premise k compares names[k] and names[k + 1].
Problem relation(Draws& operands, Draws& wording, int count) {
  static constexpr std::array<const char*, 4> kWho = {"Who is the {}?", "Who of them is the {}?",
                                                      "Which of them is the {}?", "Who is {} of all?"};
  static constexpr std::array<const char*, 3> kIs = {"Is {} {} than {}?", "Must {} be {} than {}?",
                                                     "So is {} {} than {}?"};
  const std::vector<std::string_view> names = draw_different(operands, kNames, count);
  const int order = number_between(operands, 0, count == 3 ? 1 : 3),
            turned = number_between(operands, 0, (1 << (count - 1)) - 1);
  const Relation& relation = pick(wording, kRelations);

  std::string premises, work;
  int top = -1, bottom = -1;
  const auto chain = [&] { return joined({names.begin() + top, names.begin() + bottom + 1}, " > "); };
  for (int i = 0, said = 0; i < 3; ++i) {
    const int k = kOrders[static_cast<size_t>(order)][static_cast<size_t>(i)];
    if (k >= count - 1) continue;  // three names: the first two orders without premise 2
    const std::string_view more = names[static_cast<size_t>(k)], less = names[static_cast<size_t>(k) + 1];
    append_step(&premises, (turned >> k & 1) != 0
                               ? fmt::format("{} is {} than {}.", less, relation.less, more)
                               : fmt::format("{} is {} than {}.", more, relation.more, less));
    top = said == 0 ? k : std::min(top, k);
    bottom = said == 0 ? k + 1 : std::max(bottom, k + 1);
    if (said++ > 0) work += ", ";
    work += fmt::format("{} > {}", more, less);
    if (said > 1) work += ": " + chain();
  }

  // A third of the questions ask who, the others compare two.
  const bool who = operands.below(3) == 0, most = operands.below(2) == 0;
  const int first = number_between(operands, 0, count - 1);
  const int second = (first + number_between(operands, 1, count - 1)) % count;
  const std::string structure =
      who ? fmt::format("{} {} {} who {}", count, order, turned, most)
          : fmt::format("{} {} {} is {} {} {}", count, order, turned, most, first, second);
  std::string question, answer;
  if (who) {
    std::string text = fmt::format(fmt::runtime(pick(wording, kWho)), most ? relation.most : relation.least);
    question = text;
    answer = most ? names.front() : names.back();
  } else {
    question = fmt::format(fmt::runtime(pick(wording, kIs)), names[static_cast<size_t>(first)],
                           most ? relation.more : relation.less, names[static_cast<size_t>(second)]);
    answer = (first < second) == most ? "yes" : "no";
    // What is asked, put as X > Y, what the chain says of the two, and the first names of both side by side:
    // the answer is yes if they are the same. Without that a model learns by heart which structure has which
    // answer.
    const auto greater = [&](int x, int y) {
      return fmt::format("{} > {}", names[static_cast<size_t>(x)], names[static_cast<size_t>(y)]);
    };
    const int above = most ? first : second, top_of_two = std::min(first, second);
    work += fmt::format(". {}? {}. {} {}", greater(above, first + second - above),
                        greater(top_of_two, std::max(first, second)), names[static_cast<size_t>(above)],
                        names[static_cast<size_t>(top_of_two)]);
  }
  return {joined(names, " "), structure, premises + " " + question, work, answer, who ? count : 2};
}

Problem relation_of_three(Draws& operands, Draws& wording) { return relation(operands, wording, 3); }
Problem relation_of_four(Draws& operands, Draws& wording) { return relation(operands, wording, 4); }

// "all a are b" is a < b, "some a are b" a ~ b, "no a are b" a # b. A relation is read from left to right, so
// that "all b are a" is a > b; ~ and # mean the same in both directions.
struct Sentence {
  char sign;  // '<', '~' or '#'
  int subject, predicate;
};
Sentence sentence(int left, char relation, int right, bool turned) {
  if (relation == '>') return {'<', right, left};
  if (relation != '<' && turned) return {relation, right, left};
  return {relation, left, right};
}

// What a (r) b and b (s) c say of a and c; '?' if nothing.
char conclude(char r, char s) {
  if (r == s && (r == '<' || r == '>')) return r;
  if ((r == '<' && s == '#') || (r == '#' && s == '>')) return '#';
  if ((r == '~' && s == '<') || (r == '>' && s == '~')) return '~';
  return '?';
}

// Terms get numbers in the order in which the question names them: what reads alike has one structure and one
// key.
struct Naming {
  const std::vector<std::string_view>& terms;
  std::vector<int> order = {};

  int number(int term) {
    const auto at = std::find(order.begin(), order.end(), term);
    if (at == order.end()) order.push_back(term);
    return static_cast<int>(std::find(order.begin(), order.end(), term) - order.begin());
  }
  std::string structure(const Sentence& s) {
    const int subject = number(s.subject), predicate = number(s.predicate);
    return fmt::format(" {}{}{}", subject, s.sign, predicate);
  }
  std::string key() const {
    std::string text;
    for (const int t : order) append_step(&text, terms[static_cast<size_t>(t)]);
    return text;
  }
  std::string sign(const Sentence& s) const {
    return fmt::format("{} {} {}", terms[static_cast<size_t>(s.subject)], s.sign,
                       terms[static_cast<size_t>(s.predicate)]);
  }
  // What must be the same in two sentences that say the same of two terms.
  std::string mark(const Sentence& s) const {
    return s.sign == '<' ? fmt::format("< {}", terms[static_cast<size_t>(s.subject)])
                         : std::string(1, s.sign);
  }
  std::string words(const Sentence& s) const {
    const std::string_view word = s.sign == '<' ? "all" : s.sign == '~' ? "some" : "no";
    return fmt::format("{} {} are {}", word, terms[static_cast<size_t>(s.subject)],
                       terms[static_cast<size_t>(s.predicate)]);
  }
};

Problem syllogism(Draws& operands, Draws& wording) {
  static constexpr std::array<const char*, 5> kWordings = {"Does it follow that {}?", "Must it be that {}?",
                                                           "Is it certain that {}?",
                                                           "Can we be sure that {}?", "Do we know that {}?"};
  static constexpr std::array<char, 4> kRelations4 = {'<', '>', '~', '#'};
  constexpr int kA = 0, kB = 1, kC = 2;
  const std::vector<std::string_view> terms = draw_different(operands, kNouns, 3);
  const auto coin = [&] { return operands.below(2) == 0; };
  // Two of three pairs of premises say something of a and c, and then half of the questions ask for that.
  const bool concludes = operands.below(3) != 0;
  char r = '?', s = '?';
  do {
    r = pick(operands, kRelations4);
    s = pick(operands, kRelations4);
  } while ((conclude(r, s) != '?') != concludes);
  const char known = conclude(r, s);
  char asked = pick(operands, kRelations4);
  if (concludes && coin()) asked = known;
  const bool turned1 = coin(), turned2 = coin(), turned3 = coin();
  Sentence first = sentence(kA, r, kB, turned1), second = sentence(kB, s, kC, turned2);
  const Sentence question = sentence(kA, asked, kC, turned3);
  if (coin()) std::swap(first, second);

  Naming naming{terms};
  std::string structure = "syllogism";
  for (const Sentence& x : {first, second, question}) structure += naming.structure(x);
  const auto upper = [](std::string text) {
    text[0] = static_cast<char>(text[0] - 'a' + 'A');
    return text;
  };
  std::string work = fmt::format("{}, {}: ", naming.sign(first), naming.sign(second));
  if (concludes) {
    const Sentence conclusion = sentence(kA, known, kC, false);
    work += fmt::format("{}. {}? {} {}", naming.sign(conclusion), naming.sign(question),
                        naming.mark(conclusion), naming.mark(question));
  } else {
    work += "nothing";
  }
  return {naming.key(),
          structure,
          fmt::format("{}. {}. {}", upper(naming.words(first)), upper(naming.words(second)),
                      fmt::format(fmt::runtime(pick(wording, kWordings)), naming.words(question))),
          work,
          asked == known ? "yes" : "no",
          2};
}

}  // namespace

std::vector<Form> logic_forms() {
  return {{60000, relation_of_three}, {60000, relation_of_four}, {60000, syllogism}};
}

}  // namespace frugal::data
