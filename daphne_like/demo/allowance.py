"""How much a peer may do in a time: a token bucket on a clock that is a parameter."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class Allowance:
    """So many in a second on average, and as many at once by who has been quiet.

    Args:
        per_second: the rate, and the most that may be saved up.
        clock: tells the time in seconds.
    """

    def __init__(self, per_second: float, clock: Callable[[], float]) -> None:
        self._per_second = self._saved = per_second
        self._clock = clock
        self._counted = clock()

    def take(self) -> bool:
        """Take one, if there is one."""
        now = self._clock()
        earned = (now - self._counted) * self._per_second
        self._saved = min(self._per_second, self._saved + earned)
        self._counted = now
        if self._saved < 1:
            return False
        self._saved -= 1
        return True
