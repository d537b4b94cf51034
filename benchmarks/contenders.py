"""Who is measured: each contender's command line, and what it is known not to do.

Each runs one process with one event loop and no access log; every other option is its default.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.websocket.workloads import WEBSOCKET_WORKLOADS
from benchmarks.workloads import Workload

REPOSITORY = Path(__file__).resolve().parent.parent
APPLICATION = "benchmarks.applications:application"
OURS = "daphne_like"

# Longer than any workload lasts: a connection closed for idleness would distort `idle`.
KEEP_ALIVE_SECONDS = "75"


@dataclass(frozen=True)
class Contender:
    """A server's command, its placeholders filled in by :meth:`command_line`."""

    name: str
    command: tuple[str, ...]
    distribution: str
    """Name of the distribution whose version is reported."""
    refusals: Mapping[str, str] = field(default_factory=dict)
    """Workloads (by name) not to try, each with the reason."""
    only: tuple[str, ...] | None = None
    """Workloads (by name) it takes part in; None for all."""

    def takes_part_in(self, workload: Workload) -> bool:
        """Tell whether there is anything to measure or to refuse."""
        return self.only is None or workload.name in self.only

    def command_line(self, peers: Path, port: int | str) -> list[str]:
        """Fill in our interpreter, the peers' programs, the floors' folder, and the port.

        Given "{port}" as the port, its place stays open.
        """
        values = {
            "ours": sys.executable,
            "bin": str(peers / "bin"),
            "here": str(REPOSITORY / "benchmarks"),
            "port": str(port),
        }
        return [part.format_map(values) for part in self.command]


def _contender(
    name: str,
    command: str,
    distribution: str,
    refusals: Mapping[str, str] | None = None,
    only: tuple[str, ...] | None = None,
) -> Contender:
    # Split before anything is filled in: a path may hold blanks.
    return Contender(name, tuple(command.split()), distribution, refusals or {}, only)


# Of uvicorn 0.54's three, websockets-sansio is the default, and the cheapest where it was tried:
# ws 18 µs (websockets 28, wsproto 29), ws-deflate 42 (51, 69), ws-handshake 272 (490, 314).
_UVICORN = (
    "--http httptools --ws websockets-sansio --loop uvloop --workers 1 --no-access-log"
    " --log-level warning"
)
# granian serves no more connections at a time than its backlog; `idle` opens 4 000.
_GRANIAN = "--interface asgi --workers 1 --loop uvloop --no-access-log --log-level warning"

CONTENDERS = (
    _contender(
        OURS,
        f"{{ours}} -m daphne_like -v 0 -b 127.0.0.1 -p {{port}} {APPLICATION}",
        "daphne_like",
    ),
    _contender(
        "uvicorn",
        f"{{bin}}/uvicorn {_UVICORN} --timeout-keep-alive {KEEP_ALIVE_SECONDS}"
        f" --host 127.0.0.1 --port {{port}} {APPLICATION}",
        "uvicorn",
    ),
    _contender(
        "granian",
        f"{{bin}}/granian {_GRANIAN} --backlog 8192 --host 127.0.0.1 --port {{port}} {APPLICATION}",
        "granian",
    ),
    _contender(
        "hypercorn",
        f"{{bin}}/hypercorn -k uvloop -w 1 --log-level warning --keep-alive {KEEP_ALIVE_SECONDS}"
        f" -b 127.0.0.1:{{port}} {APPLICATION}",
        "hypercorn",
    ),
    _contender("Daphne", f"{{bin}}/daphne -v 0 -b 127.0.0.1 -p {{port}} {APPLICATION}", "daphne"),
    _contender(
        "fastpysgi",
        f"{{bin}}/fastpysgi --host 127.0.0.1 --port {{port}} {APPLICATION}",
        "fastpysgi",
        refusals={one.name: "it has no WebSocket" for one in WEBSOCKET_WORKLOADS},
    ),
    _contender(
        "uvloop-floor",
        "{bin}/python {here}/floor.py {port}",
        "uvloop",
        # No application runs on it, and it parses nothing.
        only=("hello", "browser", "varied"),
    ),
    _contender(
        "picows-floor",
        "{bin}/python {here}/websocket/floor.py {port}",
        "picows",
        only=("ws", "ws8k"),
    ),
)
