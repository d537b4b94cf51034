"""What a peer of HTTP/2 may ask of us for nothing, before it has to go (S13, S14, S15, S17)."""

from __future__ import annotations

from collections.abc import Callable

BURST = 400.0
"""Frames that make work and carry none, at once: resets, pings, settings, priorities."""
REFILL = 40.0
"""The same, in each second."""

FRAME = 1.0
"""Costs one: a reset from either side, a ping, settings, an empty frame, one that is unknown."""
SMALL_CHANGE = 0.1
"""Costs a tenth: what a careful receiver of a large body sends with every few frames of it."""
LEAST_INCREMENT = 1024
"""Octets of a WINDOW_UPDATE from which it is small change; those who dribble pay in full."""
ANSWERED = 1.0
"""An answered request earns one."""
FRAME_SENT = 4.0
"""A DATA frame earns four, or as many KiB as it has where the peer's window cut it short: a client
may acknowledge each one on the stream and on the connection, or measure the way with a ping."""


class Budget:
    """A bucket that honest work and time fill, and frames that ask for nothing empty.

    Args:
        clock: seconds, monotonic.

    Attributes:
        left: at most BURST.
    """

    __slots__ = ("_at", "_clock", "left")

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self.left = BURST
        self._at = clock()

    def earn(self, amount: float) -> None:
        """The peer has asked for something, and has it."""
        left = self.left + amount
        self.left = left if left < BURST else BURST

    def spend(self, cost: float = FRAME) -> bool:
        """Pay for a frame; False when there is nothing left to pay it with."""
        self.left -= cost
        if self.left >= 0:
            return True
        # The clock is asked when it must be: honest peers never come here.
        now = self._clock()
        self.left = min(BURST, self.left + (now - self._at) * REFILL)
        self._at = now
        return self.left >= 0
