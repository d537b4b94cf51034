"""The command: run cases against a server and say what is not as it should be."""

from __future__ import annotations

import argparse
import signal
import sys
import time
from pathlib import Path
from typing import NoReturn

from benchmarks import peers
from benchmarks.contenders import REPOSITORY
from tests.conformance import cases, results, summary
from tests.conformance import suite as suites
from tests.conformance.problems import ConformanceError
from tests.conformance.running import Run, is_explained, run
from tests.conformance.servers import OURS, PEERS, REACTORS, server

CACHE = REPOSITORY / ".conformance"
REPORTS = CACHE / "reports"
DEFAULT_PEERS = REPOSITORY / ".benchmarks" / "venv"
SUMMARY = REPOSITORY / "docs" / "reference" / "conformance.txt"
QUIET_SECONDS = 10.0


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.conformance",
        description="Run the Autobahn WebSocket test suite against a server. Python 2.7 is needed. "
        "Exit status: 0 when nothing is FAILED or NON-STRICT, 1 otherwise, 2 when the suite could "
        "not be run.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument(
        "--cases",
        type=_selection,
        default=cases.QUICK,
        metavar="LIST",
        help="chapters, cases and patterns, such as 1-7,10 or 1.*,9.1.6, or all",
    )
    parser.add_argument("--server", choices=[OURS, *PEERS], default=OURS, help="to be tested")
    parser.add_argument(
        "--reactor", choices=REACTORS, default=REACTORS[0], help="that our server runs on"
    )
    parser.add_argument(
        "--peers-venv",
        type=Path,
        default=DEFAULT_PEERS,
        metavar="DIR",
        help="virtual environment of the other servers; the default one is made on demand with "
        "pip, another one is used as it is",
    )
    parser.add_argument(
        "--write-summary",
        action="store_true",
        help="run nothing: write the documentation's table from the reports of all cases, which "
        "both reactors must have",
    )
    return parser.parse_args()


def _selection(text: str) -> list[str]:
    try:
        return cases.select(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error))


class Progress:
    """Says on stderr how far a run is: on one line of a terminal, else now and then."""

    def __init__(self) -> None:
        self._terminal = sys.stderr.isatty()
        self._said = self._began = time.monotonic()

    def __call__(self, number: int, total: int, case: str) -> None:
        """A case begins."""
        now = time.monotonic()
        if self._terminal:
            text = f"\r{number} of {total}, {now - self._began:.0f} s: {case:10}"
            print(text, end="", file=sys.stderr, flush=True)
        elif number in (1, total) or now - self._said >= QUIET_SECONDS:
            self._said = now
            say(f"{number} of {total}, {now - self._began:.0f} s: {case}")

    def end(self) -> float:
        """Leave the line; seconds since the beginning."""
        if self._terminal:
            print(file=sys.stderr)
        return time.monotonic() - self._began


def say(text: str) -> None:
    """Tell on stderr what is going on."""
    print(text, file=sys.stderr, flush=True)


def report(ran: Run) -> bool:
    """Print the counts and every case that is not good; whether nothing stands against it."""
    print(results.table(ran.results))
    for result in ran.results:
        if not result.is_good:
            print(f"\n{result}" + (" (explained)" if is_explained(result) else ""))
    for log in ran.tracebacks:
        print(f"\nThe server's log holds tracebacks: see {log}")
    return not ran.unexplained


def measure(options: argparse.Namespace) -> bool:
    """Run what the options ask for."""
    tested = server(options.server, options.reactor)
    if options.server != OURS and options.peers_venv == DEFAULT_PEERS:
        peers.create(DEFAULT_PEERS)
    suite = suites.install(CACHE / "suite", say)
    progress = Progress()
    folder = REPORTS / tested.name
    ran = run(suite, tested, options.cases, folder, options.peers_venv.absolute(), progress)
    seconds = progress.end()
    print(f"{tested.name}: {len(ran.results)} cases in {seconds:.0f} s, reports in {folder}\n")
    return report(ran)


def _end(number: int, frame: object) -> NoReturn:
    raise SystemExit(128 + number)


def main() -> int:
    """Run the command; whatever ends it, what it started is ended too."""
    options = arguments()
    signal.signal(signal.SIGTERM, _end)
    try:
        if options.write_summary:
            summary.write(REPORTS, SUMMARY)
            return 0
        return 0 if measure(options) else 1
    except ConformanceError as error:
        say(f"conformance: {error}")
        return 2
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
