"""Interfaces between parts of the server that must not import each other."""

from __future__ import annotations

from collections.abc import Awaitable

from twisted.internet.interfaces import ITransport
from zope.interface import Attribute, Interface


class IMemoryviewTransport(ITransport):
    """A transport whose `write` and `writeSequence` accept memoryviews, mostly without copying.

    The buffer behind a view must stay unchanged after the call. Test with `implementedBy`, as for
    ISendfileTransport: Twisted's own transports take only bytes, and join them.
    """


class ISendfileTransport(ITransport):
    """A transport that lets the kernel send octets of a file, without copying them to Python.

    Test with `implementedBy(type(transport))`: Twisted's wrappers claim to provide every interface
    of the transport below them, but data that bypasses the TLS layer goes out in clear text.
    """

    def send_file(descriptor: int, offset: int, count: int) -> int | None:  # noqa: N805
        """Send as much of a file as the socket accepts at once, after all data written before.

        Args:
            descriptor: descriptor of a regular file; its position does not change.
            offset: offset of the first octet.
            count: maximum number of octets.
        Returns:
            Number of octets sent, 0 at the end of the file. None if the socket has no room: then
            the producer is paused until there is room or the connection is lost.
        Raises:
            OSError: the file cannot be read; the connection is unchanged.
        """


class IDrainsQueue(Interface):
    """A listening port that accepts all connections in its listen queue before it closes."""

    def close_when_drained() -> Awaitable[None]:
        """Accept every connection in the listen queue, then stop listening."""


class ITellsAccepted(Interface):
    """A listening port that tells of each connection that it has accepted."""

    accepted = Attribute("Called without arguments, before a TLS handshake or a PROXY header.")


class ITellsObserver(Interface):
    """A factory of the server's connections, through which layers below tell the observer."""

    def handshake_ended(seconds: float) -> None:  # noqa: N805
        """Tell that a TLS handshake is complete."""

    def handshake_failed(reason: str) -> None:  # noqa: N805
        """Tell that a TLS handshake has failed."""

    def refused(reason: str) -> None:  # noqa: N805
        """Tell that a connection was refused."""


class IHandshakes(Interface):
    """A factory whose connections are unknown to the server until their handshake has ended.

    Until then they have no protocol. The port may close before the handshakes end.
    """

    handshaking = Attribute("The connections in their handshake, a sized container.")

    def abort_handshakes() -> None:
        """Abort the connections in their handshake."""
