"""User-space instructions per `hello` request: ``python -m benchmarks.instructions``.

The count does not depend on the machine's load, so it is recorded and held by a test. It does
depend on the interpreter's build and on the libraries' versions: the record is kept by Python
version, and names them. Only servers of one process can be counted, and none that polls without a
pause (fastpysgi).
"""

from __future__ import annotations

import argparse
import json
import platform
import shutil
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks import peers
from benchmarks.callgrind import counting
from benchmarks.contenders import CONTENDERS, OURS, REPOSITORY
from benchmarks.serving import import_folder

RECORD = Path(__file__).with_name("instructions.json")
COUNTABLE = (OURS, "uvicorn", "Daphne", "uvloop-floor")
ALLOWED_GROWTH = 0.03

WARM_UP_REQUESTS = 300
FEW_REQUESTS = 300
MANY_REQUESTS = 2300
"""What an interval costs besides its requests cancels out between few and many."""


@dataclass(frozen=True)
class Recorded:
    """A figure of ours, and the versions it was counted with."""

    instructions: int
    build: str
    versions: dict[str, str | None]


def instructions_per_request(command: Sequence[str], imports: Path = REPOSITORY) -> float:
    """Count the instructions of one keep-alive `hello` request; repeatable within about 0.1 %.

    Args:
        command: the server's command line, "{port}" in the place of the port.
        imports: folder that the application is imported from.

    Returns:
        (Ir(many) - Ir(few)) / (many - few), Ir of the whole process after a warm-up.

    Raises:
        StartError: the server did not come to listen.
        ConnectionError: it closed the connection.
    """
    with counting(command, imports) as callgrind:
        callgrind.request(WARM_UP_REQUESTS)
        callgrind.command("instrumentation", "on")
        callgrind.count(WARM_UP_REQUESTS)
        few = callgrind.count(FEW_REQUESTS)
        many = callgrind.count(MANY_REQUESTS)
    return (many - few) / (MANY_REQUESTS - FEW_REQUESTS)


def our_command() -> list[str]:
    """Return our server's command line, "{port}" in the place of the port."""
    (ours,) = (one for one in CONTENDERS if one.name == OURS)
    return ours.command_line(Path(), "{port}")


def recorded(python: str | None = None) -> Recorded | None:
    """Return the record for a Python version, by default this one's; None where there is none."""
    records = json.loads(RECORD.read_text()) if RECORD.is_file() else {}
    entry = records.get(python or platform.python_version())
    return None if entry is None else Recorded(**entry)


def record(instructions: float) -> None:
    """Write a figure as this Python version's."""
    records = json.loads(RECORD.read_text()) if RECORD.is_file() else {}
    versions = peers.versions(sys.executable, ("Twisted", "uvloop", "httptools"))
    entry = Recorded(round(instructions), sys.version, versions)
    records[platform.python_version()] = asdict(entry)
    RECORD.write_text(json.dumps(records, indent=2, sort_keys=True) + "\n")


def _count(name: str, peers_folder: Path) -> float:
    (contender,) = (one for one in CONTENDERS if one.name == name)
    command = contender.command_line(peers_folder, "{port}")
    with tempfile.TemporaryDirectory(prefix="benchmarks-imports-") as folder:
        return instructions_per_request(command, import_folder(contender, Path(folder)))


def arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.instructions",
        description="Count the user-space instructions of one hello request under callgrind "
        "(Debian: apt install valgrind), and compare ours with the recorded figure.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
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
        help="write our figure to benchmarks/instructions.json as this Python version's",
    )
    return parser.parse_args(argv)


def main() -> None:
    """Run the command."""
    options = arguments()
    if shutil.which("valgrind") is None:
        raise SystemExit("instructions: valgrind is missing (Debian: apt install valgrind)")
    for name in options.contenders:
        instructions = _count(name, options.peers_venv.absolute())
        comparison = _against_record(name, instructions)
        print(f"{name:12} {instructions:9.0f} instructions per request{comparison}", flush=True)
        if name == OURS and options.record:
            record(instructions)


def _against_record(name: str, instructions: float) -> str:
    known = recorded() if name == OURS else None
    if known is None:
        return ""
    growth = instructions / known.instructions - 1
    return f" (recorded for {platform.python_version()}: {known.instructions}, {growth:+.2%})"


if __name__ == "__main__":
    main()
