"""One TLS connection: a Twisted protocol to its transport, a transport to the protocol above.

`ssl` works on buffers in memory, as in the event loops' own TLS. Unlike theirs, this layer is above
the accepted connection, so all endpoints and reactors share it. certificates.py provides the
contexts.
"""

from __future__ import annotations

import logging
import ssl
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Protocol

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

from daphne_like.observe.connection_log import ConnectionLog, label
from daphne_like.tls.names import shake_hands
from daphne_like.transport_interfaces import IMemoryviewTransport

if TYPE_CHECKING:
    from daphne_like.tls.certificates import Certificates

log = ConnectionLog("daphne_like.tls")
refused = logging.getLogger("daphne_like.refused")
"""Logger of refusals; observe/refusals.py bounds their number."""

HANDSHAKE_RECORD = 0x16
"""The first octet of every TLS connection (RFC 8446, 5.1); no HTTP method begins with it."""
MAX_ENCRYPTED_AT_ONCE = 262144
"""Octets encrypted before they are passed on, so that a large write is not held in memory twice."""

MAX_DEBT = 32768
"""Encrypted octets without data that a peer may send before the server reads it more slowly.

Each octet of data pays for two encrypted octets. What is not paid for are records that carry almost
no data, and OpenSSL (3.5) accepts any number of them: one client's KeyUpdates (RFC 8446, 4.6.3),
about 20 microseconds each, blocked the event loop for many seconds.
"""
FIRST_DEBT = 8192
MIN_SLICE = 2048
"""Encrypted octets read in one turn of the event loop from a peer whose debt is MAX_DEBT."""
HANDSHAKE_SLICE = 16384
"""Encrypted octets of a handshake that are read at once; data may follow its end."""
UNCOUNTED_OCTETS = 512
"""Reads up to this size are not counted."""

# Created once, as in Twisted: creating a Failure takes longer than the rest of most closes.
DONE = Failure(ConnectionDone())
NO_CLOSE_NOTIFY = Failure(ConnectionLost("The peer's end came without close_notify"))

PLAIN_HTTP_TEXT = b"This port speaks TLS: use https:// (wss:// for WebSocket).\n"
PLAIN_HTTP_RESPONSE = (
    b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\n"
    b"Content-Length: %d\r\nConnection: close\r\n\r\n%b"
) % (len(PLAIN_HTTP_TEXT), PLAIN_HTTP_TEXT)


class ConnectionFactory(Protocol):
    """The factory of TLS connections, as each of them sees it.

    Attributes:
        certificates: provide the context of a new connection.
        clock: IReactorTime.
        wrapped: builds the protocol above the TLS connection.
    """

    certificates: Certificates
    clock: Any
    wrapped: Any

    def handshake_begins(self, connection: SecureConnection) -> None:
        """Add a connection that is to be aborted if its handshake takes too long."""

    def handshake_over(self, connection: SecureConnection, failure: str = "") -> None:
        """Forget a connection whose handshake is complete, or that is lost.

        Args:
            connection: the connection.
            failure: a word for the reason if its handshake was not complete.
        """


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

    The protocol above is built when the handshake is complete. Until then the connection costs no
    more than this object, and the factory enforces the deadline.

    Args:
        factory: provides certificates, clock, deadline, and the factory of the protocol above.
        address: the peer's address, as passed to `buildProtocol`.
    """

    __slots__ = (
        "__weakref__",
        "_address",
        "_debt",
        "_end_pending",
        "_failure",
        "_half_closing",
        "_held",
        "_into",
        "_is_lost",
        "_is_paused",
        "_out",
        "_peer_closed",
        "_pending",
        "_producer",
        "_read",
        "_reading",
        "_reason",
        "_tls",
        "_write",
        "_writing",
        "disconnecting",
        "factory",
        "protocol",
        "transport",
    )

    def __init__(self, factory: ConnectionFactory, address: Any) -> None:
        self.factory = factory
        self.protocol: Any = None
        self.transport: Any = None
        self.disconnecting = False
        self._address = address
        self._into, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = tls = factory.certificates.context.wrap_bio(
            self._into, self._out, server_side=True
        )
        # The inner object's methods are called directly. The public ones only forward to them,
        # which costs 2 % of a small request.
        bare = getattr(tls, "_sslobj", tls)
        self._read = bare.read
        self._write = bare.write
        self._pending = bare.pending
        self._reading = False  # the handshake is complete, and the protocol above wants octets
        self._writing = False  # the handshake is complete, and close_notify was not sent yet
        self._is_paused = False
        self._is_lost = False
        self._peer_closed = False  # the peer's close_notify has arrived
        self._end_pending = False  # the paused protocol above was not informed of it yet
        self._producer: PacedProducer | None = None
        self._half_closing = False  # a half-close was requested
        self._debt = FIRST_DEBT
        self._held: bytes | memoryview | None = None  # encrypted octets that wait for the next turn
        self._reason: Failure | None = None
        self._failure = "closed"  # why the handshake is not complete, if the connection ends now

    # Called by the transport below.

    def makeConnection(self, transport: Any) -> None:
        self.transport = transport
        self.factory.handshake_begins(self)

    def connectionMade(self) -> None:
        """Do nothing: makeConnection has already begun the handshake's deadline (IProtocol)."""

    def dataReceived(self, data: bytes | memoryview) -> None:
        if not self._reading:
            self._received_early(data)
            return
        size = len(data)
        if size > MAX_DEBT - self._debt:
            self._read_in_slices(data)
            return
        self._into.write(data)
        plain = self._read_plain(size)
        if size > UNCOUNTED_OCTETS and self._has_debt(size, len(plain)):
            self._hold(b"")
        if plain:
            self.protocol.dataReceived(plain)
        if self._peer_closed:
            self._end_of_input()

    def _read_in_slices(self, data: bytes | memoryview) -> None:
        """Decrypt input in slices, as far as this turn of the event loop allows."""
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
            if not self._reading or self._peer_closed:  # TLS has failed, or the peer has closed
                break
            if has_debt:
                self._hold(view[start:])  # a view, so that no slice copies the rest again
                break
        if parts and self.protocol is not None:
            self.protocol.dataReceived(parts[0] if len(parts) == 1 else b"".join(parts))
        if self._peer_closed:
            self._end_of_input()

    def _read_plain(self, size: int) -> bytes:
        """Decrypt the input and return the plain octets.

        Args:
            size: number of encrypted octets that have just arrived.
        """
        try:
            # A record holds fewer plain octets than encrypted ones. There may be more of them than
            # `size` only if the beginning of their record arrived before.
            most = size or 65536
            plain: bytes = self._read(most)
            if self._into.pending or len(plain) == most:
                plain = self._read_on(plain)
            elif not plain:
                self._peer_closed = True
        except ssl.SSLWantReadError:
            plain = b""  # the record is not complete yet
        except ssl.SSLZeroReturnError:  # instead of b"" after this side has sent close_notify
            plain = b""
            self._peer_closed = True
        except ssl.SSLError as error:
            self._broken(error)
            return b""
        if self._out.pending:  # the response to a KeyUpdate
            self.transport.write(self._out.read())
        return plain

    def _has_debt(self, size: int, plain: int) -> bool:
        """Update the debt; tell whether the peer has now used it up."""
        self._debt = debt = min(MAX_DEBT, max(0, self._debt + size - 2 * plain))
        return debt == MAX_DEBT

    def _hold(self, data: bytes | memoryview) -> None:
        """Stop reading the peer until the next turn of the event loop.

        Args:
            data: encrypted octets to read in the next turn.
        """
        self._reading = False
        self._held = b"".join((data, self._held)) if self._held else data
        self.transport.pauseProducing()
        self._next_turn(self._resume)

    def _resume(self) -> None:
        """Read the held octets, then read from the peer again."""
        held = self._held
        producer = self._producer
        if held is None or self._is_paused:  # `resumeProducing` calls this again
            return
        if self._debt == MAX_DEBT and producer is not None and producer.is_paused:
            return  # wait for `room_available`: otherwise responses to KeyUpdates would pile up
        self._held = None
        if self._is_lost:
            return
        if self.disconnecting:
            if self.protocol is None:
                self.transport.resumeProducing()  # the input is discarded
            return
        if not self._peer_closed:
            self._reading = self.protocol is not None
            self.dataReceived(held)
        if self._held is None and not (self._is_paused or self.disconnecting or self._is_lost):
            self.transport.resumeProducing()

    def room_available(self) -> None:
        """Continue reading if it waited for room in the transport below."""
        if self._held is not None:
            self._next_turn(self._resume)

    def _read_on(self, plain: bytes) -> bytes:
        """Return the plain octets of this record and all complete records behind it.

        At the end of the input `ssl` raises an exception, which costs as much as a small request.
        Therefore `read` is called only while octets are left.
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
        """Handle input of the handshake, of a paused connection, or of a closed one."""
        if self._held is not None:
            self._held = b"".join((self._held, data))
            return
        if self.protocol is None and len(data) > HANDSHAKE_SLICE:
            self._hold(data[HANDSHAKE_SLICE:])
            data = data[:HANDSHAKE_SLICE]
        self._into.write(data)
        over = self._peer_closed and not self._end_pending
        if over or self.disconnecting or self._is_lost:
            self._into.read()  # nothing else reads it, and it must not pile up
        elif self.protocol is None:
            self._shake_hands()

    def readConnectionLost(self) -> None:
        """Handle the peer's FIN: without a close_notify it ends the connection (RFC 8446, 6.1)."""
        if self._peer_closed or self._is_lost:
            return
        if self.protocol is None:
            if not self.disconnecting:
                log.error(self, "the peer closed the connection in its TLS handshake")
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
        self._reading = self._writing = False
        self._handshake_over(self._failure)
        producer, self._producer = self._producer, None
        if producer is not None:
            producer.stopProducing()
        protocol, self.protocol = self.protocol, None
        if protocol is not None:
            protocol.connectionLost(self._reason or reason)

    def log_label(self) -> str:
        """Return how log lines about this connection begin; see observe/connection_log.py."""
        return label(self)

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
        self._writing = True
        protocol = self.factory.wrapped.buildProtocol(self._address)
        if protocol is None:
            self.disconnecting = True
            self._close()
            return
        self.protocol = protocol
        self._reading = self._held is None
        protocol.makeConnection(self)
        if IHandshakeListener.providedBy(protocol):
            protocol.handshakeCompleted()
        if self._has_unread():
            self._read_held()

    def _handshake_over(self, failure: str = "") -> None:
        self.factory.handshake_over(self, failure)

    def _handshake_failed(self, error: ssl.SSLError) -> None:
        self._failure = (error.reason or "unknown").lower()
        if error.reason == "HTTP_REQUEST":
            self._log_refusal("plain HTTP on a TLS port")
            self._out.read()  # drop the alert, which a plain-text client cannot read
            self.transport.write(PLAIN_HTTP_RESPONSE)
        else:
            self._log_refusal(error.reason or error)
            self._flush()  # the alert
        # Further input is discarded until the peer closes or the handshake's deadline passes.
        # Closing at once could reset the connection before the peer has read the response
        # (RFC 9112, 9.6).
        self.disconnecting = True
        self.transport.loseWriteConnection()

    def _log_refusal(self, reason: object) -> None:
        refused.info("%s Refused in its %s: %s", self.log_label(), "TLS handshake", reason)

    def handshake_too_slow(self) -> None:
        """Abort the connection: the factory calls this at the handshake's deadline."""
        if not self.disconnecting:
            self._failure = "timeout"
            self._log_refusal("it took too long")
        self._handshake_over(self._failure)
        self.abortConnection()

    # Input.

    def _has_unread(self) -> bool:
        return bool(self._into.pending or self._pending())

    def _read_held(self) -> None:
        """Deliver the input that arrived while the protocol above was paused."""
        if self._reading:
            if self._end_pending:
                self._end_of_input()
            elif self._has_unread():
                self.dataReceived(self._into.read())

    def _end_of_input(self) -> None:
        """Handle the end of the peer's data; the peer may still read (RFC 8446, 6.1)."""
        if self.disconnecting or self._is_lost:
            return
        self._end_pending = self._is_paused
        if self._is_paused:
            return
        self._reading = False
        if IHalfCloseableProtocol.providedBy(self.protocol):
            self.protocol.readConnectionLost()
        else:
            # As in Twisted's transports: octets that could not be written yet are dropped.
            self._reason = DONE
            self.abortConnection()

    def _broken(self, error: ssl.SSLError) -> None:
        log.error(self, "TLS is broken: %s", error)
        self._flush()  # the alert
        self._reason = Failure(ConnectionLost(f"TLS is broken: {error.reason}"))
        self._reading = self._writing = False
        self.disconnecting = True
        self.transport.unregisterProducer()
        self.transport.loseConnection()

    def pauseProducing(self) -> None:
        self._is_paused = True
        self._reading = False
        if not self._is_lost:
            self.transport.pauseProducing()

    def resumeProducing(self) -> None:
        self._is_paused = False
        if self.disconnecting or self._is_lost or (self._peer_closed and not self._end_pending):
            return
        if self._held is not None:
            self._next_turn(self._resume)
            return
        self._reading = True
        self.transport.resumeProducing()
        if self._end_pending or self._has_unread():
            self._next_turn(self._read_held)

    def stopProducing(self) -> None:
        self.loseConnection()

    # Output.

    def write(self, data: bytes | memoryview) -> None:
        if not self._writing or not len(data):
            return
        if len(data) > MAX_ENCRYPTED_AT_ONCE:
            self._write_large(data)
            return
        self._write(data)
        self.transport.write(self._out.read())

    def _write_large(self, data: bytes | memoryview) -> None:
        view = memoryview(data)
        for start in range(0, len(data), MAX_ENCRYPTED_AT_ONCE):
            self._write(view[start : start + MAX_ENCRYPTED_AT_ONCE])
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
        # All encrypted octets are in the transport below, so its buffer paces the producer.
        if self._producer is not None:
            self.transport.registerProducer(producer, streaming)  # raises: there is one already
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
            self._next_turn(self._close)
        elif self._half_closing:
            self._next_turn(self._end_writing)

    def _producer_holds(self) -> bool:
        """Tell whether a producer must finish before the close, as in the native transports."""
        producer = self._producer
        return producer is not None and (not producer.is_push or producer.is_paused)

    def producer_stopped(self) -> None:
        """Forget the producer, which the transport below has stopped."""
        self._producer = None

    # The end.

    def loseConnection(self, _reason: object = None) -> None:
        if self.disconnecting or self._is_lost:
            return
        self.disconnecting = True
        self._reading = False
        self.transport.pauseProducing()
        self._next_turn(self._close)  # so that writes of this turn are still sent

    def _close(self) -> None:
        if self._is_lost or self._producer_holds():
            return
        self._close_notify()
        if self._producer is not None:
            self.transport.unregisterProducer()  # connectionLost stops the producer
        # The peer's close_notify is not awaited (RFC 8446, 6.1), because HTTP frames its messages.
        self.transport.loseConnection()

    def _close_notify(self) -> None:
        if self._writing:
            self._writing = False
            try:
                self._tls.unwrap()
            except ssl.SSLError:
                pass  # unwrap wants the peer's close_notify
            self._flush()

    def loseWriteConnection(self) -> None:
        if self._writing and not self.disconnecting:
            self._half_closing = True
            self._next_turn(self._end_writing)

    def _end_writing(self) -> None:
        if self._writing and not self.disconnecting and not self._producer_holds():
            self._close_notify()
            self.transport.loseWriteConnection()

    def abortConnection(self) -> None:
        if not self._is_lost:
            self.disconnecting = True
            self._reading = self._writing = False
            self.transport.abortConnection()

    def _next_turn(self, callable_: Any) -> None:
        self.factory.clock.callLater(0, callable_)

    # Properties of the connection.

    @property
    def connected(self) -> bool:
        """True until the connection is lost."""
        return not self._is_lost

    @property
    def negotiatedProtocol(self) -> bytes | None:
        """The protocol that ALPN selected (RFC 7301), or None."""
        protocol = self._tls.selected_alpn_protocol()
        return protocol.encode("ascii") if protocol is not None else None

    def getHandle(self) -> ssl.SSLObject:
        """Return the TLS connection (ISSLTransport); an object of `ssl`, not of pyOpenSSL."""
        return self._tls

    def getPeerCertificate(self) -> Any:
        """Return the peer's certificate as an object of pyOpenSSL, as Twisted does, or None."""
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
    """Represents a producer above TLS to the transport below.

    Args:
        connection: the TLS connection that the producer writes to.
        producer: the producer above TLS.
        is_push: the producer writes until it is paused; a pull producer writes once for each call.

    Attributes:
        is_paused: the buffer of the transport below is full.
    """

    __slots__ = ("_connection", "_producer", "is_paused", "is_push")

    def __init__(self, connection: SecureConnection, producer: Any, *, is_push: bool) -> None:
        self._connection = connection
        self._producer = producer
        self.is_push = is_push
        self.is_paused = False

    def pauseProducing(self) -> None:
        if not self.is_paused:  # Twisted's transports call this at every write
            self.is_paused = True
            self._producer.pauseProducing()

    def resumeProducing(self) -> None:
        self.is_paused = False
        self._connection.room_available()
        self._producer.resumeProducing()

    def stopProducing(self) -> None:
        self._connection.producer_stopped()
        self._producer.stopProducing()
