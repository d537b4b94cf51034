"""A report as one SVG: a panel of horizontal bars for each workload, with daphne_like highlighted.

Each panel has its own scale, because units differ. Colours and background follow the reader's light
or dark scheme, so that the chart is readable on any page. A second chart has one column, for the
narrow pages of a telephone.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from xml.sax.saxutils import escape

from benchmarks.contenders import OURS
from benchmarks.results import Report, Row
from benchmarks.tables import facts_of, figure_text, ratio_text
from benchmarks.workloads import Workload

WIDE, NARROW = 2, 1
"""Number of columns of panels."""
MARGIN = {WIDE: 28, NARROW: 14}
GAP = 32
PANEL_WIDTH = 436
TITLE_HEIGHT = 48
HEADER_STEP = 18
PANEL_HEAD = 50
PANEL_FOOT = 26
BAR_HEIGHT = 15
BAR_STEP = 22
LABEL_WIDTH = 92
VALUE_WIDTH = 104
"""Room for the figure and the ratio to the right of the longest bar."""
BAR_WIDTH = PANEL_WIDTH - LABEL_WIDTH - VALUE_WIDTH
SHORTEST_BAR = 1.5
FACT_STEP = 17
LETTER_WIDTH = {"quiet": 6.5, "fact": 5.8}
"""A little more than a letter's average width; SVG text neither wraps nor has a known width."""

TITLE = "daphne_like and its peers"
SUBTITLE = (
    "Side by side, one server process on one core. Shorter is better; \u00d7 is the ratio to "
    "daphne_like. Each panel has its own scale."
)

STYLE = """
  .page { fill: #ffffff; }
  text { font-family: system-ui, -apple-system, "Segoe UI", "Helvetica Neue", Arial, sans-serif;
         font-size: 12.5px; fill: #3b4252; }
  .title { font-size: 21px; font-weight: 650; fill: #1b2130; }
  .workload { font-size: 15px; font-weight: 650; fill: #1b2130; }
  .quiet { fill: #697386; }
  .fact { font-size: 11px; fill: #697386; }
  .axis { stroke: #d5dae3; stroke-width: 1; }
  .bar { fill: #a9b4c6; }
  .ours .bar { fill: #0f7b5f; }
  .ours text { font-weight: 650; fill: #0b5f49; }
  .value { font-variant-numeric: tabular-nums; }
  @media (prefers-color-scheme: dark) {
    .page { fill: #14181f; }
    text { fill: #c6cedb; }
    .title, .workload { fill: #f1f4f9; }
    .quiet, .fact { fill: #929db0; }
    .axis { stroke: #343c4a; }
    .bar { fill: #566277; }
    .ours .bar { fill: #35c79b; }
    .ours text { fill: #5fdcb6; }
  }
"""


def svg(report: Report, columns: int = WIDE) -> str:
    """Return the chart with a number of columns of panels."""
    margin = MARGIN[columns]
    width = 2 * margin + columns * PANEL_WIDTH + (columns - 1) * GAP
    room = width - 2 * margin
    header = _wrapped(SUBTITLE, room, "quiet")
    joined = " \u00b7 ".join(f"{name}: {value}" for name, value in facts_of(report))
    facts = _wrapped(joined, room, "fact")
    parts = [_text(margin, 40, TITLE, "title")]
    parts += _lines(header, margin, 62, HEADER_STEP, "quiet")
    y: float = TITLE_HEIGHT + len(header) * HEADER_STEP + 20
    for first in range(0, len(report.workloads), columns):
        line = [(one, report.rows_of(one)) for one in report.workloads[first : first + columns]]
        parts += [
            _panel(workload, rows, margin + place * (PANEL_WIDTH + GAP), y)
            for place, (workload, rows) in enumerate(line)
        ]
        y += PANEL_HEAD + max(len(rows) for _, rows in line) * BAR_STEP + PANEL_FOOT
    parts += _lines(facts, margin, y + 6, FACT_STEP, "fact")
    height = y + len(facts) * FACT_STEP + margin
    return "\n".join([*_opening(width, height), *parts, "</svg>"]) + "\n"


def _opening(width: float, height: float) -> list[str]:
    size = f'width="{width:g}" height="{height:g}"'
    root = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" {size} '
        'role="img" aria-labelledby="title">'
    )
    return [
        root,
        '<title id="title">daphne_like and its peers, measured side by side</title>',
        f"<style>{STYLE}</style>",
        f'<rect class="page" {size} rx="10"/>',
    ]


def _lines(texts: Sequence[str], x: float, y: float, step: float, kind: str) -> list[str]:
    return [_text(x, y + place * step, text, kind) for place, text in enumerate(texts)]


def _panel(workload: Workload, rows: Sequence[Row], x: float, y: float) -> str:
    longest = max((row.figure for row in rows if row.figure is not None), default=0.0)
    top = y + PANEL_HEAD
    axis = x + LABEL_WIDTH
    foot = top + len(rows) * BAR_STEP - 3
    bars = [_bar(row, longest, x, top + place * BAR_STEP) for place, row in enumerate(rows)]
    return "\n".join(
        [
            _text(x, y + 18, workload.name, "workload"),
            _text(x, y + 36, subtitle(workload), "quiet"),
            *bars,
            f'<line class="axis" x1="{axis:g}" y1="{top - 3:g}" x2="{axis:g}" y2="{foot:g}"/>',
        ]
    )


def _bar(row: Row, longest: float, x: float, y: float) -> str:
    left = x + LABEL_WIDTH
    base = y + BAR_HEIGHT - 3.5
    width = bar_width(row.figure, longest)
    kind = "contender ours" if row.contender == OURS else "contender"
    parts = [f'<g class="{kind}">', _text(left - 8, base, row.contender, "", "end")]
    if row.figure is not None:
        parts.append(
            f'<rect class="bar" x="{left:g}" y="{y:g}" width="{width:g}" '
            f'height="{BAR_HEIGHT}" rx="2"/>'
        )
    parts.append(_text(left + width + 7, base, _value(row), "value"))
    return "\n".join([*parts, "</g>"])


def bar_width(figure: float | None, longest: float) -> float:
    """Return a bar's length; even a tiny value has a visible bar."""
    if figure is None:
        return 0.0
    share = max(figure, 0.0) / longest if longest > 0 else 0.0
    return round(max(share * BAR_WIDTH, SHORTEST_BAR), 1)


def _value(row: Row) -> str:
    shown = figure_text(row.figure)
    if row.ratio is None or row.contender == OURS:
        return shown
    return f"{shown}  \u00b7  {ratio_text(row.ratio)}"


def _text(x: float, y: float, text: str, kind: str, anchor: str = "start") -> str:
    return f'<text class="{kind}" x="{x:g}" y="{y:g}" text-anchor="{anchor}">{escape(text)}</text>'


def subtitle(workload: Workload) -> str:
    """Return the line below a panel's name, which must fit in :data:`PANEL_WIDTH`."""
    return f"{workload.title} \u2013 {workload.unit.value}"


def _wrapped(text: str, room: float, kind: str) -> list[str]:
    """Break a line between words."""
    letters = int(room / LETTER_WIDTH[kind])
    return textwrap.wrap(text, letters, break_long_words=False, break_on_hyphens=False)
