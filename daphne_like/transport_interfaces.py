"""What the parts of the server ask of each other where neither may import the other."""

from __future__ import annotations

from collections.abc import Awaitable

from twisted.internet.interfaces import ITransport
from zope.interface import Attribute, Interface


class IMemoryviewTransport(ITransport):
    """A transport whose `write` and `writeSequence` take views of octets, uncopied where it can.

    The buffer behind a view must stay unchanged after the call. Test with `implementedBy`, as for
    ISendfileTransport: Twisted's own transports take only bytes, and join them.
    """


class ISendfileTransport(ITransport):
    """A transport that hands octets of a file to the kernel instead of to Python.

    Asked for by `implementedBy(type(transport))`: Twisted's wrappers claim to provide what the
    transport below them provides, and what goes past the TLS layer goes out in clear text.
    """

    def send_file(descriptor: int, offset: int, count: int) -> int | None:  # noqa: N805
        """Send what the socket takes of a file at once, behind all that was written.

        Args:
            descriptor: of a regular file; its position is not touched.
            offset: of the first octet.
            count: octets at most.
        Returns:
            Octets sent, 0 at the end of the file; None where there is no room: then the producer
            is paused until there is, or until the connection is lost.
        Raises:
            OSError: about the file; the connection is as before.
        """


class IDrainsQueue(Interface):
    """A listening port that serves everybody whom the kernel has accepted before it closes."""

    def close_when_drained() -> Awaitable[None]:
        """Accept every connection in the listen queue, then stop listening."""


class IHandshakes(Interface):
    """A factory whose connections have no protocol, and no server knows them, until a handshake.

    Its port may have closed before they end.
    """

    handshaking = Attribute("The connections whose handshake is not over, a sized container.")

    def abort_handshakes() -> None:
        """Abort the connections whose handshake is not over."""
