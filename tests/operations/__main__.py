"""`python -m tests.operations`: figures about worker processes, of this server and of others.

The others are taken from a virtual environment that is made by hand:

    python -m venv peers
    peers/bin/pip install "gunicorn>=27" uvicorn uvloop httptools watchfiles h2corn

wrk and h2load (Debian: wrk, nghttp2-client) make the load.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

from tests.operations import measures, reload_speed
from tests.operations.contenders import OURS, PEERS, Contender, interpreter, version

PARTS = ("restarts", "fresh", "limits", "balance", "speed", "sizes", "blocked", "reload")
Each = Callable[[Contender, Path], list[str]]


def main() -> None:
    """Print the report, line by line as it is made."""
    parser = argparse.ArgumentParser(
        "tests.operations", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--peers", type=Path, help="folder of that virtual environment")
    parser.add_argument("--restarts", type=int, default=20, help="number of restarts (20)")
    parser.add_argument(
        "--requests", type=int, default=500_000, help="fewest requests under restarts (500000)"
    )
    parser.add_argument("--part", choices=PARTS, action="append", help="only this part")
    arguments = parser.parse_args()
    contenders = [(OURS, interpreter(None)), *find_peers(arguments.peers)]
    for part in arguments.part or PARTS:
        print(f"\n{part}", flush=True)
        if part == "restarts":
            for contender, python in contenders:
                requests = arguments.requests if contender is OURS else 0
                number = arguments.restarts if contender is OURS else min(5, arguments.restarts)
                show(lambda: measures.restarts(contender, python, number, requests))  # noqa: B023
        elif part == "balance":
            show(lambda: measures.balance(interpreter(None)))
        elif part == "speed":
            show(lambda: measures.speed(interpreter(None)))
        elif part == "reload":
            for contender, python in contenders:
                if contender.name in reload_speed.COMMANDS:
                    show(lambda: reload_speed.reload(contender, python))  # noqa: B023
        elif part == "blocked":
            for contender, python in contenders:
                option = {"daphne-like": "--worker-timeout", "gunicorn": "--timeout"}.get(
                    contender.name
                )
                if option is not None:
                    show(lambda: measures.blocked(contender, python, option))  # noqa: B023
        else:
            each: Each = getattr(measures, part)
            for contender, python in contenders:
                show(lambda: each(contender, python))  # noqa: B023


def find_peers(folder: Path | None) -> list[tuple[Contender, Path]]:
    """Return the peers that are installed, and tell which are not."""
    found = []
    for peer in PEERS:
        number = version(peer, interpreter(folder)) if folder is not None else ""
        if number:
            print(f"{peer.name} {number}")
            found.append((peer, interpreter(folder)))
        else:
            print(f"{peer.name} is skipped: it is not in the folder of --peers")
    return found


def show(measure: Callable[[], list[str]]) -> None:
    """Print the lines of one measurement, or why there are none."""
    try:
        lines = measure()
    except RuntimeError as error:
        lines = [f"not measured: {error}"]
    for line in lines:
        print(f"  {line}", flush=True)


if __name__ == "__main__":
    main()
