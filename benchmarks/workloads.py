"""The base of all workloads: a name, a title, and the unit of the figure.

The workloads themselves are in :mod:`benchmarks.http_workloads`,
:mod:`benchmarks.http2.workloads`, :mod:`benchmarks.websocket.workloads` and
:mod:`benchmarks.tls.workloads`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum


class Unit(Enum):
    """Unit of a workload's figure; lower is always better."""

    REQUEST = "CPU µs per request"
    MESSAGE = "CPU µs per message"
    HANDSHAKE = "CPU µs per handshake"
    CONNECTION = "CPU µs per connection"
    TRANSFER = "CPU µs per MB"
    IDLE = "KiB per connection"
    GROWTH = "MiB of growth"

    @property
    def is_memory(self) -> bool:
        """Tell whether resident memory is measured, on a newly started server in each turn."""
        return self in (Unit.IDLE, Unit.GROWTH, Unit.TRANSFER)

    @property
    def rate(self) -> str:
        """The unit of the load's rate."""
        return _RATES.get(self, "requests/s")


_RATES = {
    Unit.MESSAGE: "messages/s",
    Unit.HANDSHAKE: "connections/s",
    Unit.CONNECTION: "connections/s",
    Unit.TRANSFER: "MB/s",
}


@dataclass(frozen=True)
class Workload:
    """The part of a workload that a report needs."""

    name: str
    title: str
    unit: Unit

    @property
    def tls(self) -> bool:
        """Tell whether the workload uses TLS."""
        return False
