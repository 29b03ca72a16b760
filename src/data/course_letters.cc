// The kind "letters and words". Words stand in capitals: a tokenizer with split_capitals gives each letter
// its token.
#include <algorithm>

#include "data/course_forms.h"

namespace frugal::data {

namespace {

constexpr std::array<std::string_view, 48> kWords = {
    "APPLE",  "BIRD",  "BOAT",   "BREAD",  "BRIDGE", "CAT",    "CHAIR",  "CLOUD",  "CUP",   "DOG",
    "DUCK",   "FARM",  "FISH",   "FOREST", "FOX",    "GARDEN", "GLASS",  "GRAPE",  "HAT",   "HORSE",
    "HOUSE",  "KEY",   "KITTEN", "LAKE",   "LEMON",  "LION",   "MILK",   "MOON",   "MOUSE", "PAPER",
    "PENCIL", "PIANO", "PLANET", "QUEEN",  "RABBIT", "RAIN",   "RIVER",  "ROCKET", "SHIP",  "SNOW",
    "SPOON",  "STAR",  "TABLE",  "TRAIN",  "TREE",   "WINDOW", "WINTER", "ZEBRA"};

// A real word now and then, otherwise an invented one in which consonants and vowels mostly take turns.
std::string draw_word(Draws& draws, int shortest, int longest) {
  if (draws.below(6) == 0) {
    const std::string_view word = pick(draws, kWords);
    if (static_cast<int>(word.size()) >= shortest && static_cast<int>(word.size()) <= longest)
      return std::string(word);
  }
  constexpr std::string_view kVowels = "AEIOU", kConsonants = "BCDFGHJKLMNPQRSTVWXYZ";
  const int length = number_between(draws, shortest, longest);
  std::string word;
  bool vowel = draws.below(3) == 0;
  for (int i = 0; i < length; ++i) {
    const std::string_view letters = vowel ? kVowels : kConsonants;
    word += letters[static_cast<size_t>(draws.below(static_cast<int64_t>(letters.size())))];
    if (draws.below(5) != 0) vowel = !vowel;
  }
  return word;
}

// "1H2O3U4S5E"
std::string numbered(std::string_view word) {
  std::string text;
  for (size_t i = 0; i < word.size(); ++i) text += fmt::format("{}{}", i + 1, word[i]);
  return text;
}

Problem reverse_word(Draws& operands, Draws& wording) {
  static constexpr std::array<const char*, 8> kWordings = {"Write \"{}\" backwards.",
                                                           "What is \"{}\" backwards?",
                                                           "Reverse \"{}\".",
                                                           "Reverse the word \"{}\".",
                                                           "Reverse the letters of \"{}\".",
                                                           "Write the word \"{}\" backwards.",
                                                           "What is the word \"{}\" backwards?",
                                                           "Read \"{}\" from the end."};
  const std::string word = draw_word(operands, 3, 7), reversed(word.rbegin(), word.rend());
  std::string back;
  for (size_t i = word.size(); i-- > 0;) back += fmt::format("{}{}", i + 1, word[i]);
  return {word, "", fmt::format(fmt::runtime(pick(wording, kWordings)), word), numbered(word) + " " + back,
          reversed};
}

Problem count_letters(Draws& operands, Draws& wording) {
  static constexpr std::array<const char*, 5> kWordings = {
      "How many letters has \"{}\"?", "How many letters are in \"{}\"?", "Count the letters of \"{}\".",
      "How many letters are there in the word \"{}\"?", "How many letters has the word \"{}\"?"};
  const std::string word = draw_word(operands, 3, 9);
  return {word, "", fmt::format(fmt::runtime(pick(wording, kWordings)), word), numbered(word),
          std::to_string(word.size())};
}

// "E: S0E1V0E1N0 1E2E": first which letters are the one, then those counted.
Problem count_letter(Draws& operands, Draws& wording) {
  static constexpr std::array<const char*, 5> kWordings = {
      "How many letters {1} are in \"{0}\"?", "How many times is {1} in \"{0}\"?",
      "Count the letter {1} in \"{0}\".", "How many times does \"{0}\" have the letter {1}?",
      "How many letters {1} are there in the word \"{0}\"?"};
  std::string word = draw_word(operands, 4, 8);
  const char letter = word[static_cast<size_t>(operands.below(static_cast<int64_t>(word.size())))];
  // Mostly twice or more: one more place gets the letter.
  if (operands.below(3) != 0)
    word[static_cast<size_t>(operands.below(static_cast<int64_t>(word.size())))] = letter;
  int count = 0;
  std::string work = fmt::format("{}: ", letter), found;
  for (const char c : word) {
    work += fmt::format("{}{}", c, c == letter ? 1 : 0);
    if (c == letter) found += fmt::format("{}{}", ++count, c);
  }
  work += " " + found;
  return {fmt::format("{} {}", word, letter), "",
          fmt::format(fmt::runtime(pick(wording, kWordings)), word, letter), work, std::to_string(count)};
}

Problem nth_letter(Draws& operands, Draws& wording) {
  static constexpr std::array<const char*, 5> kWordings = {
      "What is letter {1} of \"{0}\"?", "Give letter {1} of \"{0}\".",
      "Which letter is number {1} in \"{0}\"?", "What is letter number {1} of the word \"{0}\"?",
      "Find letter {1} of the word \"{0}\"."};
  const std::string word = draw_word(operands, 3, 8);
  const size_t n = static_cast<size_t>(operands.between(1, static_cast<int64_t>(word.size())));
  return {fmt::format("{} {}", word, n), "", fmt::format(fmt::runtime(pick(wording, kWordings)), word, n),
          numbered(std::string_view(word).substr(0, n)), std::string(1, word[n - 1])};
}

// Every letter gets its number in the alphabet; then an insertion sort, as for numbers: "03C 01A: 01A 03C".
Problem sort_letters(Draws& operands, Draws& wording) {
  static constexpr std::array<const char*, 6> kWordings = {"Sort the letters of \"{}\".",
                                                           "Sort the letters of the word \"{}\".",
                                                           "Put the letters of \"{}\" in order.",
                                                           "Write the letters of \"{}\" from A to Z.",
                                                           "Sort \"{}\" from A to Z.",
                                                           "Put the letters of the word \"{}\" in order."};
  const std::string word = draw_word(operands, 3, 4);
  const auto with_numbers = [](const std::string& letters) {
    std::string text;
    for (const char c : letters) append_step(&text, fmt::format("{:02}{}", c - 'A' + 1, c));
    return text;
  };
  std::string sorted(1, word[0]), work = with_numbers(word) + ": ";
  for (size_t i = 1; i < word.size(); ++i) {
    sorted.insert(std::upper_bound(sorted.begin(), sorted.end(), word[i]), word[i]);
    work += (i > 1 ? ", " : "") + with_numbers(sorted);
  }
  return {word, "", fmt::format(fmt::runtime(pick(wording, kWordings)), word), work, sorted};
}

}  // namespace

std::vector<Form> letter_forms() {
  // Sorting is the hardest: twice its share.
  return {{30000, reverse_word}, {30000, count_letters}, {30000, count_letter},
          {30000, nth_letter},   {30000, sort_letters},  {30000, sort_letters}};
}

}  // namespace frugal::data
