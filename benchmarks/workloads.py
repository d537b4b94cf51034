"""What every workload has: a name, a title, and the unit of its figure.

The workloads themselves are in :mod:`benchmarks.http_workloads`,
:mod:`benchmarks.http2.workloads`, :mod:`benchmarks.websocket.workloads` and
:mod:`benchmarks.tls.workloads`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Unit(Enum):
    """Unit of a workload's figure; lower is better in each."""

    REQUEST = "CPU µs per request"
    MESSAGE = "CPU µs per message"
    HANDSHAKE = "CPU µs per handshake"
    CONNECTION = "CPU µs per connection"
    TRANSFER = "CPU µs per MB"
    IDLE = "KiB per connection"
    GROWTH = "MiB of growth"

    @property
    def is_memory(self) -> bool:
        """Tell whether resident memory is watched: on a server just started, in each turn."""
        return self in (Unit.IDLE, Unit.GROWTH, Unit.TRANSFER)

    @property
    def rate(self) -> str:
        """Name the unit of what is done in a second of load."""
        return _RATES.get(self, "requests/s")


_RATES = {
    Unit.MESSAGE: "messages/s",
    Unit.HANDSHAKE: "connections/s",
    Unit.CONNECTION: "connections/s",
    Unit.TRANSFER: "MB/s",
}


@dataclass(frozen=True)
class Workload:
    """What a report needs to know of a workload."""

    name: str
    title: str
    unit: Unit

    @property
    def tls(self) -> bool:
        """Tell whether all of it goes over TLS."""
        return False
