#include "base/terminal.h"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <cstdlib>

namespace frugal {

namespace {
std::string_view variable(const char* name) {
  const char* value = std::getenv(name);
  return value != nullptr ? value : "";
}

bool utf8_locale() {
  for (const char* name : {"LC_ALL", "LC_CTYPE", "LANG"}) {
    const std::string_view value = variable(name);
    if (value.empty()) continue;
    return value.find("UTF-8") != std::string_view::npos || value.find("utf8") != std::string_view::npos;
  }
  return false;
}

// Bytes of the character or escape sequence at the start of `text`.
size_t unit_bytes(std::string_view text) {
  if (text[0] == '\033') {
    size_t n = 1;
    if (n < text.size() && text[n] == '[')
      for (++n; n < text.size() && (text[n] < '@' || text[n] > '~'); ++n) {
      }
    return std::min(n + 1, text.size());
  }
  const auto b = static_cast<unsigned char>(text[0]);
  const size_t n = b < 0xC0 ? 1 : b < 0xE0 ? 2 : b < 0xF0 ? 3 : 4;
  return std::min(n, text.size());
}

int unit_width(std::string_view unit) {
  if (unit[0] == '\033' || static_cast<unsigned char>(unit[0]) < 0x20) return 0;
  if (unit.size() < 3)
    return unit.size() == 2 && static_cast<unsigned char>(unit[0]) >= 0xCC &&
                   static_cast<unsigned char>(unit[0]) < 0xCE
               ? 0
               : 1;
  const auto byte = [&](size_t i) { return static_cast<uint32_t>(static_cast<unsigned char>(unit[i])); };
  if (unit.size() == 4) return 2;  // emoji, rare ideographs
  const uint32_t code = (byte(0) & 15) << 12 | (byte(1) & 63) << 6 | (byte(2) & 63);
  const bool wide = (code >= 0x1100 && code < 0x1160) || (code >= 0x2E80 && code < 0xA4D0) ||
                    (code >= 0xAC00 && code < 0xD7A4) || (code >= 0xF900 && code < 0xFB00) ||
                    (code >= 0xFE30 && code < 0xFE70) || (code >= 0xFF00 && code < 0xFF61);
  return wide ? 2 : 1;
}
}  // namespace

Terminal detect_terminal(int fd) {
  Terminal t;
  const std::string_view term = variable("TERM");
  t.ansi = isatty(fd) == 1 && !term.empty() && term != "dumb";
  t.color = t.ansi && variable("NO_COLOR").empty();
  t.utf8 = utf8_locale();
  winsize size{};
  if (isatty(fd) == 1 && ioctl(fd, TIOCGWINSZ, &size) == 0 && size.ws_col > 0)
    t.columns = std::max<int>(20, size.ws_col);
  return t;
}

int display_width(std::string_view text) {
  int width = 0;
  while (!text.empty()) {
    const size_t n = unit_bytes(text);
    width += unit_width(text.substr(0, n));
    text.remove_prefix(n);
  }
  return width;
}

std::string clip(std::string_view text, int columns, bool utf8) {
  if (display_width(text) <= columns) return std::string(text);
  const int room = columns - (utf8 ? 1 : 3);
  std::string out, escapes;
  int width = 0;
  bool full = false;
  while (!text.empty()) {
    const std::string_view unit = text.substr(0, unit_bytes(text));
    text.remove_prefix(unit.size());
    if (unit[0] == '\033') {
      (full ? escapes : out) += unit;
      continue;
    }
    full = full || width + unit_width(unit) > room;
    if (full) continue;
    out += unit;
    width += unit_width(unit);
  }
  return out + (utf8 ? "…" : "...") + escapes;
}

std::string bar(double share, int width, bool utf8) {
  static constexpr std::array<std::string_view, 8> kEighths = {"", "▏", "▎", "▍", "▌", "▋", "▊", "▉"};
  share = std::clamp(share, 0.0, 1.0);
  const int eighths = static_cast<int>(std::lround(share * width * 8)), whole = eighths / 8;
  std::string text;
  for (int i = 0; i < whole; ++i) text += utf8 ? "█" : "#";
  int used = whole;
  if (utf8 && eighths % 8 != 0) {
    text += kEighths[static_cast<size_t>(eighths % 8)];
    ++used;
  }
  return text + std::string(static_cast<size_t>(std::max(0, width - used)), utf8 ? ' ' : '.');
}

std::string spark_line(std::span<const double> values, int width, bool utf8) {
  static constexpr std::array<std::string_view, 8> kBlocks = {"▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};
  static constexpr std::array<std::string_view, 8> kAscii = {"_", ".", "-", "=", "+", "*", "%", "#"};
  if (values.empty() || width < 1) return "";
  const size_t columns = std::min(values.size(), static_cast<size_t>(width));
  std::vector<double> means(columns);
  for (size_t c = 0; c < columns; ++c) {
    const size_t begin = c * values.size() / columns, end = (c + 1) * values.size() / columns;
    for (size_t i = begin; i < end; ++i) means[c] += values[i] / static_cast<double>(end - begin);
  }
  const auto [low, high] = std::minmax_element(means.begin(), means.end());
  const double range = *high - *low;
  std::string text;
  for (const double m : means) {
    const int level = range > 0 ? std::clamp(static_cast<int>((m - *low) / range * 7.999), 0, 7) : 0;
    text += (utf8 ? kBlocks : kAscii)[static_cast<size_t>(level)];
  }
  return text;
}

std::string colored(const Terminal& terminal, Color color, std::string_view text) {
  static constexpr std::array<std::string_view, 7> kCodes = {"0", "1", "2", "31", "32", "33", "36"};
  if (!terminal.color || color == Color::kNone) return std::string(text);
  return fmt::format("\033[{}m{}\033[0m", kCodes[static_cast<size_t>(color)], text);
}

// The lines were as wide as the terminal was then; a narrower one has wrapped them.
std::string Panel::erase() const {
  int rows = 0;
  const int columns = detect_terminal(STDERR_FILENO).columns;
  for (const std::string& line : lines_) rows += std::max(1, (display_width(line) + columns - 1) / columns);
  return rows > 0 ? fmt::format("\r\033[{}A\033[J", rows) : "";
}

void Panel::draw(const std::vector<std::string>& lines) {
  if (!terminal_.ansi) return;
  std::string text = erase();
  lines_.clear();
  const int columns = detect_terminal(STDERR_FILENO).columns;
  for (const std::string& line : lines) lines_.push_back(clip(line, columns - 1, terminal_.utf8));
  for (const std::string& line : lines_) text += line + "\n";
  std::fputs(text.c_str(), stderr);
  std::fflush(stderr);
}

void Panel::print(const std::string& text) {
  if (!terminal_.ansi) {
    std::fprintf(stderr, "%s\n", text.c_str());
    return;
  }
  std::string out = erase() + text + "\n";
  for (const std::string& line : lines_) out += line + "\n";
  std::fputs(out.c_str(), stderr);
  std::fflush(stderr);
}

void Panel::close() { lines_.clear(); }

}  // namespace frugal
