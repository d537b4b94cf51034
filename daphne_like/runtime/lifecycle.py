"""The stages of a server's life, and its periodic checks."""

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
    """The stages of a server, in order; a stage may be skipped, but no stage is entered twice."""

    NEW = enum.auto()
    BOUND = enum.auto()  # ports listen, no connection is accepted
    STARTING = enum.auto()  # lifespan startup of the application runs
    SERVING = enum.auto()
    LEAVING = enum.auto()  # connections are accepted as before, but the server is not ready
    DRAINING = enum.auto()  # no new connections; requests on their way are served
    CLOSING = enum.auto()  # idle connections are closed
    STOPPED = enum.auto()


class Lifecycle:
    """Moves a server from stage to stage, and updates the contexts of its connections.

    Args:
        context: the context of the connections.
        checks: called at each tick; the other checks still run if one raises.
    """

    def __init__(self, context: ServerContext, checks: tuple[Callable[[], object], ...]) -> None:
        self.stage = Stage.NEW
        self._contexts = [context]
        self._checks = [*checks]
        self._loop: asyncio.AbstractEventLoop
        self._next: asyncio.TimerHandle | None = None

    def enter(self, stage: Stage) -> None:
        """Enter a stage, unless it or a later one has been reached."""
        if stage <= self.stage:
            return
        self.stage = stage
        for context in self._contexts:
            # A server without ports (in a twisted.web site) accepts from the beginning. One that is
            # stopped before it serves never accepts.
            if stage in (Stage.BOUND, Stage.SERVING):
                context.accepting = stage is Stage.SERVING
            context.draining = stage >= Stage.DRAINING
            context.idle_grace_over = stage >= Stage.CLOSING

    def share(self, **changed: Any) -> ServerContext:
        """Return a sibling of the context that also follows the stages."""
        self._contexts.append(self._contexts[0].sibling(**changed))
        return self._contexts[-1]

    @property
    def is_ready(self) -> bool:
        """True if a load balancer should send requests; False from the first moment of a stop."""
        return self.stage is Stage.SERVING

    @property
    def is_stopping(self) -> bool:
        """True after a stop has begun."""
        return self.stage >= Stage.LEAVING

    def add_check(self, check: Callable[[], object]) -> None:
        """Run one more check at each tick."""
        self._checks.append(check)

    def start_ticking(self, loop: asyncio.AbstractEventLoop) -> None:
        """Run the checks now and then once per tick."""
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
