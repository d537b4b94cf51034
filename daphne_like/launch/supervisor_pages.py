"""Serves the pages about a supervisor and its workers: `--metrics` and `--status`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred, DeferredList, inlineCallbacks

from daphne_like.process.supervisor import Supervisor

if TYPE_CHECKING:
    from collections.abc import Generator

    from daphne_like.metrics.side_server import SideServer

Actions = Mapping[str, Callable[[], object]]


class SupervisorPages:
    """The small servers of a supervisor; none without the options.

    A restart (SIGHUP) does not change their endpoints.

    Args:
        supervisor: the supervisor, which has started no worker yet.
        actions: name of an action of the status page -> carries it out, or begins to.
    Raises:
        ConfigurationError: prometheus_client is missing, or the token cannot be read.
    """

    def __init__(self, supervisor: Supervisor, actions: Actions) -> None:
        self._supervisor = supervisor
        self._servers: list[SideServer] = []
        options = supervisor.configuration.options
        if options.metrics or options.status:
            # A supervisor without pages does not load the protocols.
            from daphne_like.launch.supervisor_servers import make_servers

            self._servers = make_servers(supervisor, actions)

    @inlineCallbacks
    def bind(self) -> Generator[Deferred[Any], Any, None]:
        """Listen.

        Returns:
            A Deferred, which has already fired for the endpoints of Twisted and of this package.
        Raises:
            ConfigurationError: an endpoint is unusable.
        """
        for server in self._servers:
            yield server.bind(self._supervisor.reactor)

    def open(self) -> Deferred[Any]:
        """Accept connections."""
        return self._together(server.open(self._supervisor.reactor) for server in self._servers)

    def close(self) -> Deferred[Any]:
        """Stop listening, after the workers have ended."""
        return self._together(server.close() for server in self._servers)

    def _together(self, coroutines: Any) -> Deferred[Any]:
        loop = self._supervisor.loop
        return DeferredList(
            [Deferred.fromFuture(loop.create_task(each)) for each in coroutines],
            fireOnOneErrback=True, consumeErrors=True,
        )  # fmt: skip
