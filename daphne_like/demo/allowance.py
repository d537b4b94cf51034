"""A rate limit for a peer: a token bucket with an injected clock."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class Allowance:
    """A token bucket: an average rate, with bursts of one second's tokens after a pause.

    Args:
        per_second: the rate, and the maximum number of saved tokens.
        clock: returns seconds.
    """

    def __init__(self, per_second: float, clock: Callable[[], float]) -> None:
        self._per_second = self._saved = per_second
        self._clock = clock
        self._counted = clock()

    def take(self) -> bool:
        """Take a token; return False if no token is left."""
        now = self._clock()
        earned = (now - self._counted) * self._per_second
        self._saved = min(self._per_second, self._saved + earned)
        self._counted = now
        if self._saved < 1:
            return False
        self._saved -= 1
        return True
