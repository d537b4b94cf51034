"""An event loop whose clock jumps: pauses take no time, and a wait without end fails at once."""

from __future__ import annotations

import asyncio
import selectors
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator


class JumpingLoop(asyncio.SelectorEventLoop):
    """Where another loop would sleep until its next timer, this one is there already."""

    def __init__(self) -> None:
        self._now = 0.0
        super().__init__(JumpingSelector(self))

    def time(self) -> float:
        return self._now

    def jump(self, seconds: float) -> None:
        self._now += seconds


class JumpingSelector(selectors.SelectSelector):
    def __init__(self, loop: JumpingLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        assert timeout is not None, "everybody waits, and nothing is going to happen"
        self._loop.jump(max(timeout, 0.0))
        return super().select(0)


@pytest.fixture
def play() -> Iterator[Callable[[Coroutine[Any, Any, Any]], Any]]:
    """Runs a coroutine to its end, and holds that no task outlives it."""
    loop = JumpingLoop()

    def run(coroutine: Coroutine[Any, Any, Any]) -> Any:
        try:
            return loop.run_until_complete(coroutine)
        finally:
            assert asyncio.all_tasks(loop) == set()

    yield run
    loop.close()
