"""Decides whether the ports of a server accept: they do unless there is a reason to pause.

Several parts pause the ports of one server, and none of them knows the others.
"""

from __future__ import annotations

import enum
from collections.abc import Callable


class PauseReason(enum.Enum):
    """Why the ports of a server accept nothing for a while."""

    BALANCE = enum.auto()  # other workers have fewer connections
    DESCRIPTORS = enum.auto()  # few file descriptors are free


class Accepting:
    """Opens ports once, then pauses and resumes them as the number of reasons says.

    Args:
        resume: lets the ports accept.
        pause: lets them accept nothing; clients wait in the listen queue.
    """

    def __init__(self, resume: Callable[[], None], pause: Callable[[], None]) -> None:
        self._resume = resume
        self._pause = pause
        self._reasons: set[PauseReason] = set()
        self._opened = False

    def open(self) -> None:
        """Accept from now on, unless there is a reason not to."""
        self._opened = True
        if not self._reasons:
            self._resume()

    def pause(self, reason: PauseReason) -> None:
        """Accept nothing until this reason has gone. The reason may have been given before."""
        if self._opened and not self._reasons:
            self._pause()
        self._reasons.add(reason)

    def resume(self, reason: PauseReason) -> None:
        """Forget a reason; accept again if it was the last one."""
        if reason not in self._reasons:
            return
        self._reasons.remove(reason)
        if self._opened and not self._reasons:
            self._resume()
