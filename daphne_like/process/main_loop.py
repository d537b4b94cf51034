"""Runs a server as the main part of its process: the reactor starts and stops with the server."""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Callable
from typing import Any, Protocol

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from daphne_like.exceptions import ConfigurationError
from daphne_like.options import Options
from daphne_like.process.exit import LEAVE_SECONDS
from daphne_like.process.sighup import Reloadable, install_sighup_reload
from daphne_like.process.signals import StopSignals
from daphne_like.runtime.drain import Drain
from daphne_like.runtime.drain_plan import DrainPlan

log = logging.getLogger("daphne_like.server")

CANNOT_START_STATUS = 1
LOOP_STOPPED_STATUS = 1


class Runnable(Reloadable, Protocol):
    """The part of a server that its process needs."""

    loop: asyncio.AbstractEventLoop
    options: Options
    drainer: Drain
    signal_handlers: bool
    exit_status: int
    end: Callable[[], None] | None

    @property
    def stopping(self) -> bool:
        """True after a stop has begun."""

    async def start(self) -> None:
        """Bind, start the application, accept."""

    async def drain(self) -> None:
        """Stop gracefully."""

    def force_stop(self) -> None:
        """End the stop at once."""

    def listen_error(self, failure: Failure) -> None:
        """Give up the start because a port cannot be bound."""

    def give_up(self, sentence: str, exit_status: int) -> None:
        """Stop without having served."""


def run_reactor(server: Runnable) -> None:
    """Run the reactor until the server has stopped, and set `server.exit_status`."""
    reactor = server.reactor
    server.end = lambda: stop_reactor(reactor)
    reactor.callWhenRunning(_spawn, server)
    reactor.addSystemEventTrigger("before", "shutdown", _drain_and_release, server)
    restore = []
    if server.signal_handlers:
        signals = StopSignals(
            lambda number: _stop_for(server, number), server.force_stop, lambda: server.stopping
        )
        server.drainer.has_signals = True
        reactor.callWhenRunning(signals.install)
        restore = [signals.restore, install_sighup_reload(server)]
    reactor.run(installSignalHandlers=server.signal_handlers)
    # The reactor returns too early if the application stops the event loop (`loop.stop()`).
    while reactor.running:
        if not server.stopping:
            log.critical("The application has stopped the event loop: stopping the server")
            server.exit_status = server.exit_status or LOOP_STOPPED_STATUS
            stop_reactor(reactor)
        server.loop.run_forever()
    for put_back in restore:
        put_back()


def _stop_for(server: Runnable, number: int) -> float:
    """Begin the stop that a signal asks for; return the maximum seconds that it takes."""
    plan = DrainPlan.patient if number == signal.SIGTERM else DrainPlan.quick
    server.drainer.plan = plan(server.options)
    server.stop()
    return server.drainer.limit


def stop_reactor(reactor: Any) -> None:
    """Stop a reactor that may be stopping already."""
    from twisted.internet.error import ReactorNotRunning

    try:
        reactor.stop()
    except ReactorNotRunning:
        pass


_starting: set[asyncio.Task[None]] = set()
"""Tasks are kept here, because an event loop refers to them weakly."""


def _spawn(server: Runnable) -> None:
    task = server.loop.create_task(_start_or_give_up(server))
    _starting.add(task)
    task.add_done_callback(_starting.discard)


async def _start_or_give_up(server: Runnable) -> None:
    try:
        await server.start()
    except ConfigurationError as error:
        if server.stopping:  # the stop has cancelled the startup
            return
        if error.exit_status == CANNOT_START_STATUS:
            server.listen_error(Failure(error))
        else:
            server.give_up(str(error), error.exit_status)
    except Exception as error:
        log.debug("Starting failed", exc_info=True)
        server.give_up(f"Cannot start: {type(error).__name__}: {error}", CANNOT_START_STATUS)


def _drain_and_release(server: Runnable) -> Deferred[None]:
    return Deferred.fromFuture(server.loop.create_task(_drain_then_release(server)))


async def _drain_then_release(server: Runnable) -> None:
    from daphne_like.reactor.core import NativeReactor

    server.notifier.stopping(server.drainer.limit + LEAVE_SECONDS)
    await server.drain()
    if isinstance(server.reactor, NativeReactor):
        server.reactor.release_threads()
