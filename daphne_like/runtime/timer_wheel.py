"""When somebody has waited long enough: one coarse timer for every wait of the server."""

from __future__ import annotations

import logging
import weakref
from collections.abc import Callable
from typing import Protocol

log = logging.getLogger("daphne_like.server")

NEVER = float("inf")

TICK_SECONDS = 0.5
"""Seconds between two looks; a deadline is enforced at most this much late."""

MAX_LOOKAHEAD_SECONDS = 64.0
"""Seconds after which at the latest something is looked at: what is gone by then leaves the wheel,
though its deadline was a day away."""


class HasDeadline(Protocol):
    """What can be late: a connection, a session, an application after its disconnect."""

    deadline: float
    """When `deadline_passed` is due, in seconds of the clock; NEVER for no wait."""

    scheduled_at: float
    """When the wheel looks next; the wheel's own, NEVER while it is not on the wheel."""

    def deadline_passed(self) -> None:
        """Called once when `deadline` lies in the past."""


class TimerWheel:
    """A wheel of ticks. Moving a deadline later is one store, without calling the wheel.

    What stands on the wheel is looked at when its first deadline was; if that has moved on, it
    is put where the new one is. So ten thousand idle connections cost a few hundred looks a
    second instead of ten thousand.

    Args:
        clock: seconds, monotonic.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self.clock = clock
        self.now = clock()
        """The time of the last tick: early by a TICK at most, and free to read."""
        # What is gone before its deadline must not stay in memory until then.
        self._slots: dict[int, list[weakref.ref[HasDeadline]]] = {}
        self._next = int(self.now / TICK_SECONDS)

    def add(self, waiting: HasDeadline) -> None:
        """Look after something whose `deadline` is set and earlier than its `scheduled_at`."""
        waiting.scheduled_at = look = min(waiting.deadline, self.now + MAX_LOOKAHEAD_SECONDS)
        slot = max(int(look / TICK_SECONDS) + 1, self._next)
        self._slots.setdefault(slot, []).append(weakref.ref(waiting))

    def tick(self) -> None:
        """Enforce what is due. May be called at any time, twice too."""
        self.now = now = self.clock()
        if not self._slots:
            self._next = int(now / TICK_SECONDS)
            return
        while self._next * TICK_SECONDS <= now:
            # First the step, then the looks: what they add belongs to a slot that is to come.
            slot = self._slots.pop(self._next, ())
            self._next += 1
            for reference in slot:
                waiting = reference()
                # A thing stands in two slots after its deadline was moved earlier: the later
                # slot finds it looked at already.
                if waiting is not None and waiting.scheduled_at <= now:
                    self._look(waiting, now)

    def _look(self, waiting: HasDeadline, now: float) -> None:
        waiting.scheduled_at = NEVER
        if waiting.deadline <= now:
            waiting.deadline = NEVER
            try:
                waiting.deadline_passed()
            except Exception:
                log.exception("Enforcing a deadline failed for %r", waiting)
        elif waiting.deadline != NEVER:
            self.add(waiting)
