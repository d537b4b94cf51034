"""Tells applications of a stop, evenly over some seconds, so that clients return one by one."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

from daphne_like.runtime.drain_plan import DrainPlan

CHECK_INTERVAL_SECONDS = 0.5
"""Seconds between two checks for WebSockets and event streams that have begun since the stop."""


class StopNotices:
    """The notices of one stop.

    An open WebSocket and an event stream have no end of their own, so each is told when its turn
    has come. All other exchanges are told at once, in case the stop concerns them.

    Args:
        running: exchanges and sessions whose applications run; read again at each check.
        clock: returns monotonic seconds.
        plan: says how long it takes to tell all of them.
    """

    def __init__(
        self, running: Mapping[Any, object], clock: Callable[[], float], plan: DrainPlan
    ) -> None:
        self._running = running
        self._clock = clock
        self._waiting = deque(owner for owner in running if owner.is_endless)
        count = len(self._waiting)
        self._interval = plan.spread_for(count) / count if count else 0.0
        now = clock()
        self._due = now
        self._next_check = now

    def tell_due(self) -> None:
        """Tell the applications whose turn has come, and those that have begun since the stop."""
        now = self._clock()
        waiting = self._waiting
        while waiting and self._due <= now:
            waiting.popleft().server_stops()
            self._due += self._interval
        if now >= self._next_check:
            self._next_check = now + CHECK_INTERVAL_SECONDS
            later = set(waiting)
            for owner in list(self._running):
                if owner not in later:
                    owner.server_stops()

    def tell_all(self) -> None:
        """Tell all applications now."""
        self._waiting.clear()
        for owner in list(self._running):
            owner.server_stops()
