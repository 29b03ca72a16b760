// Finding added tokens ("<｜User｜>", ...) in text.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "text/tokenizer_json.h"

namespace frugal::text {

class AddedTokenScanner {
 public:
  AddedTokenScanner() = default;
  explicit AddedTokenScanner(const std::vector<AddedToken>& tokens);

  // The leftmost token that starts at or after `from`; of several there the longest. False if there is none.
  bool find(std::string_view text, size_t from, size_t* begin, size_t* end, int32_t* id) const;

  // Calls on_text(std::string_view) and on_token(id) for the parts of `text`, in order.
  template <class OnText, class OnToken>
  void split(std::string_view text, OnText&& on_text, OnToken&& on_token) const {
    size_t at = 0, begin = 0, end = 0;
    int32_t id = -1;
    while (find(text, at, &begin, &end, &id)) {
      if (begin > at) on_text(text.substr(at, begin - at));
      on_token(id);
      at = end;
    }
    if (at < text.size()) on_text(text.substr(at));
  }

 private:
  size_t longest_at(std::string_view text, int32_t* id) const;  // bytes of the token at the front, 0 if none

  struct Entry {
    std::string content;
    int32_t id;
  };
  std::vector<Entry> sorted_;       // by content, bytewise
  std::array<bool, 256> starts_{};  // whether a token starts with the byte
  int only_start_ = -1;             // the byte that all tokens start with
};

}  // namespace frugal::text
