"""The application's startup, and what runs from then until the end of its shutdown."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest

from daphne_like.exceptions import ConfigurationError
from daphne_like.runtime.lifecycle import Stage
from tests.support.memory import Memory

Serve = Callable[..., Memory]
WATCHDOG = "daphne-like-watchdog"


class Living:
    """An application with a lifespan; `events` has the types of those that it has received."""

    def __init__(self, reply: str = "complete") -> None:
        self.reply = reply
        self.events: list[str] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        while self.events[-1:] != ["lifespan.shutdown"]:
            self.events.append((await receive())["type"])
            await send({"type": f"{self.events[-1]}.{self.reply}"})


def watchdogs() -> int:
    """Return how many watchdogs watch."""
    return sum(thread.name == WATCHDOG for thread in threading.enumerate())


def watchdog_ends() -> bool:
    """Wait until no watchdog watches, for at most ten seconds."""
    for thread in threading.enumerate():
        if thread.name == WATCHDOG:
            thread.join(10)
    return watchdogs() == 0


def ticks(memory: Memory) -> bool:
    """Tell whether a next run of the periodic checks is due."""
    return memory.server.lifecycle._next is not None


class TestStartup:
    """L05 and L08: what `run` starts, `end` ends."""

    def test_from_begin_to_end(self, serve: Serve) -> None:
        """The lifespan's two events, the checks and the watchdog."""
        application = Living()
        memory = serve(application, stall_warning=5, lifespan="on")
        memory.loop.run_until_complete(memory.server.startup())
        assert application.events == ["lifespan.startup"]
        assert (memory.server.lifecycle.stage, ticks(memory)) == (Stage.STARTING, True)
        assert watchdogs() == 1
        memory.loop.run_until_complete(memory.server.end_lifespan())
        assert application.events == ["lifespan.startup", "lifespan.shutdown"]
        assert not ticks(memory)
        assert watchdog_ends()

    def test_a_startup_that_fails(self, serve: Serve) -> None:
        """What has been started is ended by the stop, though the lifespan has ended."""
        application = Living("failed")
        memory = serve(application, stall_warning=5, lifespan="on")
        with pytest.raises(ConfigurationError, match="Application startup failed"):
            memory.loop.run_until_complete(memory.server.startup())
        assert (ticks(memory), watchdogs()) == (True, 1)
        stopping = memory.stops()
        memory.passes(1)
        assert stopping.done()
        assert not ticks(memory)
        assert watchdog_ends()
        assert application.events == ["lifespan.startup"]

    def test_beats(self, serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
        """Each run of the checks tells the watchdog that the event loop runs."""
        beats: list[bool] = []
        monkeypatch.setattr(
            "daphne_like.observe.watchdog.Watchdog.beat", lambda _self: beats.append(True)
        )
        memory = serve(Living(), stall_warning=5)
        memory.loop.run_until_complete(memory.server.startup())
        memory.server.lifecycle.tick()
        memory.loop.run_until_complete(memory.server.end_lifespan())
        assert beats == [True]
        assert watchdog_ends()

    def test_never_started(self, serve: Serve) -> None:
        """A server that is stopped before its startup runs no lifespan."""
        application = Living()
        memory = serve(application, stall_warning=5)
        memory.loop.run_until_complete(asyncio.wait_for(memory.server.end_lifespan(), 10))
        assert application.events == []
