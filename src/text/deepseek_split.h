// DeepSeek-V3's three Split stages (tokenizer.json: pre_tokenizer) in one pass without regular expressions:
// the same pieces as the patterns give, many times as fast. The stages may have another digit limit, and a
// stage before them that cuts capitals apart, as in the tokenizers that text/tokenizer_train.h makes.
//
// Why one pass suffices: the characters that the first stages cut out (numbers, CJK, lone capitals) are three
// disjoint sets, and no pattern looks outside what the stage before it left. So the main pattern sees runs
// between numbers and lone capitals (which it leaves whole), in which all characters are CJK or none is.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "text/char_class.h"
#include "text/regex.h"

namespace frugal::text {

// Numbers, with the limit of digits in a piece: 1 or kDigitsPattern's {1,n}.
constexpr const char* kOneDigitPattern = R"(\p{N})";
constexpr const char* kDigitsPattern = R"(\p{{N}}{{1,{}}})";  // a format
constexpr const char* kCjkPattern = "[一-龥\u3040-ゟ゠-ヿ]+";
constexpr const char* kMainPattern =
    R"([!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+)"
    R"(| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
// Capitals that no lower-case letter follows.
constexpr const char* kCapitalsPattern = "[A-Z](?![a-z])";

struct SplitStage;

// Finds the ends of pieces in a well-formed text. kCapitals: lone capitals are pieces.
template <bool kCapitals>
class DeepSeekScanner {
 public:
  DeepSeekScanner(std::string_view text, int digits)
      : end_(text.data() + text.size()), digits_(digits), ascii_(ascii_chars()) {}

  // The end of the piece that starts at p, which is not the end of the text.
  const char* piece_end(const char* p) {
    const CharInfo c = any(p);
    const char* next = p + length(p);
    if (is_lone_capital(p)) return next;
    cjk_ = c.cjk();
    switch (c.kind()) {
      case CharClass::kNumber:
        return after_number(next);
      case CharClass::kLetter:
      case CharClass::kMark:
        return after_letters(next);
      case CharClass::kSymbol:
        return after_symbols(p, next);
      case CharClass::kNewline:
        return after_space(p);
      default:
        break;
    }
    // [^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+
    const CharClass second = main(next);
    if (is_word(second)) return after_letters(next + length(next));
    if (c.kind() == CharClass::kOther) return after_unmatched(next);
    if (*p == ' ' && second == CharClass::kSymbol) return after_symbol_run(next + length(next));
    return after_space(p);
  }

 private:
  static uint8_t byte(const char* q) { return static_cast<uint8_t>(*q); }
  static bool is_ascii_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
  static bool is_word(CharClass c) { return c == CharClass::kLetter || c == CharClass::kMark; }
  bool is_lone_capital(const char* q) const {
    return kCapitals && *q >= 'A' && *q <= 'Z' && !(q + 1 < end_ && q[1] >= 'a' && q[1] <= 'z');
  }

  // Bytes of the character at q, which is not the end.
  static int length(const char* q) {
    const uint8_t lead = byte(q);
    return lead < 0x80 ? 1 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
  }
  // The character at q, whatever stage it belongs to; q is not the end.
  CharInfo any(const char* q) const {
    const uint8_t lead = byte(q);
    const auto tail = [&](int i) { return static_cast<char32_t>(byte(q + i) & 0x3F); };
    if (lead < 0x80) return ascii_[lead];
    if (lead < 0xE0) return char_info((lead & 0x1Fu) << 6 | tail(1));
    if (lead < 0xF0) return char_info((lead & 0x0Fu) << 12 | tail(1) << 6 | tail(2));
    return char_info((lead & 0x07u) << 18 | tail(1) << 12 | tail(2) << 6 | tail(3));
  }
  // The character at q as the main pattern sees it.
  CharClass main(const char* q) const {
    if (q == end_ || is_lone_capital(q)) return CharClass::kEnd;
    const CharInfo c = any(q);
    return c.kind() == CharClass::kNumber || c.cjk() != cjk_ ? CharClass::kEnd : c.kind();
  }

  const char* after_number(const char* q) const {
    for (int n = 1; n < digits_ && q < end_ && any(q).kind() == CharClass::kNumber; ++n) q += length(q);
    return q;
  }

  const char* after_letters(const char* q) const {
    while (true) {
      // Most letters are ASCII, none of which is a mark or CJK.
      while (q < end_ && is_ascii_letter(*q)) {
        if (cjk_ || is_lone_capital(q)) return q;
        ++q;
      }
      if (q == end_ || byte(q) < 0x80 || !is_word(main(q))) return q;
      q += length(q);
    }
  }

  // After a symbol, from `begin` to q: [ASCII punctuation][A-Za-z]+, else a run of symbols.
  const char* after_symbols(const char* begin, const char* q) const {
    const auto is_letter = [&](const char* r) {
      return r < end_ && is_ascii_letter(*r) && !is_lone_capital(r);
    };
    if (byte(begin) >= 0x80 || !is_letter(q)) return after_symbol_run(q);
    while (is_letter(q)) ++q;
    return q;
  }

  // The rest of [\p{P}\p{S}]+[\r\n]*
  const char* after_symbol_run(const char* q) const {
    while (main(q) == CharClass::kSymbol) q += length(q);
    while (!cjk_ && q < end_ && (*q == '\r' || *q == '\n')) ++q;
    return q;
  }

  // At white space that starts at q: \s*[\r\n]+, else \s+(?!\S), else \s+.
  const char* after_space(const char* q) const {
    const char* first = q;
    const char* last = q;  // where the last character of the run starts
    const char* after_newline = nullptr;
    CharClass c = main(q);
    while (c == CharClass::kSpace || c == CharClass::kNewline) {
      last = q;
      q += length(q);
      if (c == CharClass::kNewline) after_newline = q;
      c = main(q);
    }
    if (after_newline != nullptr) return after_newline;
    // What follows is no white space, unless the run ends here; then the last character belongs to it.
    return c == CharClass::kEnd || last == first ? q : last;
  }

  // At q, after a character that no alternative matches: what lies before the next match is one piece.
  const char* after_unmatched(const char* q) const {
    while (main(q) == CharClass::kOther && !is_word(main(q + length(q)))) q += length(q);
    return q;
  }

  const char* end_;
  int digits_;
  const CharInfo* ascii_;
  bool cjk_ = false;  // whether the run that the main pattern sees is one of CJK
};

class DeepSeekSplit {
 public:
  // Nothing if the stages are others.
  static std::optional<DeepSeekSplit> recognise(const std::vector<SplitStage>& stages);

  // Calls sink(std::string_view) for every piece of `text` (well-formed UTF-8), in order.
  template <class Sink>
  void split(std::string_view text, Sink&& sink) const {
    split_capitals_ ? scan<true>(text, sink) : scan<false>(text, sink);
  }

 private:
  DeepSeekSplit(int digits, bool split_capitals) : digits_(digits), split_capitals_(split_capitals) {}

  template <bool kCapitals, class Sink>
  void scan(std::string_view text, Sink& sink) const {
    DeepSeekScanner<kCapitals> scanner(text, digits_);
    const char* const end = text.data() + text.size();
    for (const char* p = text.data(); p < end;) {
      const char* next = scanner.piece_end(p);
      sink(std::string_view(p, static_cast<size_t>(next - p)));
      p = next;
    }
  }

  int digits_;
  bool split_capitals_;
};

}  // namespace frugal::text
