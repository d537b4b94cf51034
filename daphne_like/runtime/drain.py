"""Stops a server gracefully.

The drain stops accepting, finishes requests in flight, sends the disconnect event to the
applications that still run, and finally cancels them.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol

from daphne_like.observe.stacks.waiting import stuck_at
from daphne_like.runtime.connections import Connections
from daphne_like.runtime.context import ServerContext
from daphne_like.runtime.lifecycle import Lifecycle, Stage
from daphne_like.wording import counted

log = logging.getLogger("daphne_like.server")

IDLE_GRACE_SECONDS = 0.5
"""Seconds for requests that are on their way when the server stops: on new connections, during TLS
handshakes, and on idle connections, whose clients may send a request before they notice the
stop."""
CLOSED_AT_ONCE = 64
"""Number of idle connections closed in one iteration of the event loop."""
REPORT_SECONDS = 5.0
"""Seconds between two log lines that list the work the stop waits for."""
TELL_SECONDS = 0.5
"""Seconds between two checks for event streams that have begun since the stop."""
MAX_NAMED = 3
"""Maximum number of applications named in such a log line."""
LEAVE_SECONDS = 3.0
"""Seconds for applications to end after the disconnect event, and again after cancellation."""
MARGIN_SECONDS = 5.0
CHECK_INTERVAL_SECONDS = 0.01
FORCED_SECONDS = 1.0
"""Seconds for lifespan shutdown after a second signal."""


class DrainablePorts(Protocol):
    """The interface of a server's ports that the drain uses."""

    def handshakes(self) -> list[Any]:
        """Return the factories whose connections may have no protocol yet."""

    async def drain(self) -> None:
        """Accept every connection that the kernel has accepted."""

    def close(self) -> Any:
        """Stop listening; return a Deferred."""


class Drain:
    """One graceful stop, with a limit on its total time.

    Args:
        context: the context of the server's connections.
        connections: the live connections.
        ports: all listening ports.
        lifecycle: enters the stages of the stop.
        end_lifespan: runs lifespan shutdown; takes its timeout in seconds, or None for the option.

    Attributes:
        has_signals: a second signal stops the server at once; the log line says so.
        patience: seconds for open requests; the option `graceful_timeout` unless it is changed
            before the stop.
        check_interval: seconds between two checks for remaining connections and applications.
    """

    def __init__(
        self,
        context: ServerContext,
        connections: Connections,
        ports: Sequence[DrainablePorts],
        lifecycle: Lifecycle,
        end_lifespan: Callable[[float | None], Awaitable[None]],
    ) -> None:
        self.has_signals = False
        self.patience = context.options.graceful_timeout
        self.check_interval = CHECK_INTERVAL_SECONDS
        self._context = context
        self._connections = connections
        self._ports = ports
        self._lifecycle = lifecycle
        self._end_lifespan = end_lifespan
        self._forced = False
        self._quiet = False
        self._handshakes: list[Any] = []
        self._deadline = 0.0
        self._only_lifespan = False
        self._reports: asyncio.TimerHandle | None = None

    @property
    def limit(self) -> float:
        """The maximum seconds of a stop; a longer one means that the event loop is blocked."""
        lifespan_timeout = self._context.options.lifespan_timeout
        return self.patience + lifespan_timeout + 2 * LEAVE_SECONDS + MARGIN_SECONDS

    def force(self) -> None:
        """Stop without waiting any longer."""
        log.warning("Second signal: stopping without waiting any longer")
        self._forced = True

    async def run(self) -> None:
        """Run the whole stop."""
        context = self._context
        was_accepting = context.accepting
        self._quiet = not was_accepting  # the server has never served: nothing to report
        self._lifecycle.enter(Stage.DRAINING)
        self._deadline = context.clock() + self.patience
        self._report()
        try:
            await self._drain_ports(was_accepting)
            for connection in list(self._connections):
                connection.server_stops()
            if not await self._until_quiet(min(IDLE_GRACE_SECONDS, self.patience)):
                await self._end_grace()
            if not await self._until_quiet(self._deadline - context.clock()):
                await self._end_applications()
            for connection in list(self._connections):
                connection.transport.abortConnection()
            self._only_lifespan = True
            await self._end_lifespan(FORCED_SECONDS if self._forced else None)
        finally:
            self._lifecycle.enter(Stage.STOPPED)
            if self._reports is not None:
                self._reports.cancel()
        if not self._quiet:
            log.info("Stopped")

    async def _drain_ports(self, was_accepting: bool) -> None:
        """Close the ports; serve all connections the kernel has accepted (RFC 9112, 9.6)."""
        self._handshakes = [factory for ports in self._ports for factory in ports.handshakes()]
        if was_accepting:
            await asyncio.gather(*[ports.drain() for ports in self._ports])
        for ports in self._ports:
            await ports.close().asFuture(self._context.loop)

    async def _end_grace(self) -> None:
        """Close idle connections: a peer that has sent nothing so far gets FIN."""
        self._lifecycle.enter(Stage.CLOSING)
        for factory in self._handshakes:
            factory.abort_handshakes()
        for index, connection in enumerate(list(self._connections), 1):
            if connection in self._connections:
                connection.close_when_idle()
            if index % CLOSED_AT_ONCE == 0:
                # Let the reactor read: closing a socket with unread octets resets the connection.
                await asyncio.sleep(0)

    async def _end_applications(self) -> None:
        """Send the disconnect event to running applications, then cancel those that remain."""
        running = self._context.applications.running
        if running and not self._forced:
            log.warning(
                "Still running after %s: %s; telling them to end",
                counted(self.patience, "second"),
                counted(len(running), "application"),
            )
        for connection in list(self._connections):
            connection.disconnect_application()
        if not await self._until_quiet(LEAVE_SECONDS):
            self._cancel()
            await self._until_quiet(LEAVE_SECONDS)

    async def _until_quiet(self, seconds: float) -> bool:
        """Wait until no connection and no application is left; return False at the deadline."""
        clock = self._context.clock
        running = self._context.applications.running
        now = clock()
        deadline, next_tell = now + seconds, now + TELL_SECONDS
        # Polling every few milliseconds while stopping saves a notification for every request.
        while self._connections or running or any(map(_is_busy, self._handshakes)):
            now = clock()
            if self._forced or now >= deadline:
                return False
            if now >= next_tell:
                next_tell = now + TELL_SECONDS
                for owner in list(running):
                    owner.server_stops()  # an event stream may have begun since
            await asyncio.sleep(self.check_interval)
        return True

    def _cancel(self) -> None:
        for owner, task in list(self._context.applications.running.items()):
            where, stack = stuck_at(task)
            log.warning("%s does not end; cancelling it; %s\n%s", owner, where, stack)
            task.cancel()

    # The log.

    def _report(self) -> None:
        """Log the remaining work, now and every few seconds."""
        loop = self._context.loop
        first = self._reports is None
        self._reports = loop.call_later(REPORT_SECONDS, self._report)
        if self._quiet:
            return
        awaited = self._awaited()
        how = "; a second signal stops it at once" if self.has_signals else ""
        if first:
            limit = f"{self.patience:g} s"
            how = f": waiting at most {limit} for {awaited}{how}" if awaited else ""
            log.info("Stopping%s", how)
        elif self._only_lifespan:
            log.info("Still stopping: waiting for lifespan.shutdown of the application%s", how)
        else:
            left = max(0.0, self._deadline - self._context.clock())
            log.info("Still stopping: waiting %.0f s more for %s%s", left, awaited, how)

    def _awaited(self) -> str:
        """Return a description of the remaining work; empty if no work is left."""
        running, connections = list(self._context.applications.running), len(self._connections)
        parts = []
        if running:
            named = ", ".join(map(str, running[:MAX_NAMED]))
            more = ", ..." if len(running) > MAX_NAMED else ""
            parts.append(f"{counted(len(running), 'application')} ({named}{more})")
        if connections:
            parts.append(counted(connections, "connection"))
        return " and ".join(parts)


def _is_busy(factory: Any) -> bool:
    return bool(factory.handshaking)
