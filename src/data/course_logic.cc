// The kind "logic": who is the tallest, and what follows from two sentences with all, some and no.
#include "data/course_forms.h"

namespace frugal::data {

namespace {

constexpr std::array<std::string_view, 32> kNames = {"Zor", "Mip", "Tak", "Lun", "Vex", "Dob", "Fen", "Gil", "Hul", "Jat", "Kip",
                                                     "Nol", "Pim", "Rud", "Sog", "Wib", "Bax", "Cam", "Dez", "Fip", "Gon", "Hep",
                                                     "Juv", "Kel", "Lop", "Mur", "Nib", "Pox", "Quin", "Rab", "Tuz", "Yol"};
constexpr std::array<std::string_view, 24> kNouns = {"zors", "mips", "taks", "luns", "vexes", "dobs", "fens", "gils",
                                                     "huls", "jats", "kips", "nols", "pims",  "ruds", "sogs", "wibs",
                                                     "caps", "gons", "heps", "kels", "lops",  "murs", "nibs", "yols"};

template <size_t N>
std::vector<std::string_view> draw_different(Draws& draws, const std::array<std::string_view, N>& from, int count) {
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

// Orders in which the premises are said: each one touches what has been said before, so that a chain can grow.
constexpr std::array<std::array<int, 3>, 4> kOrders = {{{0, 1, 2}, {1, 0, 2}, {1, 2, 0}, {2, 1, 0}}};

// names[0] is the most, names.back() the least. Premise k compares names[k] and names[k + 1].
Problem relation(Draws& operands, Draws& wording, int count) {
  static constexpr std::array<const char*, 4> kWho = {"Who is the {}?", "Who of them is the {}?", "Which of them is the {}?",
                                                      "Who is {} of all?"};
  static constexpr std::array<const char*, 3> kIs = {"Is {} {} than {}?", "Must {} be {} than {}?", "So is {} {} than {}?"};
  const std::vector<std::string_view> names = draw_different(operands, kNames, count);
  const int order = number_between(operands, 0, count == 3 ? 1 : 3), turned = number_between(operands, 0, (1 << (count - 1)) - 1);
  const Relation& relation = pick(wording, kRelations);

  std::string premises, work;
  int top = -1, bottom = -1;
  const auto chain = [&] { return joined({names.begin() + top, names.begin() + bottom + 1}, " > "); };
  for (int i = 0, said = 0; i < 3; ++i) {
    const int k = kOrders[static_cast<size_t>(order)][static_cast<size_t>(i)];
    if (k >= count - 1) continue;  // three names: the first two orders without premise 2
    const std::string_view more = names[static_cast<size_t>(k)], less = names[static_cast<size_t>(k) + 1];
    append_step(&premises, (turned >> k & 1) != 0 ? fmt::format("{} is {} than {}.", less, relation.less, more)
                                                  : fmt::format("{} is {} than {}.", more, relation.more, less));
    top = said == 0 ? k : std::min(top, k);
    bottom = said == 0 ? k + 1 : std::max(bottom, k + 1);
    if (said++ > 0) work += ", ";
    work += fmt::format("{} > {}", more, less);
    if (said > 1) work += ": " + chain();
  }

  // Half the questions ask who, half compare two that no premise compares.
  const bool who = operands.below(2) == 0, most = operands.below(2) == 0;
  int first = number_between(operands, 0, count - 3), second = number_between(operands, first + 2, count - 1);
  if (operands.below(2) == 0) std::swap(first, second);
  const std::string structure = who ? fmt::format("{} {} {} who {}", count, order, turned, most)
                                    : fmt::format("{} {} {} is {} {} {}", count, order, turned, most, first, second);
  std::string question, answer;
  if (who) {
    std::string text = fmt::format(fmt::runtime(pick(wording, kWho)), most ? relation.most : relation.least);
    question = text;
    answer = most ? names.front() : names.back();
  } else {
    question = fmt::format(fmt::runtime(pick(wording, kIs)), names[static_cast<size_t>(first)], most ? relation.more : relation.less,
                           names[static_cast<size_t>(second)]);
    answer = (first < second) == most ? "yes" : "no";
  }
  return {joined(names, " "), structure, premises + " " + question, work, answer, who ? count : 2};
}

Problem relation_of_three(Draws& operands, Draws& wording) { return relation(operands, wording, 3); }
Problem relation_of_four(Draws& operands, Draws& wording) { return relation(operands, wording, 4); }

// Quantified sentences over the terms a, b, c: "all a are b" is a<b, "some a are b" a~b, "no a are b" a#b.
struct Sentence {
  char quantifier;  // '<', '~' or '#'
  int subject, predicate;
};
std::string sign_text(const Sentence& s, const std::vector<std::string_view>& terms) {
  return fmt::format("{} {} {}", terms[static_cast<size_t>(s.subject)], s.quantifier, terms[static_cast<size_t>(s.predicate)]);
}
std::string say(const Sentence& s, const std::vector<std::string_view>& terms) {
  const std::string_view word = s.quantifier == '<' ? "all" : s.quantifier == '~' ? "some" : "no";
  return fmt::format("{} {} are {}", word, terms[static_cast<size_t>(s.subject)], terms[static_cast<size_t>(s.predicate)]);
}

constexpr int kA = 0, kB = 1, kC = 2;
struct Conclusion {
  Sentence sentence;
  bool follows;
};
// Two premises, what they say about a and c together, and questions with their answers.
struct Mood {
  Sentence first, second;
  bool concludes;
  Sentence conclusion;
  std::vector<Conclusion> questions;
};
const std::vector<Mood>& moods() {
  static const std::vector<Mood> all = {
      {{'<', kA, kB}, {'<', kB, kC}, true, {'<', kA, kC}, {{{'<', kA, kC}, true}, {{'<', kA, kC}, true}, {{'<', kC, kA}, false}, {{'#', kA, kC}, false}}},
      {{'<', kA, kB}, {'#', kB, kC}, true, {'#', kA, kC}, {{{'#', kA, kC}, true}, {{'#', kC, kA}, true}, {{'<', kA, kC}, false}, {{'~', kA, kC}, false}}},
      {{'~', kA, kB}, {'<', kB, kC}, true, {'~', kA, kC}, {{{'~', kA, kC}, true}, {{'~', kC, kA}, true}, {{'<', kA, kC}, false}, {{'#', kA, kC}, false}}},
      {{'<', kA, kB}, {'~', kB, kC}, false, {}, {{{'~', kA, kC}, false}, {{'<', kA, kC}, false}, {{'#', kA, kC}, false}}},
      {{'<', kA, kB}, {'<', kC, kB}, false, {}, {{{'<', kA, kC}, false}, {{'~', kA, kC}, false}, {{'<', kC, kA}, false}}},
      {{'#', kA, kB}, {'<', kC, kB}, true, {'#', kA, kC}, {{{'#', kA, kC}, true}, {{'#', kC, kA}, true}, {{'~', kA, kC}, false}}},
      {{'<', kA, kB}, {'#', kC, kB}, true, {'#', kA, kC}, {{{'#', kA, kC}, true}, {{'#', kC, kA}, true}, {{'<', kC, kA}, false}}},
  };
  return all;
}

Problem syllogism(Draws& operands, Draws& wording) {
  static constexpr std::array<const char*, 5> kWordings = {"Does it follow that {}?", "Must it be that {}?", "Is it certain that {}?",
                                                           "Can we be sure that {}?", "Do we know that {}?"};
  const std::vector<std::string_view> terms = draw_different(operands, kNouns, 3);
  const Mood& mood = moods()[static_cast<size_t>(operands.below(static_cast<int64_t>(moods().size())))];
  const bool swapped = operands.below(2) == 0;
  const Conclusion& asked = mood.questions[static_cast<size_t>(operands.below(static_cast<int64_t>(mood.questions.size())))];
  const Sentence& first = swapped ? mood.second : mood.first;
  const Sentence& second = swapped ? mood.first : mood.second;
  const auto upper = [](std::string text) {
    text[0] = static_cast<char>(text[0] - 'a' + 'A');
    return text;
  };
  // Key and structure number the terms as the question names them: what reads alike is alike.
  std::vector<int> place(3, -1);
  std::vector<std::string_view> named;
  const auto number = [&](int term) {
    int& p = place[static_cast<size_t>(term)];
    if (p < 0) {
      p = static_cast<int>(named.size());
      named.push_back(terms[static_cast<size_t>(term)]);
    }
    return p;
  };
  std::string structure = "syllogism";
  for (const Sentence* s : {&first, &second, &asked.sentence}) {
    const int subject = number(s->subject), predicate = number(s->predicate);
    structure += fmt::format(" {}{}{}", subject, s->quantifier, predicate);
  }
  const std::string known = mood.concludes ? sign_text(mood.conclusion, terms) : "nothing";
  return {joined(named, " "), structure,
          fmt::format("{}. {}. {}", upper(say(first, terms)), upper(say(second, terms)),
                      fmt::format(fmt::runtime(pick(wording, kWordings)), say(asked.sentence, terms))),
          fmt::format("{}, {}: {}. {}?", sign_text(mood.first, terms), sign_text(mood.second, terms), known,
                      sign_text(asked.sentence, terms)),
          asked.follows ? "yes" : "no", 2};
}

}  // namespace

std::vector<Form> logic_forms() { return {{60000, relation_of_three}, {60000, relation_of_four}, {60000, syllogism}, {60000, syllogism}}; }

}  // namespace frugal::data
