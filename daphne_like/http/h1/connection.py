"""An HTTP/1.1 connection: the order of requests and responses, and its end (RFC 9112).

request_reader.py turns octets into exchanges, response_writer.py frames responses, and exchange.py
defines an exchange.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twisted.internet.interfaces import (
    IHalfCloseableProtocol,
    IHandshakeListener,
    IProtocol,
    IPushProducer,
)
from twisted.protocols.tls import TLSMemoryBIOProtocol
from twisted.python.failure import Failure
from zope.interface import implementer

from daphne_like.exceptions import PeerError, too_many_connections
from daphne_like.http.exchange import Exchange
from daphne_like.http.h1.request_reader import (
    BUFFERING,
    CLOSED,
    DISCARDING,
    LARGE_READ,
    LINGERING,
    MAX_PIPELINED,
    PARSING,
    PEER_CLOSED,
    UPGRADE_PENDING,
    UPGRADED,
    ReadState,
    RequestReader,
)
from daphne_like.http.h1.status_lines import error_response
from daphne_like.http.lingering import (
    IDLE_LINGER_SECONDS,
    Lingering,
    close_own_side,
    has_half_close,
)
from daphne_like.http.request_body import may_discard_rest
from daphne_like.http.response_state import AWAITING_START
from daphne_like.observe.connection_log import ConnectionLog
from daphne_like.runtime.timeouts import Timeout

if TYPE_CHECKING:
    from daphne_like.runtime.context import ServerContext

log = ConnectionLog("daphne_like.http")

SWITCHING_PROTOCOLS = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n"


@implementer(IProtocol, IHalfCloseableProtocol, IHandshakeListener, IPushProducer)
class HTTP1Connection(RequestReader):
    """A connection: a Twisted protocol that carries exchanges.

    Args:
        context: provides the application and the options.
    """

    __slots__ = (
        "__weakref__",
        "_error_response",
        "_keep_alive_timeout",
        "_lingering",
    )

    protocol_name = "http/1.1"

    def __init__(self, context: ServerContext) -> None:
        super().__init__(context)
        self._keep_alive_timeout = context.options.keep_alive_timeout
        self._lingering: Lingering | None = None  # after the last response
        self._error_response: bytes | None = None

    # Called by Twisted.

    def makeConnection(self, transport: Any) -> None:
        self.transport = transport
        transport.registerProducer(self, True)
        if isinstance(transport, TLSMemoryBIOProtocol):
            # Twisted's own TLS connects the protocol before the handshake, without a timeout (S35).
            self.context.connected(self)
            self.set_timeout(Timeout.TLS_HANDSHAKE, self.context.options.tls_handshake_timeout)
        else:
            self._begin()

    def handshakeCompleted(self) -> None:
        """Begin to serve: the TLS handshake is complete."""
        if self.has_timeout(Timeout.TLS_HANDSHAKE):
            self.tell_handshake_ended()
            self.clear_timeout(Timeout.TLS_HANDSHAKE)
            self._begin()

    def _begin(self) -> None:
        """Serve the connection with the protocol negotiated by ALPN, if any."""
        if self._negotiated() == b"h2" and self._serves_http2:
            self._become_http2()  # sends its SETTINGS before the preface arrives
            if self.context.idle_grace_over:
                self.upgraded_to.close_when_idle()
        elif self.context.connected(self):
            self._become_idle()
        else:
            self._refuse(too_many_connections())
            # A lingering connection does not count.
            self.context.disconnected(self)

    def connectionMade(self) -> None:
        """Do nothing: `makeConnection` has done everything."""

    def readConnectionLost(self) -> None:
        """Handle the peer's FIN: no more requests; responses are sent while the peer reads."""
        if self._read_state is UPGRADED:
            self.upgraded_to.readConnectionLost()
            return
        exchange = self._responding
        receiving, self._receiving = self._receiving, None
        if self._read_state is CLOSED:
            return
        if exchange is None:
            self._lose_connection()  # no response is pending
            return
        switching = self._read_state is UPGRADE_PENDING
        if exchange is receiving or (switching and not self._pipelined):
            # The body stays incomplete, or this is a WebSocket, which needs both sides.
            exchange.connection_lost()
            self._lose_connection()
            return
        if self._pipelined and (receiving is not None or switching):
            self._pipelined.pop()
        self._stop_parsing(PEER_CLOSED)
        exchange.end_input(peer_half_closed=True)

    def writeConnectionLost(self) -> None:
        """Handle the end of writing: all octets and the server's FIN have been sent."""
        self._end_pause()
        self.clear_timeout(Timeout.WRITE_STALL)
        self._wake_drain_waiters()

    def connectionLost(self, reason: Failure) -> None:
        if self._read_state is UPGRADED:
            successor, self.upgraded_to = self.upgraded_to, None
            successor.connectionLost(reason)
            return
        log.closed(self, "%s", reason.value)
        exchange, self._responding = self._responding, None
        self.tell_handshake_lost()
        self._stop_parsing(CLOSED)
        self.parser = None  # its callbacks are bound to this object
        self.clear_timeouts()
        self._pipelined = None
        self._error_response = None
        self._out = None
        self._end_pause()
        self._wake_drain_waiters()
        self.context.disconnected(self)
        if exchange is not None:
            exchange.connection_lost()

    def _not_parsed(self, data: bytes) -> None:
        super()._not_parsed(data)
        if self._lingering is not None and not self._lingering.discard(len(data)):
            self.transport.abortConnection()
            return
        if len(data) >= LARGE_READ and (
            self._read_state is LINGERING or self._read_state is DISCARDING
        ):
            self._drop_in_turns()

    # The order of exchanges.

    def _start(self, exchange: Exchange) -> None:
        self.set_timeout(Timeout.RESPONSE, exchange.time_limit)
        exchange.start()
        if self._read_state is PEER_CLOSED:
            exchange.end_input(peer_half_closed=True)

    def _become_idle(self) -> None:
        if self.context.idle_grace_over:
            self._lose_connection()
        else:
            self._idle = True
            self.start_keep_alive(self._keep_alive_timeout)

    def may_keep_alive(self, exchange: Exchange) -> bool:
        if self.context.draining:
            # Keep the connection only for requests that have been read, at least in part.
            return bool(self._pipelined or self._partial_head or self._read_state is BUFFERING)
        return may_discard_rest(exchange, self._body_left)

    def response_complete(self, exchange: Exchange) -> None:
        self._responding = None
        if (
            exchange.keep_alive
            and exchange.request_complete
            and self._read_state is PARSING
            and self._due is None
            and self._pipelined is None
            and not self._partial_head
        ):
            # Fast path: the connection is idle again.
            self._idle = True
            self.deadline = deadline = self._timers.now + self._keep_alive_timeout
            if deadline < self.scheduled_at:
                self._timers.add(self)
            return
        if self._due is not None:
            self.clear_timeout(Timeout.RESPONSE)
        if not exchange.keep_alive:
            self._finish()
        elif exchange.request_complete:
            self._serve_next()
        elif exchange.expects_continue:
            # Only the peer knows whether it will send the body (RFC 9110, 10.1.1).
            self._linger()
        else:
            exchange.received_at_end = exchange.received
            self._resume_reading()
            self._wait_for_body()

    def _serve_next(self) -> None:
        """Serve the next request on the connection; no response is in progress."""
        if self._responding is None and self._pipelined:
            self._responding = self._pipelined.popleft()
        if not self._pipelined:
            self._pipelined = None
        if self._paused:
            # The peer does not read responses; `resumeProducing` continues.
            self._pause_reading()
            return
        if self._read_state is not BUFFERING:
            self._resume_reading()
        elif len(self._pipelined or ()) <= MAX_PIPELINED // 2:
            self._parse_unparsed()
        following = self._responding
        if following is not None:
            self._start(following)
        elif self._error_response is not None:
            self._write_error_response(self._error_response)
        elif self._read_state is DISCARDING or self._read_state is PEER_CLOSED:
            self._finish()
        elif self._read_state is PARSING and self._receiving is None and not self._partial_head:
            self._become_idle()
            return
        if self._receiving is not None or self._partial_head:
            self._wait_for_rest()

    def _parse_unparsed(self) -> None:
        kept, start = self._unparsed, self._unparsed_from
        self._unparsed, self._unparsed_from = b"", 0
        self._read_state = PARSING
        self._parse_in_pieces(kept, start)
        if self._read_state is PARSING and self._receiving is None and self.context.idle_grace_over:
            self._stop_parsing(DISCARDING)
        if self._read_state is not BUFFERING:
            self._resume_reading()

    def _refuse(self, error: PeerError) -> None:
        """Queue an error response for an invalid request, and close after it.

        A request never gets two responses.
        """
        receiving = self._receiving
        self.context.refused(self.log_label(receiving and receiving.client), error)
        request_line = (self._partial_head or self.head).partition(b"\r\n")[0]
        response = error_response(
            error,
            self.context.default_fields[0],
            head_only=request_line.startswith(b"HEAD "),
            http_10=request_line.endswith(b" HTTP/1.0"),
        )
        self._stop_parsing(DISCARDING)
        self._resume_reading()  # further octets are discarded
        if receiving is None:
            self._queue_error_response(response)
        elif receiving is self._responding:
            receiving.peer_gone()
            receiving.refuse(error)
        elif self._pipelined and receiving is self._pipelined[-1]:
            self._pipelined.pop()
            self._queue_error_response(response)
        else:  # its response was sent before the error in its body
            self._linger()

    def _queue_error_response(self, response: bytes) -> None:
        self._error_response = response
        if self._responding is None:
            self._write_error_response(response)

    def _write_error_response(self, response: bytes) -> None:
        self._write_now(response)
        self._linger()

    # Closing.

    def _stop_parsing(self, now: ReadState) -> None:
        """Discard an incomplete request, and clear the timeouts for its rest."""
        self._read_state = now
        self._idle = False
        self._receiving = None
        self._partial_head = b""
        self._unparsed = b""
        self._unparsed_from = 0
        if self._due is not None:
            self.clear_timeout(Timeout.REQUEST_HEAD)
            self.clear_timeout(Timeout.REQUEST_BODY)

    def _finish(self) -> None:
        """Close after the last response."""
        if self._read_state is PEER_CLOSED or (self._peer_closes and self._receiving is None):
            self._lose_connection()
        else:
            self._linger()

    def _lose_connection(self) -> None:
        self._drop()
        self.transport.unregisterProducer()
        self.transport.loseConnection()
        self.set_timeout(Timeout.WRITE_STALL, self.context.options.write_timeout)

    def _linger(self) -> None:
        """Close so that a peer that still sends can read the response (RFC 9112, 9.6)."""
        if self._read_state is LINGERING or self._read_state is CLOSED:
            return
        if self._read_state is PEER_CLOSED:
            self._lose_connection()
            return
        self._drop().begin(self)
        self._resume_reading()
        close_own_side(self.transport)

    def _drop(self) -> Lingering:
        """Discard all input from now on, because all responses have been sent."""
        self.context.writes.flush()
        self._stop_parsing(LINGERING)
        if self._lingering is None:
            self._lingering = Lingering(self)
        self._pipelined = None
        self._error_response = None
        self.clear_timeout(Timeout.RESPONSE)
        return self._lingering

    def _check_lingering(self) -> None:
        assert self._lingering is not None
        if not self._lingering.goes_on(self, is_unread=self._paused):
            self._lose_connection()

    def server_stops(self) -> None:
        """Do nothing: `may_keep_alive` closes after the requests that are on their way."""

    def close_when_idle(self, lingers: bool = False) -> None:
        """Serve the requests that have been read, and read no more: the idle grace is over."""
        exchange = self._pipelined[-1] if self._pipelined else self._responding
        if self._read_state is BUFFERING:
            return  # there are requests to parse; `_parse_unparsed` stops reading after them
        if exchange is not None:
            exchange.keep_alive = False
            if exchange.request_complete and self._read_state is PARSING:
                self._stop_parsing(DISCARDING)
        elif self._read_state is PARSING and not self._partial_head:
            if self._receiving is not None:
                self._linger()
            elif lingers and has_half_close(self.transport):
                self._linger()
                self.set_timeout(Timeout.LINGER, IDLE_LINGER_SECONDS)
            else:
                self._lose_connection()

    def upgrade(self, exchange: Exchange, lines: list[bytes], protocol: Any) -> None:
        """See Carrier (RFC 9110, 7.8).

        This object stays the protocol of the transport and forwards all calls, which works with
        every transport and wrapper.
        """
        defaults = self.context.default_fields[exchange.own_defaults]
        self._write_now(b"".join((SWITCHING_PROTOCOLS, defaults, *lines, b"\r\n")))
        kept, self._unparsed = self._unparsed, b""
        self._read_state = UPGRADED
        self._responding = None
        self.parser = None
        self.clear_timeouts()
        self.upgraded_to = protocol
        log.state(self, "upgraded to WebSocket")
        self.transport.unregisterProducer()
        self.context.switched(self, protocol)
        protocol.makeConnection(self.transport)
        if self._paused:
            protocol.pauseProducing()
        if kept:
            protocol.dataReceived(kept)
        if not self._reading and protocol.is_reading:
            self.transport.resumeProducing()

    def _become_http2(self, read: bytes = b"") -> None:
        """Hand the connection over to HTTP/2; see RequestReader."""
        self._read_state = UPGRADED
        self.parser = None
        self.clear_timeouts()
        log.state(self, "HTTP/2")
        self.upgraded_to = protocol = self.context.http2(self.context)
        self.transport.unregisterProducer()
        self.context.switched(self, protocol)
        protocol.makeConnection(self.transport)
        protocol.handshakeCompleted()  # there may have been no TLS handshake
        if read:
            protocol.dataReceived(read)

    def disconnect_application(self) -> None:
        """Send the disconnect event to the application; the graceful timeout is over."""
        exchange = self._responding
        if exchange is None:
            return
        self._pipelined = None
        if self._receiving is not exchange:
            self._receiving = None
        exchange.keep_alive = False
        exchange.end_input()

    def timed_out(self, timeout: Timeout) -> None:
        log.timer(self, "timed out waiting for %s", timeout.name)
        if timeout is Timeout.KEEP_ALIVE:
            self._lose_connection()
        elif timeout is Timeout.REQUEST_HEAD:
            self._refuse(PeerError(408, "The request head took too long."))
        elif timeout is Timeout.REQUEST_BODY:
            self._check_body_rate()
        elif timeout is Timeout.RESPONSE:
            exchange = self._responding
            if exchange is not None:
                exchange.response_timed_out()
        elif timeout is Timeout.LINGER:
            self._check_lingering()
        else:
            if timeout is Timeout.TLS_HANDSHAKE:
                self.context.refused_handshake(self.log_label(), "it took too long", "timeout")
            self.transport.abortConnection()

    # Back-pressure.

    def pauseProducing(self) -> None:
        super().pauseProducing()
        if self._idle:  # the last response is still in the transport
            self._idle = False
            self._pause_reading()

    def resumeProducing(self) -> None:
        super().resumeProducing()
        if self._read_state is LINGERING or self._read_state is CLOSED:
            return
        exchange = self._responding
        if exchange is None or (exchange.queue is None and exchange.state is AWAITING_START):
            self._serve_next()
