"""A report as text for the terminal, as reStructuredText for the docs, and as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict

from benchmarks.results import Report, Row
from benchmarks.workloads import Unit, Workload

ABSENT = "\u2013"


def figure_text(figure: float | None) -> str:
    """Format a figure with three significant digits, and without decimals from 100 on."""
    if figure is None:
        return "n/a"
    if abs(figure) >= 100:
        return f"{figure:.0f}"
    return f"{figure:.1f}" if abs(figure) >= 10 else f"{figure:.2f}"


def ratio_text(ratio: float | None) -> str:
    """Format a ratio to daphne_like as a number and a multiplication sign."""
    return ABSENT if ratio is None else f"{figure_text(ratio)}\u00d7"


def _count_text(count: float | None) -> str:
    return ABSENT if count is None else f"{count:,.0f}".replace(",", "\u202f")


def _mib_text(mib: float | None) -> str:
    return ABSENT if mib is None else f"{mib:.1f}"


def _cells(workload: Workload, row: Row) -> tuple[str, ...]:
    cells = (
        row.contender,
        figure_text(row.figure),
        ratio_text(row.ratio),
        _count_text(row.per_second),
        _mib_text(row.resident_mib),
    )
    return (*cells, _mib_text(row.growth_mib)) if _shows_growth(workload) else cells


def _header(workload: Workload) -> tuple[str, ...]:
    header = ("contender", workload.unit.value, "ratio", workload.unit.rate, "resident MiB")
    return (*header, "growth MiB") if _shows_growth(workload) else header


def _shows_growth(workload: Workload) -> bool:
    """Tell whether growth is measured in addition to the figure."""
    return workload.unit is Unit.TRANSFER


def text(report: Report) -> str:
    """Return one table for each workload, then the facts of the machine."""
    parts = [_text_table(workload, report.rows_of(workload)) for workload in report.workloads]
    facts = "\n".join(f"{name}: {value}" for name, value in facts_of(report))
    return "\n\n".join([*parts, facts]) + "\n"


def _text_table(workload: Workload, rows: Sequence[Row]) -> str:
    header = _header(workload)
    cells = [_cells(workload, row) for row in rows]
    widths = [max(map(len, column)) for column in zip(header, *cells, strict=True)]
    lines = [_text_line(header, widths), "  ".join("-" * width for width in widths)]
    for row, line in zip(rows, cells, strict=True):
        reason = "" if row.refusal is None else f"  {row.refusal}"
        lines.append(_text_line(line, widths) + reason)
    return "\n".join([f"{workload.name}: {workload.title}", *lines])


def _text_line(cells: Sequence[str], widths: Sequence[int]) -> str:
    first, *rest = zip(cells, widths, strict=True)
    return "  ".join([first[0].ljust(first[1]), *(cell.rjust(width) for cell, width in rest)])


def facts_of(report: Report) -> list[tuple[str, str]]:
    """Return the machine's facts and the versions, as names and values."""
    versions = ", ".join(f"{name} {version or '?'}" for name, version in report.versions.items())
    settings = ", ".join(f"{value} {name}" for name, value in report.settings.items())
    return [*report.machine.items(), ("versions", versions), ("settings", settings)]


def restructured_text(report: Report) -> str:
    """Return an overview, one list-table for each workload, and the facts, to be included."""
    parts = [_overview(report)]
    for workload in report.workloads:
        rows = report.rows_of(workload)
        lines = [_header(workload), *(_cells(workload, row) for row in rows)]
        parts.append(_list_table(f"{workload.name}: {workload.title}", lines))
        parts.extend(
            f"{row.contender}: {_escaped(row.refusal)}." for row in rows if row.refusal is not None
        )
    parts.append("\n".join(f":{name}: {_escaped(value)}" for name, value in facts_of(report)))
    return "\n\n".join(parts) + "\n"


def _overview(report: Report) -> str:
    names = list(dict.fromkeys(row.contender for row in report.rows))
    lines = [("workload", "unit", *names)]
    for workload in report.workloads:
        rows = {row.contender: row for row in report.rows_of(workload)}
        cells = [_overview_cell(rows.get(name)) for name in names]
        lines.append((workload.name, workload.unit.value, *cells))
    return _list_table("Figure, and its ratio to daphne_like's; lower is better", lines)


def _overview_cell(row: Row | None) -> str:
    if row is None:
        return ABSENT
    if row.ratio is None:
        return figure_text(row.figure)
    return f"{figure_text(row.figure)} ({ratio_text(row.ratio)})"


def _list_table(title: str, lines: Iterable[Sequence[str]]) -> str:
    parts = [f".. list-table:: {_escaped(title)}", "   :header-rows: 1", ""]
    for first, *rest in lines:
        parts.append(f"   * - {_escaped(first)}")
        parts.extend(f"     - {_escaped(cell)}" for cell in rest)
    return "\n".join(parts)


def _escaped(text: str) -> str:
    """Escape characters that reStructuredText would read as markup."""
    return "".join(f"\\{letter}" if letter in "\\*`|_" else letter for letter in text)


def as_json(report: Report) -> str:
    """Return the whole report as JSON, including the samples of each round."""
    workloads = [
        {"name": workload.name, "title": workload.title, "unit": workload.unit.value}
        for workload in report.workloads
    ]
    content = {
        "machine": dict(report.machine),
        "versions": dict(report.versions),
        "settings": dict(report.settings),
        "workloads": workloads,
        "rows": [asdict(row) for row in report.rows],
    }
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"
