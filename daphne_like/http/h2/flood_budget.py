"""What a peer of HTTP/2 may make us do: for nothing, and in one turn of the event loop.

`Budget` bounds frames that ask for nothing (S13, S14, S15, S17): a peer that has used it up has to
go. `MAX_TURN_COST` bounds what one connection does before others have their turn (S27).
"""

from __future__ import annotations

from collections.abc import Callable

BURST = 400.0
"""Frames that make work and carry none, at once: resets, pings, settings, priorities."""
REFILL = 40.0
"""The same, in each second."""

FRAME_CHARGE = 1.0
"""Costs one: a reset from either side, a ping, settings, an empty frame, one that is unknown."""
SMALL_CHANGE = 0.1
"""Costs a tenth: what a careful receiver of a large body sends with every few frames of it."""
MIN_INCREMENT = 1024
"""Octets of a WINDOW_UPDATE from which it is small change; those who dribble pay in full."""
RESPONSE_CREDIT = 1.0
"""An answered request earns one."""
FRAME_SENT = 4.0
"""A DATA frame earns four, or as many KiB as it has where the peer's window cut it short: a client
may acknowledge each one on the stream and on the connection, or measure the way with a ping."""


MIN_DATA = 32
"""Octets in a DATA frame from which it costs nothing: with fewer, the frame is most of the work."""
SMALL_DATA = 0.03
"""Costs an octet's worth of that: a keystroke is free in practice, a flood of octets is not."""
SECTION_COST = 250.0
"""Cost of decoding a field section (see below) that is worth a frame."""
FREE_SECTION = 4096
"""Octets of an encoded field section that cost the budget nothing."""
FREE_FIELDS = 256
"""Fields of a section that cost the budget nothing."""

MAX_TURN_COST = 4000
"""What a connection may cost in one turn of the event loop; the costs below are in microseconds,
as measured on one machine, so a turn takes a few milliseconds."""
READ_COST = 5
"""Of a read, however little it brings: with TLS each record is one."""
DATA_COST = 3
"""Of a DATA frame, and one for every 2048 octets that it carries."""
FRAME_COST = 20
"""Of any other frame."""
REQUEST_COST = 30
"""Of a request, apart from decoding its fields."""
FIELD_COST = 4
"""Of decoding a field, and checking it."""
OCTETS_A_COST = 5
"""Octets of Huffman code that are decoded for a cost of one."""


def small_data_cost(size: int) -> float:
    """What a DATA frame costs the budget that carries fewer than MIN_DATA octets."""
    return SMALL_DATA * (MIN_DATA - size) / MIN_DATA


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

    def spend(self, cost: float = FRAME_CHARGE) -> bool:
        """Pay for a frame; False when there is nothing left to pay it with."""
        self.left -= cost
        if self.left >= 0:
            return True
        # The clock is asked when it must be: honest peers never come here.
        now = self._clock()
        self.left = min(BURST, self.left + (now - self._at) * REFILL)
        self._at = now
        return self.left >= 0
