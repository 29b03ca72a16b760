#!/usr/bin/env python3
"""Renders a terminal recording as SVG: the screen as it stood when a text first appeared, or at the end.

  script -qefc './demo' recording.txt
  scripts/terminal_svg.py recording.txt docs/demo.svg --columns 100 --rows 30 [--until 'text']

Knows what frugal prints: colours, bold, dim, cursor up, erase below, carriage return.
"""
import argparse
import html
import re

COLOURS = {None: "#d8dee9", 31: "#e06c75", 32: "#98c379", 33: "#e5c07b", 36: "#56b6c2"}
TOKEN = re.compile(r"\x1b\[([0-9;?]*)([A-Za-z])|\x1b[()][A-Z0-9]|(\r\n|\n|\r|\x08)|([^\x1b\r\n\x08])")


class Screen:
    def __init__(self, columns):
        self.columns, self.lines, self.row, self.column = columns, [[]], 0, 0
        self.style = (None, False, False)  # colour, bold, dim

    def put(self, character):
        line = self.lines[self.row]
        while len(line) <= self.column:
            line.append((" ", (None, False, False)))
        line[self.column] = (character, self.style)
        self.column += 1

    def newline(self):
        self.row, self.column = self.row + 1, 0
        while len(self.lines) <= self.row:
            self.lines.append([])

    def control(self, numbers, letter):
        n = int(numbers.split(";")[0] or 1) if numbers.replace(";", "").isdigit() or not numbers else 1
        if letter == "A":
            self.row = max(0, self.row - n)
        elif letter == "J":
            del self.lines[self.row + 1:]
            del self.lines[self.row][self.column:]
        elif letter == "K":
            del self.lines[self.row][self.column:]
        elif letter == "G":
            self.column = n - 1
        elif letter == "m":
            self.set_style([int(x or 0) for x in numbers.split(";")])

    def set_style(self, codes):
        colour, bold, dim = self.style
        if 0 in codes:
            colour, bold, dim = None, False, False
        bold, dim = bold or 1 in codes, dim or 2 in codes
        for code in codes:
            colour = code if code in COLOURS else colour
        self.style = (colour, bold, dim)


def play(text, columns, until):
    screen = Screen(columns)
    seen, redraws = text.find(until) if until else -1, 0
    for match in TOKEN.finditer(text):
        numbers, letter, move, character = match.groups()
        # The panel is whole when it is about to be drawn anew; a question and its answer are two redraws.
        if letter == "A" and seen >= 0 and match.start() > seen:
            redraws += 1
            if redraws == 3:
                break
        if letter:
            screen.control(numbers, letter)
        elif move:
            if move == "\x08":
                screen.column = max(0, screen.column - 1)
            elif move == "\r":
                screen.column = 0
            else:
                screen.newline()
        elif character:
            screen.put(character)
    return screen.lines


def svg(lines, columns, title):
    width, height = columns * 8.4 + 32, len(lines) * 18 + 56
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height}" role="img" aria-label="{html.escape(title)}">',
           f'<rect width="100%" height="100%" rx="8" fill="#1e2127"/>',
           '<circle cx="18" cy="16" r="5" fill="#e06c75"/><circle cx="34" cy="16" r="5" fill="#e5c07b"/><circle cx="50" cy="16" r="5" fill="#98c379"/>',
           '<g font-family="ui-monospace,Menlo,Consolas,\'DejaVu Sans Mono\',monospace" font-size="14" xml:space="preserve">']
    for row, line in enumerate(lines):
        start = 0
        while start < len(line):
            end, style = start, line[start][1]
            while end < len(line) and line[end][1] == style:
                end += 1
            text = "".join(c for c, _ in line[start:end])
            if text.strip():
                colour, bold, dim = style
                extra = ' font-weight="bold"' if bold else ""
                extra += ' opacity="0.6"' if dim else ""
                out.append(f'<text x="{16 + start * 8.4:.1f}" y="{46 + row * 18}" fill="{COLOURS[colour]}" '
                           f'textLength="{len(text) * 8.4:.1f}" lengthAdjust="spacingAndGlyphs"{extra}>{html.escape(text)}</text>')
            start = end
    return "\n".join(out + ["</g></svg>", ""])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recording")
    parser.add_argument("picture")
    parser.add_argument("--columns", type=int, default=100)
    parser.add_argument("--rows", type=int, default=0, help="keep the last so many rows; 0: all")
    parser.add_argument("--until", default="", help="stop when the panel is redrawn for the third time after this text")
    parser.add_argument("--title", default="frugal in a terminal")
    arguments = parser.parse_args()
    with open(arguments.recording, encoding="utf-8", errors="replace", newline="") as file:
        text = re.sub(r"^Script (started|done).*\n", "", file.read(), flags=re.M)
    lines = play(text, arguments.columns, arguments.until)
    while lines and not lines[-1]:
        lines.pop()
    lines = [line[:arguments.columns] for line in lines[-arguments.rows:]]
    with open(arguments.picture, "w", encoding="utf-8") as file:
        file.write(svg(lines, arguments.columns, arguments.title))


main()
