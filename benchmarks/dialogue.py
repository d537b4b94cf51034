"""What a load, a process of its own, and the process that starts it say to each other.

The load's argument is :class:`Order` as JSON. Then it goes by lines: the load prints "ready" when
its connections are open, begins when it reads a line, prints :class:`Tally` as JSON when nothing is
under way any more, and closes its connections at the end of its input.
"""

from __future__ import annotations

import json
import resource
import signal
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass

SPARE_SECONDS = 30
"""How long opening the connections and the last answers may take; after that the process dies."""


@dataclass(frozen=True)
class Order:
    """What to do."""

    workload: str
    port: int
    connections: int
    seconds: int


@dataclass(frozen=True)
class Tally:
    """What was done."""

    count: int
    """Messages that came, or connections that were opened and closed."""
    seconds: float
    cpu_seconds: float
    """Processor time of the load itself."""


class WrongLoadError(Exception):
    """The server did something else than the workload needs; the message says what."""


def ready() -> None:
    """Say that all connections are open, and wait for the signal to begin."""
    print("ready", flush=True)
    sys.stdin.readline()


def finish(tally: Tally) -> None:
    """Report what was done, and wait until the figures were read."""
    print(json.dumps(asdict(tally)), flush=True)
    sys.stdin.read()


def obey(run: Callable[[Order], None]) -> None:
    """Run a load as a program: read its order, and end with a sentence where it fails.

    Raises:
        SystemExit: the server did not do what the workload needs, or there was no connection.
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
