"""Delays the start of a worker that keeps ending."""

from __future__ import annotations

import random

HEALTHY_SECONDS = 60.0
"""A worker that has lived this long is replaced at once."""
FIRST_SECONDS = 1.0
MAX_SECONDS = 30.0
MAX_DOUBLINGS = 5
"""Doublings until MAX_SECONDS; more could not be computed after a thousand failures."""
JITTER = 0.2
"""Largest share by which a delay is longer, so that workers do not start together."""


class Backoff:
    """The delays of one slot: none after a long life, then 1, 2, 4 ... 30 seconds.

    Args:
        spread: the random part of each delay, from 0 to 1; None for a new one each time.
    """

    def __init__(self, spread: float | None = None) -> None:
        self._spread = spread
        self._failures = 0

    def next_delay(self, age: float) -> float:
        """Return the seconds before the next start.

        Args:
            age: seconds that the worker has lived.
        """
        if age >= HEALTHY_SECONDS:
            self._failures = 0
            return 0.0
        delay = min(MAX_SECONDS, FIRST_SECONDS * 2.0 ** min(self._failures, MAX_DOUBLINGS))
        self._failures += 1
        spread = random.random() if self._spread is None else self._spread  # noqa: S311 # no secret
        return delay * (1 + JITTER * spread)
