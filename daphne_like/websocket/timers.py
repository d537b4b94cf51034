"""autobahn's timers on the server's one wheel of deadlines."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from daphne_like.runtime.timer_wheel import NEVER

if TYPE_CHECKING:
    from daphne_like.runtime.context import ServerContext


class Timer:
    """One call that autobahn wants later; it keeps the timer, the wheel does not."""

    __slots__ = ("__weakref__", "_call", "deadline", "scheduled_at")

    def __init__(self, deadline: float, call: Callable[[], Any]) -> None:
        self.deadline = deadline
        self.scheduled_at = NEVER
        self._call = call

    def deadline_passed(self) -> None:
        """See timer_wheel.HasDeadline."""
        self._call()

    def cancel(self) -> None:
        """It is not wanted any more."""
        self.deadline = NEVER


class Timers:
    """What autobahn takes for its batched timer.

    Args:
        context: for its wheel, which it has when it has a clock.
    """

    def __init__(self, context: ServerContext) -> None:
        self._context = context

    def call_later(self, seconds: float, call: Callable[[], Any]) -> Timer:
        """Call something after so many seconds, or half a second later."""
        deadlines = self._context.timers
        timer = Timer(deadlines.clock() + seconds, call)
        deadlines.add(timer)
        return timer
