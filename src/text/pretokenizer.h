// Cutting text into the pieces that byte-pair encoding works on: a list of regular expressions, each applied
// to the pieces that the one before it left (tokenizer.json: pre_tokenizer, Split with behavior Isolated).
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "text/deepseek_split.h"
#include "text/regex.h"
#include "text/utf8.h"

namespace frugal::text {

struct SplitStage {
  std::string pattern;
  Regex::Syntax syntax;
  std::string where;  // the field of tokenizer.json, for messages
};

class PreTokenizer {
 public:
  // DeepSeek-V3's patterns are matched by text/deepseek_split.h unless `method` says that the regular
  // expressions, which define the pieces, shall do it. Throws Error for a pattern that cannot be used.
  enum class Method { kFastest, kRegex };
  explicit PreTokenizer(const std::vector<SplitStage>& stages, Method method = Method::kFastest);

  // Calls sink(std::string_view) for every piece, in order; together the pieces are the text. Matches are
  // pieces and so is what lies between two matches. Text that is not UTF-8 is cut at its ill-formed bytes: a
  // run of them is one piece (no expression sees it), and the text on either side is split as if it stood
  // alone.
  template <class Sink>
  void split(std::string_view text, MatchScratch& scratch, Sink&& sink) const {
    while (!text.empty()) {
      const size_t good = well_formed_prefix(text);
      if (good > 0) split_well_formed(text.substr(0, good), scratch, sink);
      text.remove_prefix(good);
      const size_t bad = ill_formed_prefix(text);
      if (bad > 0) sink(text.substr(0, bad));
      text.remove_prefix(bad);
    }
  }

 private:
  template <class Sink>
  void split_well_formed(std::string_view text, MatchScratch& scratch, Sink& sink) const {
    if (deepseek_)
      deepseek_->split(text, sink);
    else
      split_stage(0, text, scratch, sink);
  }

  template <class Sink>
  void split_stage(size_t stage, std::string_view piece, MatchScratch& scratch, Sink& sink) const {
    if (stage == stages_.size()) {
      sink(piece);
      return;
    }
    size_t at = 0, begin = 0, end = 0;
    while (at < piece.size() && stages_[stage].find(piece, at, scratch, &begin, &end)) {
      if (begin > at) split_stage(stage + 1, piece.substr(at, begin - at), scratch, sink);
      split_stage(stage + 1, piece.substr(begin, end - begin), scratch, sink);
      at = end;
    }
    if (at < piece.size()) split_stage(stage + 1, piece.substr(at), scratch, sink);
  }

  std::optional<DeepSeekSplit> deepseek_;
  std::vector<Regex> stages_;  // empty with deepseek_
};

}  // namespace frugal::text
