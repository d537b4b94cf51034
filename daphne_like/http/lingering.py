"""Lingering close: reads and discards what a peer sends after its last response (RFC 9112, 9.6).

TCP resets a connection that is closed with unread octets, and the peer may then lose the response.
So the server closes only its own side, and discards input until the peer closes the other side.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from twisted.protocols.tls import TLSMemoryBIOProtocol

from daphne_like.runtime.timeouts import Timeout

if TYPE_CHECKING:
    from daphne_like.runtime.context import ServerContext

MAX_LINGER_OCTETS = 16777216
"""Octets discarded after the last response."""
LINGER_SECONDS = 2.0
"""Seconds for a peer that has stopped sending to close its side."""
IDLE_LINGER_SECONDS = 1.0
"""The same for a connection that was idle when the server stopped."""
MAX_LINGER_SECONDS = 30.0
"""Seconds for a peer that still sends octets, which are discarded."""


class Lingers(Protocol):
    """The carrier of a last response."""

    context: ServerContext

    def set_timeout(self, timeout: Timeout, seconds: float | None) -> None:
        """See Timeouts."""


class Lingering:
    """Limits the time and the octets that a peer has after its last response.

    Args:
        carrier: has sent the response.
    """

    __slots__ = ("_discarded", "_discarded_at_check", "_end")

    def __init__(self, carrier: Lingers) -> None:
        self._discarded = 0
        self._discarded_at_check = 0
        self._end = carrier.context.clock() + MAX_LINGER_SECONDS

    def begin(self, carrier: Lingers) -> None:
        """Set the timeout after which the carrier calls `goes_on`."""
        carrier.set_timeout(Timeout.LINGER, LINGER_SECONDS)

    def discard(self, size: int) -> bool:
        """Count discarded octets; return False if the connection must be aborted."""
        self._discarded += size
        return self._discarded <= MAX_LINGER_OCTETS

    def goes_on(self, carrier: Lingers, *, is_unread: bool) -> bool:
        """Restart the timeout if the peer still sends or reads; return False if time is up.

        Args:
            carrier: its timeout has expired.
            is_unread: the peer has not read the response, because the transport is full.
        """
        is_busy = is_unread or self._discarded > self._discarded_at_check
        self._discarded_at_check = self._discarded
        if is_busy and carrier.context.clock() < self._end:
            self.begin(carrier)
            return True
        return False


def close_own_side(transport: Any) -> None:
    """Send FIN after the last response; do nothing with Twisted's TLS, which has no half-close."""
    if has_half_close(transport):
        # Otherwise the transport would wait for its producer.
        transport.unregisterProducer()
        transport.loseWriteConnection()


def has_half_close(transport: Any) -> bool:
    """Tell whether a transport can close its own side only; Twisted's TLS cannot."""
    return not isinstance(transport, TLSMemoryBIOProtocol)
