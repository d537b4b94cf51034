"""What the parts of the server ask of each other where neither may import the other."""

from __future__ import annotations

from twisted.internet.interfaces import ITransport


class ITakesViews(ITransport):
    """A transport whose `write` and `writeSequence` take views of octets, uncopied where it can.

    What they show must not change any more. Asked for as ISendsFiles is: Twisted's own transports
    take nothing but bytes, and join them.
    """


class ISendsFiles(ITransport):
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
