"""The transport of a protocol that has taken over an HTTP/2 stream (RFC 8441)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from h2.errors import ErrorCodes
from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IConsumer, IPushProducer, ITransport
from twisted.python.failure import Failure
from zope.interface import implementer

if TYPE_CHECKING:
    from daphne_like.http.h2.send_scheduler import SendScheduler
    from daphne_like.runtime.context import ServerContext

TUNNEL_HIGH_WATER = 65536
"""Octets waiting for room in the peer's window from which the producer is paused."""


class TunneledStream(Protocol):
    """The interface of a stream that a tunnel uses.

    Attributes:
        context: provides the event loop.
        number: the identifier of the stream.
        pending: octets that wait for the peer's window, or for the transport.
    """

    context: ServerContext
    number: int
    pending: memoryview | None

    @property
    def connection(self) -> SendScheduler[Any]:
        """The connection of the stream."""

    def send_pending(self, data: bytes) -> None:
        """Send octets; the stream calls `Tunnel.sent` when all are sent."""

    def tunnel_over(self, code: ErrorCodes) -> None:
        """End the stream, because the protocol has closed its connection."""

    def tunnel_resumed(self) -> None:
        """Resume reading, because the protocol accepts octets again."""


@implementer(ITransport, IConsumer, IPushProducer)
class Tunnel:
    """A stream as ITransport: DATA frames both ways, END_STREAM as FIN.

    Args:
        stream: the stream, whose exchange is over.
        protocol: the protocol that takes the stream over.
        early: octets that the peer has sent already.
    """

    __slots__ = (
        "_asked_to_pause",
        "_closing",
        "_has_ended",
        "_held",
        "_out",
        "_paused",
        "_producer",
        "protocol",
        "stream",
    )

    def __init__(self, stream: TunneledStream, protocol: Any, early: bytearray | None) -> None:
        self.stream = stream
        self.protocol = protocol
        self._producer: Any = None
        self._out = bytearray()  # octets to send after those pending in the stream
        self._held = early or None  # input for a paused protocol, at most one window
        self._paused = False
        self._asked_to_pause = False  # the producer is paused until all octets are sent
        self._closing = False
        self._has_ended = False

    def open(self) -> None:
        """Connect the protocol."""
        self.protocol.makeConnection(self)
        self.resumeProducing()

    # Called by the stream.

    def data_received(self, data: bytes) -> bool:
        """Deliver octets of the peer.

        Returns:
            True if the protocol is not paused, so that the peer may send more.
        """
        if self._held is not None or self._paused:
            if self._held is None:
                self._held = bytearray()
            self._held += data
            return False
        self.protocol.dataReceived(data)
        return not self._paused

    def ended(self) -> None:
        """Report the end of the peer's side, after the octets sent before it."""
        if self._held is not None:
            self._has_ended = True
        elif self.protocol is not None:
            self.protocol.readConnectionLost()

    def sent(self) -> None:
        """Send more: the stream has sent its pending octets."""
        data = bytes(self._out)
        self._out.clear()
        if data:
            self.stream.send_pending(data)
            return
        if self._closing:
            self._finish()
        elif self._asked_to_pause and self._producer is not None:
            self._asked_to_pause = False
            self._producer.resumeProducing()

    def lost(self, reason: Exception | None = None) -> None:
        """Report the loss of the stream to the protocol."""
        protocol, self.protocol = self.protocol, None
        self._producer = self._held = None
        if protocol is not None:
            protocol.connectionLost(Failure(reason or ConnectionLost()))

    # ITransport.

    def write(self, data: bytes) -> None:
        if self.protocol is None or self._closing or not data:
            return
        stream = self.stream
        if stream.pending is None:
            if stream.connection.send_data_at_once(stream.number, data, False):
                return
            stream.send_pending(data)
        else:
            self._out += data
        if (
            not self._asked_to_pause
            and self._producer is not None
            and len(self._out) + len(stream.pending or b"") >= TUNNEL_HIGH_WATER
        ):
            self._asked_to_pause = True
            self._producer.pauseProducing()

    def writeSequence(self, iovec: Any) -> None:
        self.write(b"".join(iovec))

    def loseConnection(self) -> None:
        if self.protocol is not None and not self._closing:
            self._closing = True
            if self.stream.pending is None:
                self.stream.context.loop.call_soon(self._finish)

    def _finish(self) -> None:
        if self.protocol is not None:
            self.stream.tunnel_over(ErrorCodes.NO_ERROR)
            self.lost(ConnectionDone())

    def abortConnection(self) -> None:
        if self.protocol is not None:
            self._closing = True
            self.stream.tunnel_over(ErrorCodes.CANCEL)
            self.stream.context.loop.call_soon(self.lost, ConnectionAborted())

    def getPeer(self) -> Any:
        return self.stream.connection.transport.getPeer()

    def getHost(self) -> Any:
        return self.stream.connection.transport.getHost()

    # IConsumer and IPushProducer.

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        self._producer = producer

    def unregisterProducer(self) -> None:
        self._producer = None

    def pauseProducing(self) -> None:
        self._paused = True

    def resumeProducing(self) -> None:
        self._paused = False
        held, self._held = self._held, None
        if held and self.protocol is not None:
            self.protocol.dataReceived(bytes(held))
        if self._has_ended and self._held is None and self.protocol is not None:
            self._has_ended = False
            self.protocol.readConnectionLost()
        self.stream.tunnel_resumed()

    def stopProducing(self) -> None:
        self.loseConnection()
