#include "text/regex.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <algorithm>
#include <cctype>
#include <cstdint>
#include <new>
#include <utility>

#include "base/error.h"

namespace frugal::text {

namespace {

// Unicode White_Space, as the inside of a character class, and everything else. PCRE2's own \s has U+180E
// too.
constexpr std::string_view kSpace =
    R"(\x{9}-\x{D}\x{20}\x{85}\x{A0}\x{1680}\x{2000}-\x{200A}\x{2028}\x{2029}\x{202F}\x{205F}\x{3000})";
constexpr std::string_view kNotSpace =
    R"(\x{0}-\x{8}\x{E}-\x{1F}\x{21}-\x{84}\x{86}-\x{9F}\x{A1}-\x{167F}\x{1681}-\x{1FFF}\x{200B}-\x{2027})"
    R"(\x{202A}-\x{202E}\x{2030}-\x{205E}\x{2060}-\x{2FFF}\x{3001}-\x{10FFFF})";
// Oniguruma's \w (PCRE2's has all numbers, and no marks).
constexpr std::string_view kWord = R"(\p{L}\p{M}\p{Nd}\p{Pc})";

// Far above what any published pattern needs; one that backtracks exponentially stops within seconds.
constexpr uint32_t kMatchLimit = 50'000'000;

// DeepSeek-V2's longest pattern has about 4 kB; a limit keeps a hostile file from compiling for minutes.
constexpr size_t kMaxPatternBytes = 1 << 16;

constexpr const char* kRemedy = "use a tokenizer whose patterns frugal can read, or rewrite the pattern";

using Code = std::unique_ptr<pcre2_code, decltype(&pcre2_code_free)>;

Code compile(std::string_view pattern, uint32_t options, int* error, size_t* offset) {
  const std::unique_ptr<pcre2_compile_context, decltype(&pcre2_compile_context_free)> context(
      pcre2_compile_context_create(nullptr), pcre2_compile_context_free);
  if (context == nullptr) throw std::bad_alloc();
  pcre2_set_newline(context.get(), PCRE2_NEWLINE_LF);
  pcre2_set_max_pattern_length(context.get(), kMaxPatternBytes);
  return {pcre2_compile(reinterpret_cast<PCRE2_SPTR>(pattern.data()), pattern.size(), options, error, offset,
                        context.get()),
          pcre2_code_free};
}

std::string pcre2_message(int error) {
  PCRE2_UCHAR text[256];
  pcre2_get_error_message(error, text, sizeof text);
  return reinterpret_cast<const char*>(text);
}

// One pass over the pattern. Everything that both engines read alike is copied.
class Translator {
 public:
  Translator(std::string_view pattern, const std::string& where) : in_(pattern), where_(where) {}

  std::string run() {
    while (at_ < in_.size()) {
      const char c = in_[at_];
      if (c == '\\') {
        escape();
      } else if (in_class_) {
        class_character(c);
      } else if (c == '[') {
        open_class();
      } else if (c == '(') {
        group();
      } else if (c == '{') {
        interval();
      } else {
        out_ += c;
        ++at_;
      }
    }
    if (in_class_) refuse("character class without an end");
    return std::move(out_);
  }

 private:
  char peek(size_t ahead) const { return at_ + ahead < in_.size() ? in_[at_ + ahead] : '\0'; }
  bool starts(std::string_view s) const { return in_.substr(at_).substr(0, s.size()) == s; }

  [[noreturn]] void refuse(const std::string& what) const {
    fail(where_, fmt::format("regular expression, byte {}: {} is not supported", at_, what), kRemedy);
  }

  void copy(size_t n) {
    out_ += in_.substr(at_, n);
    at_ += n;
  }

  void put_class(std::string_view inside, bool negated) {
    if (in_class_) {
      if (negated) refuse("\\W inside a character class");
      out_ += inside;
    } else {
      (out_ += negated ? "[^" : "[") += inside;
      out_ += ']';
    }
    at_ += 2;
  }

  void escape() {
    const char c = peek(1);
    switch (c) {
      case '\0':
        refuse("a backslash at the end");
      case 's':
        return put_class(kSpace, false);
      case 'S':
        return put_class(kNotSpace, false);
      case 'w':
        return put_class(kWord, false);
      case 'W':
        return put_class(kWord, true);
      case 'v':
        out_ += "\\x{B}", at_ += 2;
        return;  // PCRE2's \v is a class
      case 'd':
      case 'D':
      case 'r':
      case 'n':
      case 't':
      case 'f':
        return copy(2);
      case 'p':
      case 'P':
        return property();
      case 'x':
        return hexadecimal(2);
      case 'u':
        return hexadecimal(4);
      default:
        break;
    }
    if (std::isalnum(static_cast<unsigned char>(c)) != 0) refuse(fmt::format("\\{}", c));
    if (static_cast<unsigned char>(c) >= 0x80) {
      ++at_;  // an escaped character outside ASCII is that character
      return;
    }
    copy(2);
  }

  // \x41, \x{10FFFF}, \u3040: the code point.
  void hexadecimal(size_t digits) {
    size_t begin = at_ + 2, end = begin;
    const bool braces = digits == 2 && peek(2) == '{';
    if (braces) {
      ++begin;
      end = in_.find('}', begin);
      if (end == std::string_view::npos) refuse("\\x{ without }");
    } else {
      end = std::min(begin + digits, in_.size());
    }
    const std::string_view number = in_.substr(begin, end - begin);
    const bool right_size = braces ? !number.empty() && number.size() <= 8 : number.size() == digits;
    if (!right_size || number.find_first_not_of("0123456789abcdefABCDEF") != std::string_view::npos) {
      refuse("a malformed hexadecimal escape");
    }
    // Oniguruma reads \x80..\xFF as bytes of a character, not as code points.
    if (digits == 2 && !braces && number[0] >= '8') refuse("\\x above 7F without braces");
    (out_ += "\\x{") += number;
    out_ += '}';
    at_ = end + (braces ? 1 : 0);
  }

  // \p{Han} is the Script property in Oniguruma, but Script_Extensions in PCRE2 unless asked for.
  void property() {
    const size_t end = in_.find('}', at_);
    if (peek(2) != '{' || end == std::string_view::npos) refuse("\\p without {...}");
    std::string_view name = in_.substr(at_ + 3, end - at_ - 3);
    const bool caret = !name.empty() && name[0] == '^';
    if (caret) name.remove_prefix(1);
    const std::string scripted = fmt::format("\\p{{sc:{}}}", name);
    int error = 0;
    size_t offset = 0;
    const bool is_script = name.size() > 2 && name.find_first_of(":=") == std::string_view::npos &&
                           compile(scripted, PCRE2_UTF | PCRE2_UCP, &error, &offset) != nullptr;
    out_ += fmt::format("\\{}{{{}{}{}}}", peek(1), caret ? "^" : "", is_script ? "sc:" : "", name);
    at_ = end + 1;
  }

  void open_class() {
    in_class_ = true;
    copy(peek(1) == '^' ? 2 : 1);
    if (peek(0) == ']') refuse("] at the start of a character class");
  }

  void class_character(char c) {
    if (c == '[') refuse("[ inside a character class (a nested class)");
    if (starts("&&")) refuse("&& inside a character class");
    if (c == ']') in_class_ = false;
    copy(1);
  }

  void group() {
    if (peek(1) == '*') refuse("(*");
    if (peek(1) != '?') return copy(1);
    for (const std::string_view known : {"(?:", "(?=", "(?!", "(?>", "(?<=", "(?<!", "(?i:", "(?-i:"}) {
      if (starts(known)) return copy(known.size());
    }
    // Ruby wraps the alternatives after (?i) in a group, Perl does not: only at the start they agree.
    if (starts("(?i)") && at_ == 0) return copy(4);
    refuse(fmt::format("the group {}", in_.substr(at_, 4)));
  }

  // {n,m}: Ruby's {n,m}+ and {n}? repeat the repetition, PCRE2's are possessive and lazy; Ruby's {,n} is
  // {0,n}.
  void interval() {
    size_t end = at_ + 1;
    while (end < in_.size() && (std::isdigit(static_cast<unsigned char>(in_[end])) != 0 || in_[end] == ','))
      ++end;
    const std::string_view inside = in_.substr(at_ + 1, end - at_ - 1);
    if (end >= in_.size() || in_[end] != '}' || inside.empty()) return copy(1);  // a literal brace
    if (inside[0] == ',') refuse("the interval {,n}");
    copy(end + 1 - at_);
    if (peek(0) == '+') refuse("+ after an interval");
    if (peek(0) == '?' && inside.find(',') == std::string_view::npos) refuse("? after {n}");
  }

  std::string_view in_;
  const std::string& where_;
  std::string out_;
  size_t at_ = 0;
  bool in_class_ = false;
};

}  // namespace

std::string oniguruma_to_pcre2(std::string_view pattern, const std::string& where) {
  return Translator(pattern, where).run();
}

void MatchScratch::Free::operator()(pcre2_real_match_data_8* p) const { pcre2_match_data_free(p); }
void Regex::FreeCode::operator()(pcre2_real_code_8* p) const { pcre2_code_free(p); }
void Regex::FreeContext::operator()(pcre2_real_match_context_8* p) const { pcre2_match_context_free(p); }

MatchScratch::MatchScratch() : data_(pcre2_match_data_create(1, nullptr)) {
  if (data_ == nullptr) throw std::bad_alloc();
}

Regex::Regex(std::string_view pattern, Syntax syntax, const std::string& where) : where_(where) {
  const bool literal = syntax == Syntax::kLiteral;
  const std::string translated = literal ? std::string(pattern) : oniguruma_to_pcre2(pattern, where);
  // Ruby's ^ and $ always work on lines.
  const uint32_t options =
      PCRE2_UTF | (literal ? PCRE2_LITERAL : PCRE2_UCP | PCRE2_MULTILINE | PCRE2_NEVER_BACKSLASH_C);
  int error = 0;
  size_t offset = 0;
  code_.reset(compile(translated, options, &error, &offset).release());
  if (code_ == nullptr) {
    fail(where,
         fmt::format("regular expression does not compile: {} (byte {} of {})", pcre2_message(error), offset,
                     translated),
         kRemedy);
  }
  uint32_t can_be_empty = 0;
  pcre2_pattern_info(code_.get(), PCRE2_INFO_MATCHEMPTY, &can_be_empty);
  if (can_be_empty != 0) fail(where, "regular expression can match the empty string", kRemedy);
  jit_ = pcre2_jit_compile(code_.get(), PCRE2_JIT_COMPLETE) ==
         0;  // some machines forbid it; matching still works
  limits_.reset(pcre2_match_context_create(nullptr));
  if (limits_ == nullptr) throw std::bad_alloc();
  pcre2_set_match_limit(limits_.get(), kMatchLimit);
}

bool Regex::find(std::string_view subject, size_t from, MatchScratch& scratch, size_t* begin,
                 size_t* end) const {
  const auto* text = reinterpret_cast<PCRE2_SPTR>(subject.data());
  int result = PCRE2_ERROR_JIT_STACKLIMIT;
  if (jit_) {
    result = pcre2_jit_match(code_.get(), text, subject.size(), from, PCRE2_NO_UTF_CHECK, scratch.data_.get(),
                             limits_.get());
  }
  if (result == PCRE2_ERROR_JIT_STACKLIMIT) {  // the interpreter keeps its backtracking points on the heap
    result = pcre2_match(code_.get(), text, subject.size(), from, PCRE2_NO_UTF_CHECK | PCRE2_NO_JIT,
                         scratch.data_.get(), limits_.get());
  }
  if (result == PCRE2_ERROR_NOMATCH) return false;
  if (result < 0) fail(where_, "regular expression cannot be matched: " + pcre2_message(result), kRemedy);
  const size_t* ends = pcre2_get_ovector_pointer(scratch.data_.get());
  *begin = ends[0];
  *end = ends[1];
  return true;
}

}  // namespace frugal::text
