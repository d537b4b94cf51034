"""The load as a program: ``python -m benchmarks.websocket.generator '{...}'``.

It runs in the peers' interpreter; :mod:`benchmarks.websocket.load` starts it.
"""

from __future__ import annotations

import json
import resource
import signal
import sys

from benchmarks.websocket import handshakes
from benchmarks.websocket.dialogue import Order, WrongLoadError
from benchmarks.websocket.workloads import WEBSOCKET_WORKLOADS, Exercise

SPARE_SECONDS = 30
"""How long opening the connections and the last answers may take; after that the process dies."""


def run(order: Order) -> None:
    """Make the load of a workload.

    Raises:
        WrongLoadError: the server did not do what the workload needs.
        OSError: there was no connection.
    """
    (workload,) = (one for one in WEBSOCKET_WORKLOADS if one.name == order.workload)
    if workload.exercise is Exercise.HANDSHAKE:
        handshakes.run(workload, order)
    else:
        # Imported here: handshakes are made without picows.
        from benchmarks.websocket import picows_load

        picows_load.run(workload, order)


def main() -> None:
    """Run the command."""
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


if __name__ == "__main__":
    main()
