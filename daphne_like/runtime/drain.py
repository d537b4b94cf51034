"""Stops a server gracefully.

The drain stops accepting, tells WebSockets and event streams to end, finishes requests in flight,
sends the disconnect event to the applications that still run, and finally cancels them. How long
each step takes is said by a DrainPlan.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol

from daphne_like.observe.stacks.waiting import stuck_at
from daphne_like.runtime.connections import Connections
from daphne_like.runtime.context import ServerContext
from daphne_like.runtime.drain_plan import DrainPlan
from daphne_like.runtime.lifecycle import Lifecycle, Stage
from daphne_like.runtime.stop_notices import StopNotices
from daphne_like.wording import counted

log = logging.getLogger("daphne_like.server")

CLOSED_AT_ONCE = 64
"""Number of idle connections closed in one iteration of the event loop."""
REPORT_SECONDS = 5.0
"""Seconds between two log lines that list the work the stop waits for."""
MAX_NAMED = 3
"""Maximum number of applications named in such a log line."""
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
        plan: the times of the stop; may be replaced until it begins.
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
        self.check_interval = CHECK_INTERVAL_SECONDS
        self.plan = DrainPlan.without_signal(context.options)
        self._context = context
        self._connections = connections
        self._ports = ports
        self._lifecycle = lifecycle
        self._end_lifespan = end_lifespan
        self._forced = False
        self._quiet = False
        self._handshakes: list[Any] = []
        self._notices: StopNotices | None = None
        self._deadline = 0.0
        self._only_lifespan = False
        self._reports: asyncio.TimerHandle | None = None

    @property
    def limit(self) -> float:
        """The maximum seconds of the stop; a longer one means that the event loop is blocked."""
        plan, lifespan = self.plan, self._context.options.lifespan_timeout
        return plan.delay + plan.graceful + lifespan + 2 * plan.leave + MARGIN_SECONDS

    def force(self) -> None:
        """Stop without waiting any longer."""
        log.warning("Second signal: stopping without waiting any longer")
        self._forced = True

    async def run(self) -> None:
        """Run the whole stop."""
        context, plan = self._context, self.plan
        was_accepting = context.accepting
        self._quiet = plan.is_quiet or not was_accepting  # it has never served: nothing to report
        self._lifecycle.enter(Stage.LEAVING)
        if was_accepting and plan.delay:
            await self._serve_on(plan.delay)
        self._lifecycle.enter(Stage.DRAINING)
        self._deadline = context.clock() + plan.graceful
        self._report()
        try:
            # Before anything is awaited: connections that are accepted later know by themselves.
            for connection in list(self._connections):
                connection.server_stops()
            await self._drain_ports(was_accepting)
            self._notices = StopNotices(context.applications.running, context.clock, plan)
            if not await self._until_quiet(plan.idle_limit):
                await self._end_grace(plan.lingers and plan.idle_limit > 0)
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

    async def _serve_on(self, seconds: float) -> None:
        """Accept and serve as before, while load balancers notice that the server is not ready."""
        how = "; a second signal stops it at once" if self.has_signals else ""
        log.info("Stopping in %s; still accepting connections%s", counted(seconds, "second"), how)
        deadline = self._context.clock() + seconds
        while self._context.clock() < deadline:
            if self._forced:
                break
            await asyncio.sleep(self.check_interval)

    async def _drain_ports(self, was_accepting: bool) -> None:
        """Close the ports; serve all connections the kernel has accepted (RFC 9112, 9.6)."""
        self._handshakes = [factory for ports in self._ports for factory in ports.handshakes()]
        if was_accepting:
            await asyncio.gather(*[ports.drain() for ports in self._ports])
        for ports in self._ports:
            await ports.close().asFuture(self._context.loop)

    async def _end_grace(self, lingers: bool) -> None:
        """Close idle connections: a peer that has sent nothing so far gets FIN."""
        self._lifecycle.enter(Stage.CLOSING)
        for factory in self._handshakes:
            factory.abort_handshakes()
        for index, connection in enumerate(list(self._connections), 1):
            if connection in self._connections:
                connection.close_when_idle(lingers)
            if index % CLOSED_AT_ONCE == 0:
                # Let the reactor read: closing a socket with unread octets resets the connection.
                await asyncio.sleep(0)

    async def _end_applications(self) -> None:
        """Send the disconnect event to running applications, then cancel those that remain."""
        running = self._context.applications.running
        if running and not self._forced:
            log.warning(
                "Still running after %s: %s; telling them to end",
                counted(self.plan.graceful, "second"),
                counted(len(running), "application"),
            )
        if self._notices is not None:
            self._notices.tell_all()  # a second signal does not wait for their turns
        for connection in list(self._connections):
            connection.disconnect_application()
        if not await self._until_quiet(self.plan.leave):
            self._cancel()
            await self._until_quiet(self.plan.leave)

    async def _until_quiet(self, seconds: float) -> bool:
        """Wait until no connection and no application is left; return False at the deadline."""
        clock, notices = self._context.clock, self._notices
        assert notices is not None
        running = self._context.applications.running
        deadline = clock() + seconds
        # Polling every few milliseconds while stopping saves a notification for every request.
        while self._connections or running or any(map(_is_busy, self._handshakes)):
            if self._forced or clock() >= deadline:
                return False
            notices.tell_due()
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
            limit = f"{self.plan.graceful:g} s"
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
