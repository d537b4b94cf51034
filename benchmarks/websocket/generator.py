"""The load as a program: ``python -m benchmarks.websocket.generator '{...}'``.

It runs in the peers' interpreter; :mod:`benchmarks.generators` starts it.
"""

from __future__ import annotations

from benchmarks.dialogue import Order, obey
from benchmarks.websocket import handshakes
from benchmarks.websocket.workloads import WEBSOCKET_WORKLOADS, Exercise


def run(order: Order) -> None:
    """Make the load of a workload.

    Raises:
        WrongLoadError: the server did not do what the workload needs.
        OSError: the connection failed.
    """
    (workload,) = (one for one in WEBSOCKET_WORKLOADS if one.name == order.workload)
    if workload.exercise is Exercise.HANDSHAKE:
        handshakes.run(workload, order)
    else:
        # Imported here, because handshakes do not need picows.
        from benchmarks.websocket import picows_load

        picows_load.run(workload, order)


if __name__ == "__main__":
    obey(run)
