"""User-space instructions per request or message: ``python -m benchmarks.instructions``.

They are counted for the workloads `hello` and `ws`. The count does not depend on the machine's
load, so a test compares it with a record. It depends on the interpreter's build and on the
libraries' versions. Therefore the record has an entry for each Python version and workload, with
these versions. Servers with several processes cannot be counted, nor servers that poll without a
pause (fastpysgi).
"""

from __future__ import annotations

import argparse
import json
import platform
import shutil
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks import peers
from benchmarks.callgrind import counting
from benchmarks.contenders import CONTENDERS, OURS, REPOSITORY, Contender
from benchmarks.exchanges import Echo, Exchange, Hello
from benchmarks.http_workloads import HELLO
from benchmarks.serving import import_folder
from benchmarks.websocket.workloads import ECHO
from benchmarks.workloads import Workload

RECORD = Path(__file__).with_name("instructions.json")
COUNTABLE = (OURS, "uvicorn", "Daphne", "uvloop-floor", "picows-floor")
ALLOWED_GROWTH = 0.03

WARM_UP = 300
FEW = 300
MANY = 2300
"""Numbers of exchanges; the constant cost of an interval cancels out between few and many."""


@dataclass(frozen=True)
class Counted:
    """A workload that instructions are counted for."""

    workload: Workload
    connect: Callable[[int], Exchange]
    libraries: tuple[str, ...]
    """Distributions whose versions are recorded with the figure."""


_COUNTED = (
    Counted(HELLO, Hello, ("Twisted", "uvloop", "httptools")),
    Counted(ECHO, Echo, ("Twisted", "uvloop", "autobahn")),
)
COUNTED = {one.workload.name: one for one in _COUNTED}


@dataclass(frozen=True)
class Recorded:
    """A figure of daphne_like, and the versions that it was counted with."""

    instructions: int
    build: str
    versions: dict[str, str | None]


def instructions_per_exchange(
    workload: str, command: Sequence[str], imports: Path = REPOSITORY
) -> float:
    """Count the instructions of one exchange on a connection; repeatable within about 0.1 %.

    Args:
        workload: a name in :data:`COUNTED`.
        command: the server's command line, with "{port}" instead of the port.
        imports: folder that the application is imported from.

    Returns:
        (Ir(many) - Ir(few)) / (many - few), where Ir counts the whole process after a warm-up.

    Raises:
        StartError: the server did not listen in time.
        WrongAnswerError: the server closed the connection or sent a wrong response.
    """
    with counting(command, imports, COUNTED[workload].connect) as callgrind:
        callgrind.exchange(WARM_UP)
        callgrind.command("instrumentation", "on")
        callgrind.count(WARM_UP)
        few = callgrind.count(FEW)
        many = callgrind.count(MANY)
    return (many - few) / (MANY - FEW)


def our_command() -> list[str]:
    """Return daphne_like's command line, with "{port}" instead of the port."""
    (ours,) = (one for one in CONTENDERS if one.name == OURS)
    return ours.command_line(Path(), "{port}")


def recorded(workload: str, python: str | None = None) -> Recorded | None:
    """Return the record for a Python version, by default this one's; None if it has no record."""
    entry = _records().get(python or platform.python_version(), {}).get(workload)
    return None if entry is None else Recorded(**entry)


def record(workload: str, instructions: float) -> None:
    """Record a figure for this Python version."""
    records = _records()
    versions = peers.versions(sys.executable, COUNTED[workload].libraries)
    entry = Recorded(round(instructions), sys.version, versions)
    records.setdefault(platform.python_version(), {})[workload] = asdict(entry)
    RECORD.write_text(json.dumps(records, indent=2, sort_keys=True) + "\n")


def _records() -> dict[str, dict[str, Any]]:
    """Return the record by Python version and workload."""
    found: dict[str, dict[str, Any]] = json.loads(RECORD.read_text()) if RECORD.is_file() else {}
    return found


def _count(workload: str, contender: Contender, peers_folder: Path) -> float:
    command = contender.command_line(peers_folder, "{port}")
    with tempfile.TemporaryDirectory(prefix="benchmarks-imports-") as folder:
        imports = import_folder(contender, Path(folder))
        return instructions_per_exchange(workload, command, imports)


def arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.instructions",
        description="Count the user-space instructions of one hello request and of one ws echo "
        "under callgrind (Debian: apt install valgrind), and compare ours with the recorded "
        "figures.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument(
        "--workloads",
        nargs="+",
        metavar="NAME",
        choices=list(COUNTED),
        default=list(COUNTED),
        help="which workloads: %(choices)s",
    )
    parser.add_argument(
        "--contenders",
        nargs="+",
        metavar="NAME",
        choices=COUNTABLE,
        default=[OURS],
        help="whose: %(choices)s",
    )
    parser.add_argument(
        "--peers-venv",
        type=Path,
        default=REPOSITORY / ".benchmarks" / "venv",
        metavar="DIR",
        help="virtual environment of the peers, made by python -m benchmarks",
    )
    parser.add_argument(
        "--record",
        action="store_true",
        help="write our figures to benchmarks/instructions.json as this Python version's",
    )
    return parser.parse_args(argv)


def main() -> None:
    """Run the command."""
    options = arguments()
    if shutil.which("valgrind") is None:
        raise SystemExit("instructions: valgrind is missing (Debian: apt install valgrind)")
    for workload in options.workloads:
        for contender in CONTENDERS:
            if contender.name in options.contenders and contender.takes_part_in(
                COUNTED[workload].workload
            ):
                _report(workload, contender, options)


def _report(workload: str, contender: Contender, options: argparse.Namespace) -> None:
    name = contender.name
    instructions = _count(workload, contender, options.peers_venv.absolute())
    comparison = _against_record(workload, instructions) if name == OURS else ""
    print(f"{workload:6} {name:12} {instructions:9.0f} instructions{comparison}", flush=True)
    if name == OURS and options.record:
        record(workload, instructions)


def _against_record(workload: str, instructions: float) -> str:
    known = recorded(workload)
    if known is None:
        return ""
    growth = instructions / known.instructions - 1
    return f" (recorded for {platform.python_version()}: {known.instructions}, {growth:+.2%})"


if __name__ == "__main__":
    main()
