"""The metrics of a server that is the only one of its application."""

from __future__ import annotations

from asyncio import AbstractEventLoop
from typing import Any, Protocol

from daphne_like.listening.all_ports import AllPorts
from daphne_like.metrics.about import accept_queues, versions
from daphne_like.metrics.application import default_registry
from daphne_like.metrics.counters import Counters
from daphne_like.metrics.counts import Counts
from daphne_like.metrics.exposition import Registry, require_client
from daphne_like.metrics.page import MetricsPage
from daphne_like.metrics.series import CPU
from daphne_like.observe.observer import Observer
from daphne_like.runtime.context import ServerContext
from daphne_like.runtime.lifecycle import Lifecycle


class Counted(Protocol):
    """The interface of a Server that is used here."""

    context: ServerContext
    lifecycle: Lifecycle
    loop: AbstractEventLoop
    ports: AllPorts

    def add_observer(self, observer: Observer) -> None:
        """Tell an observer what happens."""


def count(server: Counted) -> Counters:
    """Count what a server does, from now on."""
    counters = Counters(server.context)
    server.add_observer(counters)
    server.lifecycle.add_check(counters.tick)
    return counters


def metrics_page(server: Counted) -> MetricsPage:
    """Count what a server does, and return the page that shows it.

    Raises:
        ConfigurationError: prometheus_client is missing.
    """
    require_client()
    counters = count(server)

    def counts() -> Counts:
        found = {**versions(server.loop), **counters.counts(), **queues(server.ports)}
        del found[CPU.name]  # the default registry has the CPU time of this process
        return found

    return MetricsPage(Registry(counts, [default_registry]))


def queues(ports: AllPorts) -> Counts:
    """Return the listen queues of all ports that listen."""
    listening: list[tuple[Any, Any]] = [
        *zip(ports.serving.addresses, ports.serving.listeners, strict=False),
        *zip(ports.redirecting.addresses, ports.redirecting.listeners, strict=False),
    ]
    return accept_queues((address, port.fileno()) for address, port in listening)
