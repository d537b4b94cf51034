"""The stop: accept nothing, finish what is in flight, tell the rest to end, then cancel it."""

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
"""For requests that are on their way when the server stops: on new connections, in handshakes, and
on idle ones, whose client cannot know of the stop before it has sent its next request."""
CLOSED_AT_ONCE = 64
"""Idle connections closed in one turn of the event loop."""
REPORT_SECONDS = 5.0
"""Between two lines about what the stop waits for."""
TELL_SECONDS = 0.5
"""Between two looks for event streams that have begun since the stop."""
MAX_NAMED = 3
"""Applications that such a line names."""
LEAVE_SECONDS = 3.0
"""For applications to end after they were told, and once more after they were cancelled."""
MARGIN_SECONDS = 5.0
LOOK_SECONDS = 0.01
FORCED_SECONDS = 1.0
"""For lifespan shutdown after a second signal."""


class Listening(Protocol):
    """The ports of a server, as its drain sees them."""

    def handshakes(self) -> list[Any]:
        """Return the factories whose connections may have no protocol yet."""

    async def drain(self) -> None:
        """Accept every connection that the kernel has accepted."""

    def close(self) -> Any:
        """Stop listening; a Deferred."""


class Drain:
    """One stop, bounded as a whole.

    Args:
        context: of the server's connections.
        connections: the live ones.
        ports: every one that listens.
        lifecycle: is moved on.
        end_lifespan: ends the application, in so many seconds or the option's.

    Attributes:
        has_signals: a second signal stops the server at once; for the log.
        look_seconds: between two looks whether connections and applications are left.
    """

    def __init__(
        self,
        context: ServerContext,
        connections: Connections,
        ports: Sequence[Listening],
        lifecycle: Lifecycle,
        end_lifespan: Callable[[float | None], Awaitable[None]],
    ) -> None:
        self.has_signals = False
        self.look_seconds = LOOK_SECONDS
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
        """Seconds after which a stop is over, or its event loop does not run."""
        options = self._context.options
        return (
            options.graceful_timeout + options.lifespan_timeout + 2 * LEAVE_SECONDS + MARGIN_SECONDS
        )

    def force(self) -> None:
        """Wait for nothing any longer."""
        log.warning("Second signal: stopping without waiting any longer")
        self._forced = True

    async def run(self) -> None:
        """Run the whole stop."""
        context = self._context
        was_accepting = context.accepting
        self._quiet = not was_accepting  # it has never served: there is nothing to tell
        self._lifecycle.enter(Stage.DRAINING)
        patience = context.options.graceful_timeout
        self._deadline = context.clock() + patience
        self._report()
        try:
            await self._drain_ports(was_accepting)
            for connection in list(self._connections):
                connection.server_stops()
            if not await self._until_quiet(min(IDLE_GRACE_SECONDS, patience)):
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
        """Listen no more, and serve everybody whom the kernel has accepted (RFC 9112, 9.6)."""
        self._handshakes = [factory for ports in self._ports for factory in ports.handshakes()]
        if was_accepting:
            await asyncio.gather(*[ports.drain() for ports in self._ports])
        for ports in self._ports:
            await ports.close().asFuture(self._context.loop)

    async def _end_grace(self) -> None:
        """Close idle connections: a peer that has sent nothing by now gets FIN."""
        self._lifecycle.enter(Stage.CLOSING)
        for factory in self._handshakes:
            factory.abort_handshakes()
        for index, connection in enumerate(list(self._connections), 1):
            if connection in self._connections:
                connection.close_when_idle()
            if index % CLOSED_AT_ONCE == 0:
                # Read what has arrived meanwhile: closing a socket with unread octets resets it.
                await asyncio.sleep(0)

    async def _end_applications(self) -> None:
        """Tell those that still run, then cancel them."""
        running = self._context.applications.running
        if running and not self._forced:
            log.warning(
                "Still running after %s: %s; telling them to end",
                counted(self._context.options.graceful_timeout, "second"),
                counted(len(running), "application"),
            )
        for connection in list(self._connections):
            connection.disconnect_application()
        if not await self._until_quiet(LEAVE_SECONDS):
            self._cancel()
            await self._until_quiet(LEAVE_SECONDS)

    async def _until_quiet(self, seconds: float) -> bool:
        """Wait until no connection and no application is left; False at the deadline."""
        clock = self._context.clock
        running = self._context.applications.running
        now = clock()
        deadline, next_tell = now + seconds, now + TELL_SECONDS
        # Looking every few milliseconds while stopping spares every request a notification.
        while self._connections or running or any(map(_is_busy, self._handshakes)):
            now = clock()
            if self._forced or now >= deadline:
                return False
            if now >= next_tell:
                next_tell = now + TELL_SECONDS
                for owner in list(running):
                    owner.server_stops()  # an event stream may have begun since
            await asyncio.sleep(self.look_seconds)
        return True

    def _cancel(self) -> None:
        for owner, task in list(self._context.applications.running.items()):
            where, stack = stuck_at(task)
            log.warning("%s does not end; cancelling it; %s\n%s", owner, where, stack)
            task.cancel()

    # The log.

    def _report(self) -> None:
        """Say what the stop waits for, now and every few seconds."""
        loop = self._context.loop
        first = self._reports is None
        self._reports = loop.call_later(REPORT_SECONDS, self._report)
        if self._quiet:
            return
        awaited = self._awaited()
        how = "; a second signal stops it at once" if self.has_signals else ""
        if first:
            limit = f"{self._context.options.graceful_timeout:g} s"
            how = f": waiting at most {limit} for {awaited}{how}" if awaited else ""
            log.info("Stopping%s", how)
        elif self._only_lifespan:
            log.info("Still stopping: waiting for lifespan.shutdown of the application%s", how)
        else:
            left = max(0.0, self._deadline - self._context.clock())
            log.info("Still stopping: waiting %.0f s more for %s%s", left, awaited, how)

    def _awaited(self) -> str:
        """Return the requests and connections that are left, in words; empty for none."""
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
