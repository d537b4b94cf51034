"""Serves the metrics of a supervisor and its workers (`--metrics`)."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, succeed

from daphne_like.metrics.about import accept_queues, versions
from daphne_like.metrics.application import own_files
from daphne_like.metrics.counts import Counts
from daphne_like.metrics.exposition import Registry, require_client
from daphne_like.metrics.page import MetricsPage
from daphne_like.metrics.side_server import SideServer
from daphne_like.process.supervisor import Supervisor


class SupervisorMetrics:
    """The metrics of a supervisor; without `--metrics` it does nothing.

    A restart (SIGHUP) does not change their endpoints.

    Args:
        supervisor: the supervisor, which has started no worker yet.
    Raises:
        ConfigurationError: prometheus_client is missing.
    """

    def __init__(self, supervisor: Supervisor) -> None:
        self._supervisor = supervisor
        self._side: SideServer | None = None
        options = supervisor.configuration.options
        if not options.metrics:
            return
        from daphne_like.server import make_side_server  # the protocols: not loaded otherwise

        require_client()
        files = supervisor.tallies.files = own_files()
        if files is not None:
            files.wipe()
        registry = Registry(self._counts, [files.collect] if files is not None else [])
        self._side = make_side_server(options.metrics, MetricsPage(registry), options)

    def _counts(self) -> Counts:
        supervisor = self._supervisor
        return {
            **versions(supervisor.loop),
            **supervisor.tallies.counts(supervisor.workers),
            **accept_queues(supervisor.sockets.listening()),
        }

    def bind(self) -> Deferred[Any]:
        """Listen.

        Returns:
            A Deferred.
        Raises:
            ConfigurationError: an endpoint is unusable.
        """
        return succeed(None) if self._side is None else self._side.bind(self._supervisor.reactor)

    def open(self) -> Deferred[Any]:
        """Accept connections."""
        if self._side is None:
            return succeed(None)
        opening = self._side.open(self._supervisor.reactor)
        return Deferred.fromFuture(self._supervisor.loop.create_task(opening))

    def close(self) -> Deferred[Any]:
        """Stop listening, after the workers have ended."""
        if self._side is None:
            return succeed(None)
        return Deferred.fromFuture(self._supervisor.loop.create_task(self._side.close()))
