"""A report as one SVG: a panel of horizontal bars for each workload, ours highlighted.

Each panel has its own scale, since units differ. Colours follow the reader's light or dark scheme,
background included, so that the chart is readable on any page.
"""

from __future__ import annotations

from collections.abc import Sequence
from xml.sax.saxutils import escape

from benchmarks.contenders import OURS
from benchmarks.results import Report, Row
from benchmarks.tables import facts_of, figure_text, ratio_text
from benchmarks.workloads import Workload

WIDTH = 960
MARGIN = 28
GAP = 32
COLUMNS = 2
HEADER_HEIGHT = 84
PANEL_WIDTH = (WIDTH - 2 * MARGIN - (COLUMNS - 1) * GAP) / COLUMNS
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
FACT_LETTERS = 150

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


def svg(report: Report) -> str:
    """Return the chart."""
    facts = _wrapped(" \u00b7 ".join(f"{name}: {value}" for name, value in facts_of(report)))
    most = max(len(report.rows_of(workload)) for workload in report.workloads)
    panel_height = PANEL_HEAD + most * BAR_STEP + PANEL_FOOT
    lines = -(-len(report.workloads) // COLUMNS)
    bottom = HEADER_HEIGHT + lines * panel_height
    height = bottom + len(facts) * FACT_STEP + MARGIN
    parts = [_opening(height), f"<style>{STYLE}</style>", _page(height)]
    for place, workload in enumerate(report.workloads):
        x = MARGIN + place % COLUMNS * (PANEL_WIDTH + GAP)
        y = HEADER_HEIGHT + place // COLUMNS * panel_height
        parts.append(_panel(workload, report.rows_of(workload), x, y))
    parts += [
        _text(MARGIN, bottom + place * FACT_STEP + 6, fact, "fact")
        for place, fact in enumerate(facts)
    ]
    return "\n".join([*parts, "</svg>"]) + "\n"


def _opening(height: float) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:g}" '
        f'width="{WIDTH}" height="{height:g}" role="img" aria-labelledby="title">\n'
        '<title id="title">daphne_like and its peers, measured side by side</title>'
    )


def _page(height: float) -> str:
    return "\n".join(
        [
            f'<rect class="page" width="{WIDTH}" height="{height:g}" rx="10"/>',
            _text(MARGIN, 40, "daphne_like and its peers, side by side", "title"),
            _text(
                MARGIN,
                62,
                "One server process on one core. Shorter is better; \u00d7 is the ratio to "
                "daphne_like. Each panel has its own scale.",
                "quiet",
            ),
        ]
    )


def _panel(workload: Workload, rows: Sequence[Row], x: float, y: float) -> str:
    longest = max((row.figure for row in rows if row.figure is not None), default=0.0)
    top = y + PANEL_HEAD
    axis = x + LABEL_WIDTH
    foot = top + len(rows) * BAR_STEP - 3
    bars = [_bar(row, longest, x, top + place * BAR_STEP) for place, row in enumerate(rows)]
    return "\n".join(
        [
            _text(x, y + 18, workload.name, "workload"),
            _text(x, y + 36, f"{workload.title} \u2013 {workload.unit.value}", "quiet"),
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
    """Return a bar's length; what is there is seen, even where it is next to nothing."""
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


def _wrapped(text: str) -> list[str]:
    """Break a line between words; SVG text does not wrap."""
    lines = [""]
    for word in text.split(" "):
        if len(lines[-1]) + len(word) >= FACT_LETTERS:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}".strip()
    return lines
