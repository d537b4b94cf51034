"""One TLS connection: a Twisted protocol below, the transport of another protocol above.

`ssl` works on buffers in memory here, as it does in the event loops' own TLS; unlike theirs this
layer lies above whatever accepted the connection, so every endpoint and reactor has the same one.
Where certificates come from is in certificates.py.
"""

from __future__ import annotations

import logging
import ssl
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.interfaces import (
    IConsumer,
    IHalfCloseableProtocol,
    IHandshakeListener,
    INegotiated,
    IProtocol,
    IPushProducer,
    ISystemHandle,
)
from twisted.python.failure import Failure
from zope.interface import implementer

from daphne_like.tls.names import shake_hands
from daphne_like.transport_interfaces import IMemoryviewTransport

if TYPE_CHECKING:
    from daphne_like.tls.factory import SecureFactory

log = logging.getLogger("daphne_like.tls")
refused = logging.getLogger("daphne_like.refused")
"""Bounded in observe/refusals.py."""

HANDSHAKE_RECORD = 0x16
"""The first octet of every TLS connection (RFC 8446, 5.1); no HTTP method begins with it."""
WRITTEN_AT_ONCE = 262144
"""Octets enciphered before they are handed on, so that a large write is not held twice."""

MAX_DEBT = 32768
"""Enciphered octets that a peer may send without octets of data in them, before it is slowed down.

Each octet of data pays for two enciphered ones. What is left are records that carry almost nothing,
of which OpenSSL (3.5) takes any number: one client's KeyUpdates (RFC 8446, 4.6.3), about 20
microseconds each, kept the event loop for many seconds.
"""
FIRST_DEBT = 8192
MIN_SLICE = 2048
"""Enciphered octets that are read in one turn of the event loop from a peer with MAX_DEBT."""
HANDSHAKE_SLICE = 16384
"""Enciphered octets of a handshake that are read at once; data may stand behind its end."""
FREE_OCTETS = 512
"""Reads up to this size are not counted."""

# Made once, as Twisted's own are: a Failure takes longer than the rest of most ends.
DONE = Failure(ConnectionDone())
NO_CLOSE_NOTIFY = Failure(ConnectionLost("The peer's end came without close_notify"))

PLAIN_HTTP_TEXT = b"This port speaks TLS: use https:// (wss:// for WebSocket).\n"
PLAIN_HTTP_ANSWER = (
    b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\n"
    b"Content-Length: %d\r\nConnection: close\r\n\r\n%b"
) % (len(PLAIN_HTTP_TEXT), PLAIN_HTTP_TEXT)


@implementer(
    IProtocol,
    IHalfCloseableProtocol,
    INegotiated,
    ISystemHandle,
    IConsumer,
    IPushProducer,
    IMemoryviewTransport,
)
class SecureConnection:
    """TLS of one accepted connection.

    The protocol above is built when the handshake is over: half a handshake costs no more than
    this object, and its deadline is the factory's.

    Args:
        factory: for certificates, clock, deadline, and the factory of the protocol above.
        address: of the peer, as the factory was told it.
    """

    __slots__ = (
        "__weakref__",
        "_address",
        "_debt",
        "_ends_writing",
        "_held",
        "_into",
        "_is_lost",
        "_is_paused",
        "_out",
        "_peer_closed",
        "_pending",
        "_producer",
        "_read",
        "_reads",
        "_reason",
        "_sends",
        "_tls",
        "_untold_end",
        "_write",
        "disconnecting",
        "factory",
        "protocol",
        "transport",
    )

    def __init__(self, factory: SecureFactory, address: Any) -> None:
        self.factory = factory
        self.protocol: Any = None
        self.transport: Any = None
        self.disconnecting = False
        self._address = address
        self._into, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = tls = factory.certificates.context.wrap_bio(
            self._into, self._out, server_side=True
        )
        # Without the methods around these, which only call them: 2 % of a small request.
        bare = getattr(tls, "_sslobj", tls)
        self._read = bare.read
        self._write = bare.write
        self._pending = bare.pending
        self._reads = False  # the handshake is over, and the protocol above wants octets
        self._sends = False  # likewise, and close_notify is not out
        self._is_paused = False
        self._is_lost = False
        self._peer_closed = False  # its close_notify is there
        self._untold_end = False  # and the protocol above, which is paused, does not know yet
        self._producer: PacedProducer | None = None
        self._ends_writing = False  # a half-close is asked for
        self._debt = FIRST_DEBT
        self._held: bytes | memoryview | None = (
            None  # enciphered octets that wait for the next turn
        )
        self._reason: Failure | None = None

    # What the transport below calls.

    def makeConnection(self, transport: Any) -> None:
        self.transport = transport
        self.factory.handshake_begins(self)

    def connectionMade(self) -> None:
        """Part of IProtocol; makeConnection has done it all."""

    def dataReceived(self, data: bytes | memoryview) -> None:
        if not self._reads:
            self._received_early(data)
            return
        size = len(data)
        if size > MAX_DEBT - self._debt:
            self._read_in_slices(data)
            return
        self._into.write(data)
        plain = self._read_plain(size)
        if size > FREE_OCTETS and self._has_debt(size, len(plain)):
            self._hold(b"")
        if plain:
            self.protocol.dataReceived(plain)
        if self._peer_closed:
            self._end_of_input()

    def _read_in_slices(self, data: bytes | memoryview) -> None:
        """Read what came in parts, as far as this turn of the event loop allows."""
        view = memoryview(data)
        size = len(data)
        start = 0
        parts = []
        while start < size:
            end = min(size, start + max(MIN_SLICE, MAX_DEBT - self._debt))
            self._into.write(view[start:end])
            plain = self._read_plain(end - start)
            if plain:
                parts.append(plain)
            has_debt = self._has_debt(end - start, len(plain))
            start = end
            if not self._reads or self._peer_closed:  # it is broken, or closed
                break
            if has_debt:
                self._hold(view[start:])  # not copied anew for each slice
                break
        if parts and self.protocol is not None:
            self.protocol.dataReceived(parts[0] if len(parts) == 1 else b"".join(parts))
        if self._peer_closed:
            self._end_of_input()

    def _read_plain(self, size: int) -> bytes:
        """Decipher what is there.

        Args:
            size: enciphered octets that have just come.
        """
        try:
            # Plain octets are fewer than the enciphered ones that they come from, unless the
            # beginning of their record came before: then there may be more of them.
            most = size or 65536
            plain: bytes = self._read(most)
            if self._into.pending or len(plain) == most:
                plain = self._read_on(plain)
            elif not plain:
                self._peer_closed = True
        except ssl.SSLWantReadError:
            plain = b""  # not a whole record yet
        except ssl.SSLZeroReturnError:  # instead of b"" where our own close_notify is out
            plain = b""
            self._peer_closed = True
        except ssl.SSLError as error:
            self._broken(error)
            return b""
        if self._out.pending:  # an answer to a KeyUpdate
            self.transport.write(self._out.read())
        return plain

    def _has_debt(self, size: int, plain: int) -> bool:
        """Count what came; whether it was too little for its size."""
        self._debt = debt = min(MAX_DEBT, max(0, self._debt + size - 2 * plain))
        return debt == MAX_DEBT

    def _hold(self, data: bytes | memoryview) -> None:
        """Read the peer no further in this turn of the event loop.

        Args:
            data: enciphered octets that are to be read in the next one.
        """
        self._reads = False
        self._held = b"".join((data, self._held)) if self._held else data
        self.transport.pauseProducing()
        self._soon(self._go_on)

    def _go_on(self) -> None:
        """Read what was held, and then the peer again."""
        held = self._held
        producer = self._producer
        if held is None or self._is_paused:  # `resumeProducing` calls this again
            return
        if self._debt == MAX_DEBT and producer is not None and producer.is_paused:
            return  # likewise; else answers to KeyUpdates would pile up
        self._held = None
        if self._is_lost:
            return
        if self.disconnecting:
            if self.protocol is None:
                self.transport.resumeProducing()  # and drop
            return
        if not self._peer_closed:
            self._reads = self.protocol is not None
            self.dataReceived(held)
        if self._held is None and not (self._is_paused or self.disconnecting or self._is_lost):
            self.transport.resumeProducing()

    def room_again(self) -> None:
        """The transport below has room, which `_go_on` may wait for."""
        if self._held is not None:
            self._soon(self._go_on)

    def _read_on(self, plain: bytes) -> bytes:
        """All there is behind the first record.

        `ssl` says with an exception that there is no more, which costs as much as a small request:
        it is asked only where something is left.
        """
        parts = [plain]
        try:
            while parts[-1] and (self._into.pending or self._pending()):
                parts.append(self._read(65536))
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLZeroReturnError:
            self._peer_closed = True
        else:
            self._peer_closed = not parts[-1]
        return b"".join(parts)

    def _received_early(self, data: bytes | memoryview) -> None:
        """What came is part of the handshake, or not wanted now, or not any more."""
        if self._held is not None:
            self._held = b"".join((self._held, data))
            return
        if self.protocol is None and len(data) > HANDSHAKE_SLICE:
            self._hold(data[HANDSHAKE_SLICE:])
            data = data[:HANDSHAKE_SLICE]
        self._into.write(data)
        over = self._peer_closed and not self._untold_end
        if over or self.disconnecting or self._is_lost:
            self._into.read()  # nobody will: it must not pile up
        elif self.protocol is None:
            self._shake_hands()

    def readConnectionLost(self) -> None:
        """The peer's FIN: without close_notify before it the end of all (RFC 8446, 6.1)."""
        if self._peer_closed or self._is_lost:
            return
        if self.protocol is None:
            if not self.disconnecting:
                name = self.factory.name(self)
                log.debug("! %s closed the connection in its TLS handshake", name)
            self.disconnecting = True
            self.transport.loseConnection()
            return
        self._reason = NO_CLOSE_NOTIFY
        self.abortConnection()

    def writeConnectionLost(self) -> None:
        protocol = self.protocol
        if IHalfCloseableProtocol.providedBy(protocol):
            protocol.writeConnectionLost()

    def connectionLost(self, reason: Failure) -> None:
        self._is_lost = True
        self._reads = self._sends = False
        self._handshake_over()
        producer, self._producer = self._producer, None
        if producer is not None:
            producer.stopProducing()
        protocol, self.protocol = self.protocol, None
        if protocol is not None:
            protocol.connectionLost(self._reason or reason)

    # The handshake.

    def _shake_hands(self) -> None:
        try:
            shake_hands(self._tls)
        except ssl.SSLWantReadError:
            self._flush()
            return
        except ssl.SSLError as error:
            self._handshake_failed(error)
            return
        self._handshake_over()
        self._flush()
        self._sends = True
        protocol = self.factory.wrapped.buildProtocol(self._address)
        if protocol is None:
            self.disconnecting = True
            self._close()
            return
        self.protocol = protocol
        self._reads = self._held is None
        protocol.makeConnection(self)
        if IHandshakeListener.providedBy(protocol):
            protocol.handshakeCompleted()
        if self._has_unread():
            self._read_held()

    def _handshake_over(self) -> None:
        self.factory.handshake_over(self)

    def _handshake_failed(self, error: ssl.SSLError) -> None:
        if error.reason == "HTTP_REQUEST":
            self._tell_of_refusal("plain HTTP on a TLS port")
            self._out.read()  # an alert, which says nothing to who reads plain text
            self.transport.write(PLAIN_HTTP_ANSWER)
        else:
            self._tell_of_refusal(error.reason or error)
            self._flush()  # the alert
        # What the peer still sends is dropped until it closes, or until the handshake's deadline:
        # closing before would reset the connection, and the answer with it (RFC 9112, 9.6).
        self.disconnecting = True
        self.transport.loseWriteConnection()

    def _tell_of_refusal(self, reason: object) -> None:
        refused.info("Refused %s in its %s: %s", self.factory.name(self), "TLS handshake", reason)

    def handshake_too_slow(self) -> None:
        """Its time is over; told by the factory."""
        if not self.disconnecting:
            self._tell_of_refusal("it took too long")
        self._handshake_over()
        self.abortConnection()

    # Input.

    def _has_unread(self) -> bool:
        return bool(self._into.pending or self._pending())

    def _read_held(self) -> None:
        """Hand on what came while nobody wanted it."""
        if self._reads:
            if self._untold_end:
                self._end_of_input()
            elif self._has_unread():
                self.dataReceived(self._into.read())

    def _end_of_input(self) -> None:
        """The peer sends nothing more; it may still read (RFC 8446, 6.1)."""
        if self.disconnecting or self._is_lost:
            return
        self._untold_end = self._is_paused
        if self._is_paused:
            return
        self._reads = False
        if IHalfCloseableProtocol.providedBy(self.protocol):
            self.protocol.readConnectionLost()
        else:
            # As Twisted's transports: what could not be written yet is dropped.
            self._reason = DONE
            self.abortConnection()

    def _broken(self, error: ssl.SSLError) -> None:
        log.debug("! TLS with %s is broken: %s", self.factory.name(self), error)
        self._flush()  # the alert
        self._reason = Failure(ConnectionLost(f"TLS is broken: {error.reason}"))
        self._reads = self._sends = False
        self.disconnecting = True
        self.transport.unregisterProducer()
        self.transport.loseConnection()

    def pauseProducing(self) -> None:
        self._is_paused = True
        self._reads = False
        if not self._is_lost:
            self.transport.pauseProducing()

    def resumeProducing(self) -> None:
        self._is_paused = False
        if self.disconnecting or self._is_lost or (self._peer_closed and not self._untold_end):
            return
        if self._held is not None:
            self._soon(self._go_on)
            return
        self._reads = True
        self.transport.resumeProducing()
        if self._untold_end or self._has_unread():
            self._soon(self._read_held)

    def stopProducing(self) -> None:
        self.loseConnection()

    # Output.

    def write(self, data: bytes | memoryview) -> None:
        if not self._sends or not len(data):
            return
        if len(data) > WRITTEN_AT_ONCE:
            self._write_large(data)
            return
        self._write(data)
        self.transport.write(self._out.read())

    def _write_large(self, data: bytes | memoryview) -> None:
        view = memoryview(data)
        for start in range(0, len(data), WRITTEN_AT_ONCE):
            self._write(view[start : start + WRITTEN_AT_ONCE])
            self.transport.write(self._out.read())

    def writeSequence(self, data: Iterable[bytes | memoryview]) -> None:
        self.write(b"".join(data))

    def _flush(self) -> None:
        if self._out.pending:
            self.transport.write(self._out.read())

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        if self._is_lost:
            producer.stopProducing()
            return
        # Enciphered octets are all in the transport below: its buffer is the one to pace.
        if self._producer is not None:
            self.transport.registerProducer(producer, streaming)  # which refuses it
        self._producer = below = PacedProducer(self, producer, is_push=streaming)
        self.transport.registerProducer(below, streaming)

    def unregisterProducer(self) -> None:
        if self._producer is None:
            return
        self._producer = None
        self.transport.unregisterProducer()
        if self._is_lost:
            return
        if self.disconnecting:
            self._soon(self._close)
        elif self._ends_writing:
            self._soon(self._end_writing)

    def _producer_holds(self) -> bool:
        """Whether a producer is to finish first, as with the native transports."""
        producer = self._producer
        return producer is not None and (not producer.is_push or producer.is_paused)

    def producer_stopped(self) -> None:
        """The transport below has told the producer that it is over."""
        self._producer = None

    # The end.

    def loseConnection(self, _reason: object = None) -> None:
        if self.disconnecting or self._is_lost:
            return
        self.disconnecting = True
        self._reads = False
        self.transport.pauseProducing()
        self._soon(self._close)  # what is written in this turn still goes out

    def _close(self) -> None:
        if self._is_lost or self._producer_holds():
            return
        self._close_notify()
        if self._producer is not None:
            self.transport.unregisterProducer()  # it has its end by connectionLost
        # The peer's own close_notify is not waited for (RFC 8446, 6.1): HTTP frames its messages.
        self.transport.loseConnection()

    def _close_notify(self) -> None:
        if self._sends:
            self._sends = False
            try:
                self._tls.unwrap()
            except ssl.SSLError:
                pass  # it waits for the peer's
            self._flush()

    def loseWriteConnection(self) -> None:
        if self._sends and not self.disconnecting:
            self._ends_writing = True
            self._soon(self._end_writing)

    def _end_writing(self) -> None:
        if self._sends and not self.disconnecting and not self._producer_holds():
            self._close_notify()
            self.transport.loseWriteConnection()

    def abortConnection(self) -> None:
        if not self._is_lost:
            self.disconnecting = True
            self._reads = self._sends = False
            self.transport.abortConnection()

    def _soon(self, callable_: Any) -> None:
        self.factory.clock.callLater(0, callable_)

    # What is known of it.

    @property
    def connected(self) -> bool:
        """Whether there is still a connection."""
        return not self._is_lost

    @property
    def negotiatedProtocol(self) -> bytes | None:
        """What ALPN has settled on (RFC 7301)."""
        protocol = self._tls.selected_alpn_protocol()
        return protocol.encode("ascii") if protocol is not None else None

    def getHandle(self) -> ssl.SSLObject:
        """The TLS connection, as ISSLTransport's are; Python's, not pyOpenSSL's."""
        return self._tls

    def getPeerCertificate(self) -> Any:
        """The peer's certificate as Twisted's own TLS gives it, or None."""
        from OpenSSL import crypto

        octets = self._tls.getpeercert(binary_form=True)
        return octets and crypto.load_certificate(crypto.FILETYPE_ASN1, octets)

    def getPeer(self) -> Any:
        return self.transport.getPeer()

    def getHost(self) -> Any:
        return self.transport.getHost()

    def getTcpNoDelay(self) -> Any:
        return self.transport.getTcpNoDelay()

    def setTcpNoDelay(self, enabled: bool) -> None:
        self.transport.setTcpNoDelay(enabled)

    def getTcpKeepAlive(self) -> Any:
        return self.transport.getTcpKeepAlive()

    def setTcpKeepAlive(self, enabled: bool) -> None:
        self.transport.setTcpKeepAlive(enabled)


class PacedProducer:
    """A producer above TLS, as the transport below knows it.

    Args:
        connection: it produces for.
        producer: the one above.
        is_push: it goes on until it is paused; the other kind writes once for each call.

    Attributes:
        is_paused: the transport below is full.
    """

    __slots__ = ("_connection", "_producer", "is_paused", "is_push")

    def __init__(self, connection: SecureConnection, producer: Any, *, is_push: bool) -> None:
        self._connection = connection
        self._producer = producer
        self.is_push = is_push
        self.is_paused = False

    def pauseProducing(self) -> None:
        if not self.is_paused:  # Twisted's transports say it with every write
            self.is_paused = True
            self._producer.pauseProducing()

    def resumeProducing(self) -> None:
        self.is_paused = False
        self._connection.room_again()
        self._producer.resumeProducing()

    def stopProducing(self) -> None:
        self._connection.producer_stopped()
        self._producer.stopProducing()
