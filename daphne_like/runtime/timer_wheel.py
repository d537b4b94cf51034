"""One coarse timer wheel for all deadlines of a server."""

from __future__ import annotations

import logging
import weakref
from collections.abc import Callable
from typing import Protocol

log = logging.getLogger("daphne_like.server")

NEVER = float("inf")

TICK_SECONDS = 0.5
"""Seconds between two checks; a deadline is enforced at most this much late."""

MAX_LOOKAHEAD_SECONDS = 64.0
"""Maximum seconds between two checks of one entry, so that a dead object leaves the wheel long
before its deadline."""


class HasDeadline(Protocol):
    """An object with a deadline, such as a connection or a timer of a WebSocket."""

    deadline: float
    """Time at which `deadline_passed` is due, in seconds of the clock; NEVER for no deadline."""

    scheduled_at: float
    """Time of the next check, set by the wheel; NEVER while the object is not on the wheel."""

    def deadline_passed(self) -> None:
        """Handle the expired deadline; called once for each deadline."""


class TimerWheel:
    """A timer wheel. Moving a deadline later is one store, without calling the wheel.

    An entry is checked at its first deadline. If the deadline has moved, the entry is scheduled
    again. So ten thousand idle connections cost a few hundred checks a second instead of ten
    thousand.

    Args:
        clock: returns monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self.clock = clock
        self.now = clock()
        """Time of the last tick: at most one tick old, and cheaper to read than the clock."""
        # Weak references, so that a dead object does not stay in memory until its deadline.
        self._slots: dict[int, list[weakref.ref[HasDeadline]]] = {}
        self._next = int(self.now / TICK_SECONDS)

    def add(self, waiting: HasDeadline) -> None:
        """Schedule an object whose `deadline` is earlier than its `scheduled_at`."""
        waiting.scheduled_at = scheduled = min(waiting.deadline, self.now + MAX_LOOKAHEAD_SECONDS)
        slot = max(int(scheduled / TICK_SECONDS) + 1, self._next)
        self._slots.setdefault(slot, []).append(weakref.ref(waiting))

    def tick(self) -> None:
        """Enforce expired deadlines. It may be called at any time, any number of times."""
        self.now = now = self.clock()
        if not self._slots:
            self._next = int(now / TICK_SECONDS)
            return
        while self._next * TICK_SECONDS <= now:
            # Advance before the checks: they may add entries, which belong to later slots.
            slot = self._slots.pop(self._next, ())
            self._next += 1
            for reference in slot:
                waiting = reference()
                # An entry whose deadline was moved earlier is in two slots; the later slot finds
                # that the entry has been checked.
                if waiting is not None and waiting.scheduled_at <= now:
                    self._check(waiting, now)

    def _check(self, waiting: HasDeadline, now: float) -> None:
        waiting.scheduled_at = NEVER
        if waiting.deadline <= now:
            waiting.deadline = NEVER
            try:
                waiting.deadline_passed()
            except Exception:
                log.exception("%s Enforcing a deadline failed", waiting)
        elif waiting.deadline != NEVER:
            self.add(waiting)
