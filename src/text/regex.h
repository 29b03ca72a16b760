// The regular expressions of a tokenizer.json, run by PCRE2. Hugging Face's tokenizers reads them as
// Oniguruma (Ruby syntax); the constructor rewrites what the two engines understand differently and refuses
// what it cannot rewrite, so that a pattern either splits as Hugging Face splits or is an Error.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

struct pcre2_real_code_8;
struct pcre2_real_match_data_8;
struct pcre2_real_match_context_8;

namespace frugal::text {

// Where one match is written. Not shared between threads; cheap enough to make for every call.
class MatchScratch {
 public:
  MatchScratch();

 private:
  friend class Regex;
  struct Free {
    void operator()(pcre2_real_match_data_8* p) const;
  };
  std::unique_ptr<pcre2_real_match_data_8, Free> data_;
};

class Regex {
 public:
  enum class Syntax { kPattern, kLiteral };

  // where: the field that holds the pattern, for messages. Throws Error for a pattern that does not compile,
  // that can match the empty string, or that uses syntax which Oniguruma and PCRE2 read differently.
  Regex(std::string_view pattern, Syntax syntax, const std::string& where);

  // The first match in `subject` (well-formed UTF-8) at or after the character that starts at `from`;
  // lookaround sees nothing outside `subject`. May be called from several threads. Throws Error if matching
  // exceeds the engine's limits (a pattern that backtracks without end).
  bool find(std::string_view subject, size_t from, MatchScratch& scratch, size_t* begin, size_t* end) const;

 private:
  struct FreeCode {
    void operator()(pcre2_real_code_8* p) const;
  };
  struct FreeContext {
    void operator()(pcre2_real_match_context_8* p) const;
  };
  std::unique_ptr<pcre2_real_code_8, FreeCode> code_;
  std::unique_ptr<pcre2_real_match_context_8, FreeContext> limits_;
  std::string where_;
  bool jit_ = false;
};

// The rewriting alone, for tests.
std::string oniguruma_to_pcre2(std::string_view pattern, const std::string& where);

}  // namespace frugal::text
