// Fill in the middle (DeepSeek-V3 report, section 4.1; Bavarian et al. 2022): of some documents the middle
// comes last, so that the model learns to fill a gap. Prefix-Suffix-Middle:
//   <｜fim▁begin｜> prefix <｜fim▁hole｜> suffix <｜fim▁end｜> middle EOS
// Documents are cut before packing, at characters. Which ones and where is a function of the text's hash
// alone: the same whatever the order, and those chosen at a rate are chosen at every higher one. How DeepSeek
// draws the two cuts is not published; here they are uniform.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace frugal::data {

// Names of the control tokens, in the order of DeepSeek-V3's ids.
inline constexpr const char* kFimHole = "<｜fim▁hole｜>";
inline constexpr const char* kFimBegin = "<｜fim▁begin｜>";
inline constexpr const char* kFimEnd = "<｜fim▁end｜>";

struct FimCuts {
  size_t middle = 0, suffix = 0;  // bytes at which middle and suffix begin
};
// rate: share of documents, in [0, 1]. hash: text_hash (data/document.h).
bool fim_chosen(uint64_t hash, double rate);
// Nothing when the document is not chosen.
std::optional<FimCuts> draw_fim(std::string_view text, uint64_t hash, double rate);

}  // namespace frugal::data
