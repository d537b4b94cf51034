"""What the suite found in each case, read from its reports."""

from __future__ import annotations

import html
import json
import re
import textwrap
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.conformance.cases import in_order

BEHAVIORS = ("OK", "NON-STRICT", "INFORMATIONAL", "UNIMPLEMENTED", "FAILED")
"""The usual ones; `behaviorClose` knows WRONG CODE, UNCLEAN and FAILED BY CLIENT too."""

GOOD = frozenset({"OK", "INFORMATIONAL"})
TOLERATED = frozenset({*GOOD, "UNIMPLEMENTED"})

EVENTS = 6
EVENT_LENGTH = 60

_TAG = re.compile(r"<[^>]*>")


@dataclass(frozen=True)
class Result:
    """One case.

    Attributes:
        behavior: during the case, one of the suite's words.
        behavior_close: at the end of the connection, one of the suite's words.
        received: the events that the suite's client has seen during the case.
        found, found_close: the suite's sentences on both.
        close_code: that the server sent, if it sent any.
        milliseconds: the case took.
        started: date and time, ISO 8601.
    """

    case: str
    behavior: str
    behavior_close: str
    description: str
    expectation: str
    received: str
    found: str
    found_close: str
    close_code: int | None
    milliseconds: int
    started: str

    @property
    def is_good(self) -> bool:
        """Both are OK or INFORMATIONAL."""
        return {self.behavior, self.behavior_close} <= GOOD

    @property
    def is_tolerated(self) -> bool:
        """Good, or about an extension that the server does not offer."""
        return {self.behavior, self.behavior_close} <= TOLERATED

    def __str__(self) -> str:
        close = "none" if self.close_code is None else self.close_code
        return (
            f"{self.case}: {self.behavior}, closing {self.behavior_close}\n"
            f"    case:     {self.description}\n"
            f"    expected: {self.expectation}\n"
            f"    received: {self.received}\n"
            f"    found:    {self.found}\n"
            f"    closing:  {self.found_close} (close code {close})"
        )


def of_last_run(folder: Path) -> list[Result]:
    """Read the cases that the suite's index names, in their order; none without an index."""
    index = folder / "index.json"
    if not index.is_file():
        return []
    agents: dict[str, dict[str, dict[str, Any]]] = json.loads(index.read_text())
    return in_case_order(
        _read(folder / case["reportfile"]) for cases in agents.values() for case in cases.values()
    )


def of_all_runs(folder: Path) -> list[Result]:
    """Read the latest report of every case below a folder, in their order."""
    latest: dict[str, Result] = {}
    for path in folder.rglob("*_case_*.json"):
        result = _read(path)
        known = latest.setdefault(result.case, result)
        if result.started > known.started:
            latest[result.case] = result
    return in_case_order(latest.values())


def in_case_order(found: Iterable[Result]) -> list[Result]:
    """Sort by the numbers of the cases."""
    return sorted(found, key=lambda result: in_order(result.case))


def _read(path: Path) -> Result:
    report: dict[str, Any] = json.loads(path.read_text(errors="replace"))
    return Result(
        case=report["id"],
        behavior=report["behavior"],
        behavior_close=report["behaviorClose"],
        description=_plain(report["description"]),
        expectation=_plain(report["expectation"]),
        received=_events(report["received"]),
        found=_plain(report["result"]),
        found_close=_plain(report["resultClose"]),
        close_code=report["remoteCloseCode"],
        milliseconds=report["duration"],
        started=report["started"],
    )


def _plain(text: str | None) -> str:
    """The suite writes HTML."""
    return " ".join(html.unescape(_TAG.sub(" ", text or "")).split())


def _events(events: list[list[Any]]) -> str:
    """For example "message Hello, pong, timeout A"; long ones are cut."""
    texts = [textwrap.shorten(f"{event[0]} {event[1]}", EVENT_LENGTH) for event in events]
    return ", ".join([*texts[:EVENTS], *["..."] * (len(texts) > EVENTS)]) or "nothing"


def table(found: list[Result]) -> str:
    """Count the words, for both kinds of behavior."""
    rows = {
        "behavior": Counter(result.behavior for result in found),
        "behaviorClose": Counter(result.behavior_close for result in found),
    }
    others = {word for counts in rows.values() for word in counts} - {*BEHAVIORS}
    words = [*BEHAVIORS, *sorted(others)]
    lines = [" ".join([f"{'':13}", *words])]
    for name, counts in rows.items():
        cells = [str(counts[word]).rjust(len(word)) for word in words]
        lines.append(" ".join([f"{name:13}", *cells]))
    return "\n".join(lines)
