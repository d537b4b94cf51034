"""One run: a server is started, the suite runs against it, and a verdict is given."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.conformance import results
from tests.conformance.cases import CHAPTERS, chapter_of, seconds_for
from tests.conformance.explained import EXPLAINED
from tests.conformance.results import Result
from tests.conformance.servers import Server
from tests.conformance.suite import Suite

TRACEBACK = "Traceback (most recent call last)"


@dataclass(frozen=True)
class Run:
    """What a run found.

    Attributes:
        results: a result for each case, in their order.
        logs: of the server, one for each start of it.
    """

    results: list[Result]
    logs: list[Path]

    @property
    def unexplained(self) -> list[Result]:
        """The cases that stand against the server."""
        return [one for one in self.results if not one.is_tolerated and not is_explained(one)]

    @property
    def tracebacks(self) -> list[Path]:
        """The logs that hold one: no peer may make the server fail, whatever it sends."""
        return [path for path in self.logs if TRACEBACK in path.read_text(errors="replace")]


def is_explained(result: Result) -> bool:
    """It is NON-STRICT for a reason that is written down."""
    excused = {*results.GOOD, "NON-STRICT"}
    return result.case in EXPLAINED and {result.behavior, result.behavior_close} <= excused


def run(
    suite: Suite,
    server: Server,
    patterns: list[str],
    folder: Path,
    peers: Path,
    told: Callable[[int, int, str], None] = lambda number, total, case: None,
) -> Run:
    """Run these cases; those with large messages on a server without limits, afterwards.

    Args:
        patterns: as `cases.select` returns them.
        folder: for reports and logs; reports of other cases stay there.
        peers: virtual environment of the peers.
        told: called with number, total and id of each case that begins.
    Raises:
        ConformanceError: server or suite did not run.
    """
    found: list[Result] = []
    logs: list[Path] = []
    for large, name in ((False, "usual-limits"), (True, "no-limits")):
        chosen = [one for one in patterns if CHAPTERS[chapter_of(one)].large is large]
        if not chosen:
            continue
        output = folder / name
        output.mkdir(parents=True, exist_ok=True)
        logs.append(output / "server.log")
        with server.running(logs[-1], peers, large=large) as url:
            found += suite.run(url, server.name, chosen, output, seconds_for(chosen), told)
    return Run(results.in_case_order(found), logs)
