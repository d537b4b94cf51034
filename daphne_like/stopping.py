"""How a server stops: nothing new, what is in flight finished, the rest told, then cancelled."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import threading
import time
from collections.abc import Generator
from types import FrameType
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred, inlineCallbacks, maybeDeferred

from daphne_like.asgi import threads
from daphne_like.asgi.stack import place, stuck_at
from daphne_like.observe.watchdog import stack_of_thread

if TYPE_CHECKING:
    from daphne_like.server import Server

log = logging.getLogger("daphne_like.server")

LEAVE_SECONDS = 3.0
"""For applications to end after they were told, and once more after they were cancelled."""

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
    """

    def __init__(self, server: Server) -> None:
        self._server = server
        self._forced = False
        self._signalled_at: float | None = None
        self._before: dict[int, Any] = {}
        self._last_resort: threading.Timer | None = None

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
        self._forced = True

    # The stop.

    async def drain(self) -> None:
        """Run the whole stop; the reactor waits for it."""
        server = self._server
        server.stopping = True
        await self.close_ports().asFuture(server.loop)
        for connection in list(server.connections):
            connection.close_when_idle()
        if not await self._until_quiet(server.options.graceful_timeout):
            if server.instances and not self._forced:
                log.warning(
                    "%d application(s) still run after %s seconds; telling them to end",
                    len(server.instances),
                    server.options.graceful_timeout,
                )
            for connection in list(server.connections):
                connection.disconnect_application()
            if not await self._until_quiet(LEAVE_SECONDS):
                self._cancel()
                await self._until_quiet(LEAVE_SECONDS)
        for connection in list(server.connections):
            connection.transport.abortConnection()
        await server.end_lifespan(FORCED_SECONDS if self._forced else None)

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
        deadline = server.loop.time() + seconds
        # Looking every few milliseconds while stopping spares every request a notification.
        while server.connections or server.instances:
            if self._forced or server.loop.time() >= deadline:
                return False
            await asyncio.sleep(LOOK_SECONDS)
        return True

    def _cancel(self) -> None:
        for owner, task in list(self._server.instances.items()):
            where, stack = stuck_at(task)
            log.warning("%s does not end; cancelling it; %s\n%s", owner, where, stack)
            task.cancel()


def leave_threads() -> bool:
    """Give threads of executors a last while; what they do then is named, and left.

    Python joins them before it exits, so one that blocks for ever would keep the process.

    Returns:
        False when some are still at work: only os._exit ends the process then.
    """
    deadline = time.monotonic() + LEAVE_SECONDS
    while busy := threads.at_work():
        if time.monotonic() >= deadline:
            for name, frames in busy:
                places = "\n".join(f"  {place(frame)}" for frame in frames)
                log.critical(
                    "Thread %s does not end; leaving without it. It is in:\n%s", name, places
                )
            return False
        time.sleep(LOOK_SECONDS)
    return True
