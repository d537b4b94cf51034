"""Runs autobahn's timers on the timer wheel of the server."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from daphne_like.runtime.timer_wheel import NEVER

if TYPE_CHECKING:
    from daphne_like.runtime.context import ServerContext


class Timer:
    """A delayed call of autobahn's, which holds the only strong reference to the timer."""

    __slots__ = ("__weakref__", "_call", "deadline", "scheduled_at")

    def __init__(self, deadline: float, call: Callable[[], Any]) -> None:
        self.deadline = deadline
        self.scheduled_at = NEVER
        self._call = call

    def deadline_passed(self) -> None:
        """See timer_wheel.HasDeadline."""
        self._call()

    def cancel(self) -> None:
        """Cancel the call."""
        self.deadline = NEVER


class Timers:
    """A replacement for autobahn's batched timer.

    Args:
        context: provides the timer wheel, once it has a clock.
    """

    def __init__(self, context: ServerContext) -> None:
        self._context = context

    def call_later(self, seconds: float, call: Callable[[], Any]) -> Timer:
        """Call a function after some seconds, at most half a second late."""
        deadlines = self._context.timers
        timer = Timer(deadlines.clock() + seconds, call)
        deadlines.add(timer)
        return timer
