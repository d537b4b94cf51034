"""A small server in the same process, for pages about the server rather than of the application.

It has connections, limits and ports of its own, so that a page can be read while the server drains,
and its requests are neither counted nor logged with those of the application.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Awaitable, Callable, Generator
from typing import Any, Protocol

from twisted.internet.defer import Deferred, inlineCallbacks

from daphne_like.listening.all_ports import AllPorts
from daphne_like.options import Options
from daphne_like.runtime.drain_plan import DrainPlan

MAX_CONNECTIONS = 64
TIMEOUT_SECONDS = 10.0


class SmallServer(Protocol):
    """The interface of a Server that is used here."""

    ports: AllPorts

    def attach(self, reactor: Any) -> None:
        """Set the reactor."""

    def bind(self) -> Deferred[Any]:
        """Listen."""

    def startup(self) -> Awaitable[None]:
        """Start the periodic checks."""

    def accept(self) -> None:
        """Accept connections."""

    def drain(self, plan: DrainPlan | None = None) -> Awaitable[None]:
        """Stop."""


class SideServer:
    """The stages of such a server; each may be entered when it has been entered already.

    Args:
        server: a new Server.
        check: called when the ports are bound; raises a ConfigurationError if others may reach them
            who must not.
    """

    def __init__(self, server: SmallServer, check: Callable[[], None] = lambda: None) -> None:
        self._server = server
        self._check = check
        self._is_bound = False
        self._is_open = False

    @inlineCallbacks
    def bind(self, reactor: Any) -> Generator[Deferred[Any], Any, None]:
        """Listen; clients wait in the listen queue.

        Returns:
            A Deferred.
        Raises:
            ConfigurationError: an endpoint is unusable.
        """
        if not self._is_bound:
            self._server.attach(reactor)
            yield self._server.bind()
            self._is_bound = True
            try:
                self._check()
            except Exception:
                # Without waiting for the end: the reactor may not run yet.
                self._server.ports.serving.unbind()
                raise

    async def open(self, reactor: Any) -> None:
        """Accept connections, on ports that `bind` has bound or that are bound now.

        Raises:
            ConfigurationError: see `bind`.
        """
        await self.bind(reactor)
        if not self._is_open:
            self._is_open = True
            await self._server.startup()
            self._server.accept()

    async def close(self) -> None:
        """Close the ports and all connections; responses that are complete are sent first."""
        if self._is_bound:
            self._is_bound = False
            plan = DrainPlan.quick(Options(graceful_timeout=1))
            await self._server.drain(dataclasses.replace(plan, is_quiet=True))


def side_options(options: Options) -> Options:
    """Return the options of a small server.

    Args:
        options: those of the application's server; what is said about endpoints holds for both.
    """
    kept = ("unix_mode", "unix_owner", "unix_group", "trusted_proxies", "server_name")
    return dataclasses.replace(
        Options(),
        lifespan="off",
        interface="asgi3",
        max_connections=MAX_CONNECTIONS,
        max_body_size=1024,
        http_timeout=TIMEOUT_SECONDS,
        header_timeout=TIMEOUT_SECONDS,
        write_timeout=TIMEOUT_SECONDS,
        stall_warning=None,
        **{name: getattr(options, name) for name in kept},
    )
