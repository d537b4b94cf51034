"""How a server stops: nothing new, what is in flight finished, the rest told, then cancelled."""

from __future__ import annotations

import asyncio
import logging
import os
import select
import signal
import threading
import time
from collections.abc import Generator, Iterator
from types import FrameType
from typing import TYPE_CHECKING, Any

from twisted.internet import tcp
from twisted.internet.defer import Deferred, inlineCallbacks, maybeDeferred

from daphne_like.observe.stacks import threads
from daphne_like.observe.stacks.python_frames import is_own
from daphne_like.observe.stacks.waiting import place, stuck_at
from daphne_like.observe.watchdog import stack_of_thread
from daphne_like.transport_interfaces import IDrainsQueue, IHandshakes
from daphne_like.wording import counted

if TYPE_CHECKING:
    from daphne_like.server import Server

log = logging.getLogger("daphne_like.server")

IDLE_GRACE_SECONDS = 0.5
"""For requests that are on their way when the server stops: on new connections, in handshakes, and
on idle ones, whose client cannot know of the stop before it has sent its next request."""
CLOSED_AT_ONCE = 64
"""Idle connections closed in one turn of the event loop."""
REPORT_SECONDS = 5.0
"""Between two lines about what the stop waits for."""
TELL_SECONDS = 0.5
"""Between two looks for streams that have begun since the stop."""
MAX_NAMED = 3
"""Applications that such a line names."""
LEAVE_SECONDS = 3.0
"""For applications to end after they were told, and once more after they were cancelled."""

MAX_STOCK_READS = 256
"""Calls of `doRead` on a port of Twisted's stock reactor; each accepts several connections."""
MARGIN_SECONDS = 5.0
LOOK_SECONDS = 0.01
TOGETHER_SECONDS = 0.5
"""Signals as close as this are one: a terminal and a parent process both pass on a Ctrl-C."""
FORCED_SECONDS = 1.0
"""For lifespan shutdown after a second signal."""


class Stopping:
    """One stop, from the signal to the end; bounded as a whole.

    Args:
        server: to stop.
    Attributes:
        quiet: nothing is logged about the course of the stop; another server's is its own.
    """

    def __init__(self, server: Server) -> None:
        self._server = server
        self._forced = False
        self._signalled_at: float | None = None
        self._before: dict[int, Any] = {}
        self._last_resort: threading.Timer | None = None
        self.quiet = False
        self._handshakes: list[Any] = []
        self._deadline = 0.0
        self._only_lifespan = False
        self._reports: Any = None

    # Signals.

    def handle_signals(self) -> None:
        """From now on SIGINT and SIGTERM stop the server, and a second one forces it."""
        for number in (signal.SIGINT, signal.SIGTERM):
            self._before[number] = signal.signal(number, self._signalled)

    def forget_signals(self) -> None:
        """Put back the handlers from before, as the server has ended."""
        for number, handler in self._before.items():
            signal.signal(number, handler)
        if self._last_resort is not None:
            self._last_resort.cancel()

    def _signalled(self, number: int, _frame: FrameType | None) -> None:
        # Runs between two instructions of whatever runs: an application that blocks the event
        # loop does not keep it from running.
        now = time.monotonic()
        if self._signalled_at is None:
            self._signalled_at = now
            self._last_resort = threading.Timer(self._longest(), self._exit, (number,))
            self._last_resort.daemon = True
            self._last_resort.start()
            self._server.stop()
        elif now - self._signalled_at < TOGETHER_SECONDS:
            return
        elif self._server.stopping:
            self._server.reactor.callFromThread(self._force)
        else:  # the event loop has not even come round to the first one
            self._exit(number)

    def _longest(self) -> float:
        options = self._server.options
        return (
            options.graceful_timeout + options.lifespan_timeout + 2 * LEAVE_SECONDS + MARGIN_SECONDS
        )

    def _exit(self, number: int) -> None:
        main = threading.main_thread().ident or 0
        log.critical("The event loop does not stop; ending the process. It is in:\n%s",
                     stack_of_thread(main))  # fmt: skip
        logging.shutdown()
        os._exit(128 + number)

    def _force(self) -> None:
        log.warning("Second signal: stopping without waiting any longer")
        self.force()

    def force(self) -> None:
        """Wait no longer, here and in the server that redirects to this one."""
        self._forced = True
        if self._server.redirecting is not None:
            self._server.redirecting.force_stop()

    # The stop.

    async def drain(self) -> None:
        """Run the whole stop; the reactor waits for it."""
        server = self._server
        server.stopping = True
        self.quiet = self.quiet or not server.accepting  # it has never served: nothing to tell
        patience = server.options.graceful_timeout
        self._deadline = server.loop.time() + patience
        self._report()
        try:
            await self._drain_ports()
            for connection in list(server.connections):
                connection.server_stops()
            if not await self._until_quiet(min(IDLE_GRACE_SECONDS, patience)):
                await self._end_grace()
            if not await self._until_quiet(self._deadline - server.loop.time()):
                await self._end_applications()
            for connection in list(server.connections):
                connection.transport.abortConnection()
            self._only_lifespan = True
            await server.end_lifespan(FORCED_SECONDS if self._forced else None)
        finally:
            self._reports.cancel()
        if not self.quiet:
            log.info("Stopped")

    async def _end_grace(self) -> None:
        """Close what is idle: who has sent nothing by now gets FIN."""
        server = self._server
        server.idle_grace_over = True
        for factory in self._handshakes:
            factory.abort_handshakes()
        for index, connection in enumerate(list(server.connections), 1):
            if connection in server.connections:
                connection.close_when_idle()
            if index % CLOSED_AT_ONCE == 0:
                # Read what has arrived meanwhile: closing a socket with unread octets resets it.
                await asyncio.sleep(0)

    async def _end_applications(self) -> None:
        """Tell those that still run, then cancel them."""
        server = self._server
        if server.instances and not self._forced:
            log.warning(
                "Still running after %s: %s; telling them to end",
                counted(server.options.graceful_timeout, "second"),
                counted(len(server.instances), "application"),
            )
        for connection in list(server.connections):
            connection.disconnect_application()
        if not await self._until_quiet(LEAVE_SECONDS):
            self._cancel()
            await self._until_quiet(LEAVE_SECONDS)

    async def _drain_ports(self) -> None:
        """Listen no more, and serve everybody whom the kernel has accepted (RFC 9112, 9.6)."""
        server = self._server
        ports = list(server.listeners)
        self._handshakes = [factory for port in ports for factory in _handshakes_of(port)]
        if server.accepting:
            await asyncio.gather(*map(_drain_port, ports))
        await self.close_ports().asFuture(server.loop)

    @inlineCallbacks
    def close_ports(self) -> Generator[Deferred[Any], Any, None]:
        """Listen no more."""
        listeners, self._server.listeners[:] = self._server.listeners[:], []
        for port in listeners:
            try:
                yield maybeDeferred(port.stopListening)
            except Exception:
                log.exception("A port did not stop listening")

    async def _until_quiet(self, seconds: float) -> bool:
        """Wait until no connection and no application is left; False at the deadline."""
        server = self._server
        clock = server.loop.time
        now = clock()
        deadline, next_tell = now + seconds, now + TELL_SECONDS
        # Looking every few milliseconds while stopping spares every request a notification.
        while server.connections or server.instances or any(map(_is_busy, self._handshakes)):
            now = clock()
            if self._forced or now >= deadline:
                return False
            if now >= next_tell:
                next_tell = now + TELL_SECONDS
                for owner in list(server.instances):
                    owner.server_stops()  # a stream of events may have begun since
            await asyncio.sleep(LOOK_SECONDS)
        return True

    # What it says.

    def _report(self) -> None:
        """Say what the stop waits for, now and every few seconds."""
        loop = self._server.loop
        first = self._reports is None
        self._reports = loop.call_later(REPORT_SECONDS, self._report)
        if self.quiet:
            return
        awaited = self._awaited()
        how = "; a second signal stops it at once" if self._before else ""
        if first:
            limit = f"{self._server.options.graceful_timeout:g} s"
            how = f": waiting at most {limit} for {awaited}{how}" if awaited else ""
            log.info("Stopping%s", how)
        elif self._only_lifespan:
            log.info("Still stopping: waiting for lifespan.shutdown of the application%s", how)
        else:
            left = max(0.0, self._deadline - loop.time())
            log.info("Still stopping: waiting %.0f s more for %s%s", left, awaited, how)

    def _awaited(self) -> str:
        """The requests and connections that are left, in words; empty when there are none."""
        server = self._server
        instances, connections = list(server.instances), len(server.connections)
        parts = []
        if instances:
            named = ", ".join(map(str, instances[:MAX_NAMED]))
            more = ", ..." if len(instances) > MAX_NAMED else ""
            parts.append(f"{counted(len(instances), 'application')} ({named}{more})")
        if connections:
            parts.append(counted(connections, "connection"))
        return " and ".join(parts)

    def _cancel(self) -> None:
        for owner, task in list(self._server.instances.items()):
            where, stack = stuck_at(task)
            log.warning("%s does not end; cancelling it; %s\n%s", owner, where, stack)
            task.cancel()


def _is_busy(factory: Any) -> bool:
    return bool(factory.handshaking)


def _handshakes_of(port: Any) -> Iterator[Any]:
    """The factories of a port whose connections may have no protocol yet."""
    factory = getattr(port, "factory", None)
    while factory is not None:
        if IHandshakes.providedBy(factory):
            yield factory
        factory = getattr(factory, "wrapped", None) or getattr(factory, "wrappedFactory", None)


async def _drain_port(port: Any) -> None:
    """Accept what the kernel has accepted: closing the port would reset it."""
    try:
        if IDrainsQueue.providedBy(port):
            await port.close_when_drained()
        elif isinstance(port, tcp.Port):  # of Twisted's stock reactor
            for _ in range(MAX_STOCK_READS):
                if not select.select([port], [], [], 0)[0]:
                    break
                port.doRead()
    except Exception:
        log.exception("The listen queue of a port was not drained")


def leave_threads() -> bool:
    """Give threads a last while; what they do then is named, and left.

    Python joins them before it exits, so one that blocks for ever would keep the process.

    Returns:
        False when some are still there: only os._exit ends the process then.
    """
    deadline = time.monotonic() + LEAVE_SECONDS
    told = False
    while remaining := threads.awaited():
        try:
            time.sleep(LOOK_SECONDS)
            impatient = False
        except KeyboardInterrupt:
            impatient = True
        busy = [thread for thread in remaining if thread.frames]
        if impatient or time.monotonic() >= deadline:
            for thread in busy:
                where, stack = _own_place(thread.frames)
                log.critical(
                    "Thread %s does not end; leaving without it. It is at %s\n%s",
                    thread.name, where, stack,
                )  # fmt: skip
            return False
        if busy and not told and time.monotonic() >= deadline - LEAVE_SECONDS + TELL_SECONDS:
            told = True
            names = ", ".join(thread.name for thread in busy[:MAX_NAMED])
            log.info("Waiting at most %g s for threads: %s", LEAVE_SECONDS, names)
    return True


def _own_place(frames: list[FrameType]) -> tuple[str, str]:
    """Return the application's innermost line, and the stack from its outermost one on."""
    own = [index for index, frame in enumerate(frames) if is_own(frame)] or [0, len(frames) - 1]
    stack = "\n".join(f"  {place(frame)}" for frame in frames[own[0] :])
    return place(frames[own[-1]]), stack
