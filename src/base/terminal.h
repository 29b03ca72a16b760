// What a terminal can show, and the few things that are drawn on one.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace frugal {

struct Terminal {
  bool ansi = false;   // cursor movement: a terminal, TERM neither unset nor "dumb"
  bool color = false;  // and NO_COLOR unset or empty
  bool utf8 = false;   // the locale's character set is UTF-8
  int columns = 80;    // as it is now; at least 20
};
// fd: 1 or 2.
Terminal detect_terminal(int fd);

// Terminal columns of UTF-8 text; escape sequences and combining marks take none, CJK characters two.
int display_width(std::string_view text);
// The text cut to `columns`, with "…" (or "...") for what is left out; escape sequences are kept.
std::string clip(std::string_view text, int columns, bool utf8);
// "████▌   ", `width` columns for a share of 0 .. 1.
std::string bar(double share, int width, bool utf8);
// One character per column for the values, spread over `width` columns by averaging; lowest to highest value.
std::string spark_line(std::span<const double> values, int width, bool utf8);

enum class Color { kNone, kBold, kDim, kRed, kGreen, kYellow, kCyan };
std::string colored(const Terminal& terminal, Color color, std::string_view text);

// A block of lines that is drawn anew in place on stderr. Lines printed while it stands go above it.
class Panel {
 public:
  explicit Panel(const Terminal& terminal) : terminal_(terminal) {}
  ~Panel() { close(); }
  void draw(const std::vector<std::string>& lines);
  void print(const std::string& text);
  // The lines stay; what follows goes below.
  void close();

 private:
  std::string erase() const;
  Terminal terminal_;
  std::vector<std::string> lines_;
};

}  // namespace frugal
