"""The dialogue between a load, which is a process of its own, and the process that starts it.

The load's argument is :class:`Order` as JSON. Then both exchange lines. The load prints "ready"
when its connections are open, begins when it reads a line, prints :class:`Tally` as JSON when all
responses have arrived, and closes its connections at the end of its input.
"""

from __future__ import annotations

import json
import resource
import signal
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass

SPARE_SECONDS = 30
"""Time limit for opening the connections and for the last responses; then the process ends."""


@dataclass(frozen=True)
class Order:
    """The load's task."""

    workload: str
    port: int
    connections: int
    seconds: int


@dataclass(frozen=True)
class Tally:
    """The load's result."""

    count: int
    """Number of messages received, or of connections opened and closed."""
    seconds: float
    cpu_seconds: float
    """Processor time of the load itself."""


class WrongLoadError(Exception):
    """The server did not do what the workload needs; the message says what it did."""


def ready() -> None:
    """Report that all connections are open, and wait for the line to begin."""
    print("ready", flush=True)
    sys.stdin.readline()


def finish(tally: Tally) -> None:
    """Report the result, and wait until it was read."""
    print(json.dumps(asdict(tally)), flush=True)
    sys.stdin.read()


def obey(run: Callable[[Order], None]) -> None:
    """Run a load as a program: read its order, and end with a sentence if it fails.

    Raises:
        SystemExit: the server did not do what the workload needs, or refused the connection.
    """
    order = Order(**json.loads(sys.argv[1]))
    signal.alarm(order.seconds + SPARE_SECONDS)
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    try:
        run(order)
    except WrongLoadError as error:
        raise SystemExit(str(error)) from None
    except OSError as error:
        raise SystemExit(f"{type(error).__name__}: {error}") from error
