#!/usr/bin/env python3
"""Draws what a command printed as an SVG of a terminal, for the README and the guide.

    docs/terminal_svg.py docs/src/images/find-max.txt > docs/src/images/find-max.svg

The first lines of the file that begin with `$ ` or `> ` are the command. The same text gives the same bytes: no clock, no
font but the reader's own monospaced one, and every line is as wide as it has characters, so that columns stay columns in
any font. Light or dark is the reader's choice.
"""

import sys
import unicodedata
from xml.sax.saxutils import escape

CHAR_WIDTH = 8.4
LINE_HEIGHT = 19
FONT_SIZE = 14
MARGIN = 16
BAR = 30
LEAST_COLUMNS = 80

STYLE = """
  .screen { fill: #ffffff; stroke: #d0d7de; }
  .bar { fill: #f3f4f6; }
  .dot { fill: #c4c9d0; }
  text { font-family: ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', monospace; fill: #1f2328; white-space: pre; }
  .command { font-weight: 600; fill: #0550ae; }
  .good { fill: #1a7f37; }
  .bad { fill: #cf222e; }
  @media (prefers-color-scheme: dark) {
    .screen { fill: #0d1117; stroke: #30363d; }
    .bar { fill: #161b22; }
    .dot { fill: #484f58; }
    text { fill: #e6edf3; }
    .command { fill: #79c0ff; }
    .good { fill: #3fb950; }
    .bad { fill: #ff7b72; }
  }
"""


def columns(line):
    """How many columns of a terminal a line takes."""
    return sum(2 if unicodedata.east_asian_width(char) in "WF" else 1 for char in line)


def class_of(line):
    """How a line is coloured: the command, and what held or did not."""
    if line.startswith(("$ ", "> ")):
        return "command"
    if line.endswith(" %  holds") or "  met  " in line:
        return "good"
    if line.endswith(" %  no") or "  MISSED  " in line:
        return "bad"
    return None


def number(value):
    """A coordinate without digits that say nothing."""
    return f"{value:.1f}".rstrip("0").rstrip(".")


def draw(lines, title):
    """The SVG of these lines."""
    width = MARGIN * 2 + max([LEAST_COLUMNS, *map(columns, lines)]) * CHAR_WIDTH
    height = BAR + MARGIN * 2 + len(lines) * LINE_HEIGHT
    size = f'width="{number(width)}" height="{number(height)}"'
    yield f'<svg xmlns="http://www.w3.org/2000/svg" {size} viewBox="0 0 {number(width)} {number(height)}" role="img">'
    yield f"<title>{escape(title)}</title>"
    yield f"<style>{STYLE}</style>"
    inner = f'width="{number(width - 1)}" height="{number(height - 1)}"'
    yield f'<rect class="screen" x="0.5" y="0.5" {inner} rx="8"/>'
    yield f'<path class="bar" d="M1 {BAR}V8a7 7 0 0 1 7-7H{number(width - 8)}a7 7 0 0 1 7 7V{BAR}z"/>'
    for at in range(3):
        yield f'<circle class="dot" cx="{18 + at * 18}" cy="{BAR // 2 + 1}" r="5"/>'
    for at, line in enumerate(lines):
        if not line:
            continue
        name = class_of(line)
        marked = f' class="{name}"' if name else ""
        y = BAR + MARGIN + at * LINE_HEIGHT + FONT_SIZE
        length = number(columns(line) * CHAR_WIDTH)
        yield (
            f'<text{marked} x="{MARGIN}" y="{y}" font-size="{FONT_SIZE}" xml:space="preserve" '
            f'textLength="{length}" lengthAdjust="spacingAndGlyphs">{escape(line)}</text>'
        )
    yield "</svg>"


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    with open(sys.argv[1], encoding="utf-8") as file:
        lines = [line.rstrip() for line in file.read().rstrip("\n").split("\n")]
    command = " ".join(line[2:].rstrip("\\").strip() for line in lines if line.startswith(("$ ", "> ")))
    print("\n".join(draw(lines, command)))


main()
