"""Limits the work that an HTTP/2 peer can cause.

`Budget` limits frames that cause work without requesting anything (S13, S14, S15, S17); the
connection of a peer that has spent it is closed. `MAX_TURN_COST` limits the work for one connection
in one iteration of the event loop (S27).
"""

from __future__ import annotations

from collections.abc import Callable

BURST = 400.0
"""Charge that a peer may spend at once, by frames such as resets, pings, settings, priorities."""
REFILL = 40.0
"""Charge that a peer may spend per second in the long run."""

FRAME_CHARGE = 1.0
"""Charge for a reset by either side, a ping, settings, an empty frame or an unknown frame."""
SMALL_CHANGE = 0.1
"""Charge for a frame that receivers of large bodies send often, such as WINDOW_UPDATE."""
MIN_INCREMENT = 1024
"""Octets of a WINDOW_UPDATE from which it costs SMALL_CHANGE; a smaller one costs FRAME_CHARGE."""
RESPONSE_CREDIT = 1.0
"""Credit for a request that got its response."""
FRAME_SENT = 4.0
"""Credit for sending a DATA frame, or one per KiB for a frame cut short by the peer's window. A
client may acknowledge each frame on the stream and on the connection, or measure the round trip
with a ping."""


MIN_DATA = 32
"""Octets in a DATA frame from which it is free; a smaller frame is mostly overhead."""
SMALL_DATA = 0.03
"""Maximum charge for a small DATA frame: keystrokes are practically free, a flood is not."""
SECTION_COST = 250.0
"""Cost of decoding a field section (see below) for which one FRAME_CHARGE is due."""
FREE_SECTION = 4096
"""Octets of an encoded field section up to which decoding is free."""
FREE_FIELDS = 256
"""Fields of a section up to which decoding is free."""

MAX_TURN_COST = 4000
"""Maximum cost of one connection in one iteration of the event loop. The costs below are in
microseconds, measured on one machine, so an iteration takes a few milliseconds."""
READ_COST = 5
"""Cost of a read of any size; with TLS, each record is one read."""
DATA_COST = 3
"""Cost of a DATA frame; every 2048 octets of content cost one more."""
FRAME_COST = 20
"""Cost of any other frame."""
REQUEST_COST = 30
"""Cost of a request without decoding its fields."""
FIELD_COST = 4
"""Cost of decoding and checking a field."""
OCTETS_A_COST = 5
"""Octets of Huffman code whose decoding costs one."""


def small_data_cost(size: int) -> float:
    """Return the charge for a DATA frame with fewer than MIN_DATA octets."""
    return SMALL_DATA * (MIN_DATA - size) / MIN_DATA


class Budget:
    """A token bucket: useful work and time fill it; frames that only cause work empty it.

    Args:
        clock: returns monotonic seconds.

    Attributes:
        left: the remaining budget, at most BURST.
    """

    __slots__ = ("_at", "_clock", "left")

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self.left = BURST
        self._at = clock()

    def earn(self, amount: float) -> None:
        """Add credit for useful work."""
        left = self.left + amount
        self.left = left if left < BURST else BURST

    def spend(self, cost: float = FRAME_CHARGE) -> bool:
        """Charge the budget; return False if it is exhausted."""
        self.left -= cost
        if self.left >= 0:
            return True
        # The clock is read only here, where honest peers never arrive.
        now = self._clock()
        self.left = min(BURST, self.left + (now - self._at) * REFILL)
        self._at = now
        return self.left >= 0
