"""The stages of a server's life, and the checks that run periodically in it."""

from __future__ import annotations

import asyncio
import enum
import logging
from collections.abc import Callable
from typing import Any

from daphne_like.runtime.context import ServerContext
from daphne_like.runtime.timer_wheel import TICK_SECONDS

log = logging.getLogger("daphne_like.server")


class Stage(enum.IntEnum):
    """Where a server stands, in the order of its life; stages may be left out, none comes again."""

    NEW = enum.auto()
    BOUND = enum.auto()  # ports listen, nobody is accepted
    STARTING = enum.auto()  # the application's lifespan starts
    SERVING = enum.auto()
    DRAINING = enum.auto()  # no new connections; requests on their way are served
    CLOSING = enum.auto()  # and idle connections are closed
    STOPPED = enum.auto()


class Lifecycle:
    """Moves a server from stage to stage, and tells its connections' contexts.

    Args:
        context: of the connections.
        checks: called at each tick; one that raises keeps none of the others from running.
    """

    def __init__(self, context: ServerContext, checks: tuple[Callable[[], object], ...]) -> None:
        self.stage = Stage.NEW
        self._contexts = [context]
        self._checks = checks
        self._loop: asyncio.AbstractEventLoop
        self._next: asyncio.TimerHandle | None = None

    def enter(self, stage: Stage) -> None:
        """Enter a stage; nothing if it, or a later one, has been reached."""
        if stage <= self.stage:
            return
        self.stage = stage
        for context in self._contexts:
            # A server without ports, as in a twisted.web site, accepts from the beginning.
            if stage is not Stage.STARTING:
                context.accepting = stage is not Stage.BOUND
            context.draining = stage >= Stage.DRAINING
            context.idle_grace_over = stage >= Stage.CLOSING

    def share(self, **changed: Any) -> ServerContext:
        """Return a sibling of the context, which is told of the stages, too."""
        self._contexts.append(self._contexts[0].sibling(**changed))
        return self._contexts[-1]

    @property
    def is_stopping(self) -> bool:
        """Whether a stop has begun."""
        return self.stage >= Stage.DRAINING

    def start_ticking(self, loop: asyncio.AbstractEventLoop) -> None:
        """Run the checks now, and twice a second from now on."""
        self._loop = loop
        self.tick()

    def stop_ticking(self) -> None:
        """Run no more checks."""
        if self._next is not None:
            self._next.cancel()
            self._next = None

    def tick(self) -> None:
        """Run every check once."""
        self._next = self._loop.call_later(TICK_SECONDS, self.tick)
        for check in self._checks:
            try:
                check()
            except Exception:
                log.exception("A periodic check failed; it is tried again at the next tick")
