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

class DeepSeekSplit {
 public:
  // Nothing if the stages are others.
  static std::optional<DeepSeekSplit> recognise(const std::vector<SplitStage>& stages);

  // Calls sink(std::string_view) for every piece of `text` (well-formed UTF-8), in order.
  template <class Sink>
  void split(std::string_view text, Sink&& sink) const {
    Cursor at{text.data(), text.data() + text.size(), ascii_, split_capitals_, false};
    while (at.p < at.end) {
      const char* begin = at.p;
      skip_piece(at);
      sink(std::string_view(begin, static_cast<size_t>(at.p - begin)));
    }
  }

 private:
  DeepSeekSplit(int digits, bool split_capitals)
      : digits_(digits), split_capitals_(split_capitals), ascii_(ascii_chars()) {}

  struct Char {
    CharClass kind;
    uint8_t bytes;  // 0: the end of the run that the main pattern sees
    bool cjk;
  };

  struct Cursor {
    const char* p;
    const char* end;
    const CharInfo* ascii;
    bool split_capitals;
    bool cjk;  // whether the run is one of CJK

    uint8_t byte(const char* q) const { return static_cast<uint8_t>(*q); }
    bool is_lone_capital(const char* q) const {
      return *q >= 'A' && *q <= 'Z' && !(q + 1 < end && q[1] >= 'a' && q[1] <= 'z');
    }
    // The character at q, whatever stage it belongs to; q < end.
    Char any(const char* q) const {
      const uint8_t lead = byte(q);
      if (lead < 0x80) return {ascii[lead].kind, 1, false};
      const auto tail = [&](int i) { return static_cast<char32_t>(byte(q + i) & 0x3F); };
      const auto with = [](CharInfo info, uint8_t bytes) { return Char{info.kind, bytes, info.cjk}; };
      if (lead < 0xE0) return with(char_info((lead & 0x1Fu) << 6 | tail(1)), 2);
      if (lead < 0xF0) return with(char_info((lead & 0x0Fu) << 12 | tail(1) << 6 | tail(2)), 3);
      return with(char_info((lead & 0x07u) << 18 | tail(1) << 12 | tail(2) << 6 | tail(3)), 4);
    }
    // The character at q as the main pattern sees it.
    Char main(const char* q) const {
      constexpr Char kEnd{CharClass::kOther, 0, false};
      if (q == end || (split_capitals && is_lone_capital(q))) return kEnd;
      const Char c = any(q);
      return c.kind == CharClass::kNumber || c.cjk != cjk ? kEnd : c;
    }
  };

  void skip_piece(Cursor& at) const {
    const Char c = at.any(at.p);
    const char* next = at.p + c.bytes;
    if (at.split_capitals && at.is_lone_capital(at.p)) {
      at.p = next;
      return;
    }
    at.cjk = c.cjk;
    switch (c.kind) {
      case CharClass::kNumber:
        at.p = after_number(at, next);
        return;
      case CharClass::kLetter:
      case CharClass::kMark:
        at.p = after_letters(at, next);
        return;
      case CharClass::kSymbol:
        at.p = after_symbols(at, next);
        return;
      case CharClass::kNewline:
        at.p = after_space(at, at.p);
        return;
      case CharClass::kSpace:
      case CharClass::kOther:
        break;
    }
    // [^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+
    const Char second = at.main(next);
    if (is_word(second)) {
      at.p = after_letters(at, next + second.bytes);
    } else if (c.kind == CharClass::kOther) {
      at.p = after_unmatched(at, next);
    } else if (*at.p == ' ' && second.bytes > 0 && second.kind == CharClass::kSymbol) {
      at.p = after_symbol_run(at, next + second.bytes);
    } else {
      at.p = after_space(at, at.p);
    }
  }

  static bool is_word(Char c) {
    return c.bytes > 0 && (c.kind == CharClass::kLetter || c.kind == CharClass::kMark);
  }
  static bool is_ascii_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

  const char* after_number(const Cursor& at, const char* q) const;
  static const char* after_letters(const Cursor& at, const char* q) {
    for (Char c = at.main(q); is_word(c); c = at.main(q)) q += c.bytes;
    return q;
  }
  // After a symbol, which ends at q: [ASCII punctuation][A-Za-z]+, else a run of symbols.
  static const char* after_symbols(const Cursor& at, const char* q) {
    const auto is_letter = [&](const char* r) { return is_ascii_letter(*r) && at.main(r).bytes > 0; };
    if (at.byte(at.p) >= 0x80 || q == at.end || !is_letter(q)) return after_symbol_run(at, q);
    while (q < at.end && is_letter(q)) ++q;
    return q;
  }
  // The rest of [\p{P}\p{S}]+[\r\n]*
  static const char* after_symbol_run(const Cursor& at, const char* q) {
    for (Char c = at.main(q); c.bytes > 0 && c.kind == CharClass::kSymbol; c = at.main(q)) q += c.bytes;
    while (!at.cjk && q < at.end && (*q == '\r' || *q == '\n')) ++q;
    return q;
  }
  static const char* after_space(const Cursor& at, const char* q);
  static const char* after_unmatched(const Cursor& at, const char* q);

  int digits_;
  bool split_capitals_;
  const CharInfo* ascii_;
};

}  // namespace frugal::text
