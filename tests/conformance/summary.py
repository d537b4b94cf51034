"""The table in the documentation: every chapter, on both reactors."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from daphne_like import __version__
from tests.conformance import results
from tests.conformance.cases import CHAPTERS, chapter_of
from tests.conformance.explained import EXPLAINED
from tests.conformance.problems import ConformanceError
from tests.conformance.results import Result
from tests.conformance.servers import ASYNCIO, NATIVE

COLUMNS = {"Native reactor": NATIVE.name, "Stock asyncio reactor": ASYNCIO.name}


def write(reports: Path, path: Path) -> None:
    """Write the table and what is not OK, from the latest report of each case.

    Args:
        reports: a folder for each server.
        path: of the file to write.
    Raises:
        ConformanceError: a case was never run.
    """
    found = {title: _whole(reports / name) for title, name in COLUMNS.items()}
    path.write_text(restructured_text(found), encoding="utf-8")


def _whole(folder: Path) -> list[Result]:
    found = results.of_all_runs(folder)
    cases = Counter(chapter_of(result.case) for result in found)
    for number, chapter in CHAPTERS.items():
        if cases[number] != chapter.cases:
            raise ConformanceError(
                f"{folder.name}: chapter {number} has {chapter.cases} cases, reports are there "
                f"of {cases[number]}: run them first, with --cases all"
            )
    return found


def restructured_text(found: Mapping[str, list[Result]]) -> str:
    """The table, and below it each case that is not OK, with what was found.

    Args:
        found: heading of a column to its results, each in the order of the cases.
    """
    rows = [["Chapter", "What it is about", "Cases", *found]]
    for number, chapter in CHAPTERS.items():
        cells = [
            _counts([result for result in ours if chapter_of(result.case) == number])
            for ours in found.values()
        ]
        rows.append([str(number), chapter.title, str(chapter.cases), *cells])
    total = sum(chapter.cases for chapter in CHAPTERS.values())
    rows.append(["all", "", str(total), *map(_counts, found.values())])
    days = sorted({result.started[:10] for ours in found.values() for result in ours})
    when = days[0] if len(days) == 1 else f"{days[0]} to {days[-1]}"
    lines = [f"daphne-like {__version__}, {when}.", "", *_simple_table(rows), ""]
    for title, ours in found.items():
        for result in ours:
            if not result.is_good:
                words = f"{result.behavior}, closing {result.behavior_close}"
                reason = EXPLAINED.get(result.case) or _plain_text(_found(result))
                lines += [f"{result.case} ({title.lower()}): {words}", f"    {reason}", ""]
    return "\n".join(lines)


def _found(result: Result) -> str:
    if result.behavior in results.GOOD:
        return result.found_close
    return f"{result.description} Expected: {result.expectation} Received: {result.received}."


def _plain_text(text: str) -> str:
    return re.sub(r"([\\*`_|])", r"\\\1", text)


def _counts(found: list[Result]) -> str:
    """For example "34 OK, 3 INFORMATIONAL"; the worse word of a case's two is counted."""
    counts = Counter(_worse(result.behavior, result.behavior_close) for result in found)
    words = [*results.BEHAVIORS, *sorted({*counts} - {*results.BEHAVIORS})]
    return ", ".join(f"{counts[word]} {word}" for word in words if counts[word])


def _worse(*words: str) -> str:
    for good in ("OK", "INFORMATIONAL"):
        others = [word for word in words if word != good]
        if not others:
            return good
        words = tuple(others)
    return words[0]


def _simple_table(rows: list[list[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    border = "  ".join("=" * width for width in widths)
    # An empty first column would continue the row above.
    head, *body = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
    return [border, head, border, *body, border]
