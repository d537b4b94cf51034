"""An HTTP/1.1 connection: the order of its requests and answers, and its end (RFC 9112).

How octets become exchanges is in reading.py, how a response is framed in output.py, what an
exchange is in exchange.py.
"""

from __future__ import annotations

import logging
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

from daphne_like.exceptions import PeerError
from daphne_like.http.exchange import EXPECTED, HELD, Exchange
from daphne_like.http.h1.request_reader import (
    CLOSED,
    DROPPED,
    FINISHED,
    IGNORED,
    KEPT,
    LARGE_READ,
    MOST_AHEAD,
    MOST_DISCARDED,
    PARSED,
    SWITCHED,
    SWITCHING,
    HTTP1Input,
    Input,
)
from daphne_like.http.h1.status_lines import short_answer
from daphne_like.http.h2.connection import HTTP2Connection
from daphne_like.runtime.timeouts import Wait
from daphne_like.runtime.timer_wheel import NEVER

if TYPE_CHECKING:
    from daphne_like.server import Server

log = logging.getLogger("daphne_like.http")

SWITCHING_PROTOCOLS = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n"

MOST_LINGERING = 16777216
"""Octets dropped after the last answer, so that the peer can read it (RFC 9112, 9.6)."""
LINGER_SECONDS = 2.0
"""For a peer that has stopped sending to close its side."""
MOST_LINGER_SECONDS = 30.0
"""For one that still sends what nobody reads."""


@implementer(IProtocol, IHalfCloseableProtocol, IHandshakeListener, IPushProducer)
class HTTP1Connection(HTTP1Input):
    """A connection; a Twisted protocol below, a carrier of exchanges above.

    Args:
        server: whose application is served.
    """

    __slots__ = (
        "__weakref__",
        "_keep_alive_timeout",
        "_linger_until",
        "_octets",
        "_octets_at_look",
        "_refusal",
    )

    def __init__(self, server: Server) -> None:
        super().__init__(server)
        self._keep_alive_timeout = server.options.keep_alive_timeout
        self._octets = 0  # dropped
        self._octets_at_look = 0
        self._linger_until = NEVER
        self._refusal: bytes | None = None

    # What Twisted calls.

    def makeConnection(self, transport: Any) -> None:
        self.transport = transport
        transport.registerProducer(self, True)
        if isinstance(transport, TLSMemoryBIOProtocol):
            # Twisted's own TLS calls before the handshake, and has no deadline for it (S35).
            self.server.protocol_connected(self)
            self.wait(Wait.HANDSHAKE, self.server.options.tls_handshake_timeout)
        else:
            self._begin()

    def handshakeCompleted(self) -> None:
        """The peer has come through the TLS handshake."""
        if self.waits_for(Wait.HANDSHAKE):
            self.arrived(Wait.HANDSHAKE)
            self._begin()

    def _begin(self) -> None:
        """Serve the connection in the protocol that TLS has settled on, if it has."""
        if self._negotiated() == b"h2" and self._serves_http2:
            self._become_http2()  # which sends its settings before it has seen the preface
            if self.server.idle_grace_over:
                self._successor.close_when_idle()
        elif self.server.protocol_connected(self):
            self._become_idle()
        else:
            self._refuse(PeerError(503, "Too many connections; try again."))
            # While it lingers it takes nobody's place.
            self.server.protocol_disconnected(self)

    def connectionMade(self) -> None:
        """Part of IProtocol; makeConnection has done it all."""

    def readConnectionLost(self) -> None:
        """The peer's FIN: no more requests; what is owed is answered as long as it reads."""
        if self._input is SWITCHED:
            self._successor.readConnectionLost()
            return
        exchange = self._exchange
        receiving, self._receiving = self._receiving, None
        if self._input is CLOSED:
            return
        if exchange is None:
            self._lose_connection()  # nothing is owed
            return
        switching = self._input is SWITCHING
        if exchange is receiving or (switching and not self._ahead):
            # Its body will never be whole; or it is a WebSocket, which has no use for one side.
            exchange.connection_lost()
            self.server.disconnected(exchange)
            self._lose_connection()
            return
        if self._ahead and (receiving is not None or switching):
            self._ahead.pop()
        self._read_no_more(FINISHED)
        exchange.end_input(peer_is_done=True)
        self.server.disconnected(exchange)

    def writeConnectionLost(self) -> None:
        """Our own half-close of a lingering connection is out, and all octets before it."""
        self._paused = False
        self.arrived(Wait.WRITE)
        self._release_writers()

    def connectionLost(self, reason: Failure) -> None:
        if self._input is SWITCHED:
            successor, self._successor = self._successor, None
            successor.connectionLost(reason)
            return
        exchange, self._exchange = self._exchange, None
        self._read_no_more(CLOSED)
        self.parser = None  # its callbacks are bound to this object
        self.forget()
        self._ahead = None
        self._refusal = None
        self._out = None
        self._paused = False
        self._release_writers()
        self.server.protocol_disconnected(self)
        if exchange is not None:
            exchange.connection_lost()
            self.server.disconnected(exchange)
            if self.server.action_logger is not None and not exchange.logged:
                self.server.log_exchange(exchange)

    def _not_parsed(self, data: bytes) -> None:
        super()._not_parsed(data)
        if self._input is DROPPED:
            self._octets += len(data)
            if self._octets > MOST_LINGERING:
                self.transport.abortConnection()
                return
        if len(data) >= LARGE_READ and (self._input is DROPPED or self._input is IGNORED):
            self._drop_in_turns()

    # The order of exchanges.

    def _start(self, exchange: Exchange) -> None:
        self.wait(Wait.ANSWER, exchange.time_limit)
        exchange.start()
        if self._input is FINISHED:
            exchange.end_input(peer_is_done=True)
            self.server.disconnected(exchange)

    def _become_idle(self) -> None:
        if self.server.idle_grace_over:
            self._lose_connection()
        else:
            self._idle = True
            self.wait_for_next(self._keep_alive_timeout)

    def may_keep_alive(self, exchange: Exchange) -> bool:
        if self.server.stopping:
            # What has been read is answered, and what is known to be on its way.
            return bool(self._ahead or self._head or self._input is KEPT)
        # What is left of the body is read and dropped, if it is short and on its way already.
        return exchange.request_complete or (
            not exchange.expects_continue
            and self._body_left is not None
            and self._body_left <= MOST_DISCARDED
        )

    def exchange_over(self, exchange: Exchange) -> None:
        self._exchange = None
        if (
            exchange.keep_alive
            and exchange.request_complete
            and self._input is PARSED
            and self._due is None
            and self._ahead is None
            and not self._head
            and self.server.action_logger is None
        ):
            # The usual end, flat: the connection is idle again.
            self._idle = True
            self.deadline = deadline = self._deadlines.now + self._keep_alive_timeout
            if deadline < self.looked_at:
                self._deadlines.add(self)
            return
        if self._due is not None:
            self.arrived(Wait.ANSWER)
        if self.server.action_logger is not None:
            self.server.log_exchange(exchange)
        if not exchange.keep_alive:
            self._finish()
        elif exchange.request_complete:
            self._go_on()
        elif exchange.expects_continue:
            # Whether what comes next is the body, only the peer knows (RFC 9110, 10.1.1).
            self._linger()
        else:
            exchange.received_at_end = exchange.received
            self._resume_reading()
            self._wait_for_body()

    def _go_on(self) -> None:
        """Nothing is being answered: on to what comes next on the connection."""
        if self._exchange is None and self._ahead:
            self._exchange = self._ahead.popleft()
        if not self._ahead:
            self._ahead = None
        if self._paused:
            # The peer does not read its answers; resumeProducing goes on.
            self._pause_reading()
            return
        if self._input is not KEPT:
            self._resume_reading()
        elif len(self._ahead or ()) <= MOST_AHEAD // 2:
            self._parse_kept()
        following = self._exchange
        if following is not None:
            self._start(following)
        elif self._refusal is not None:
            self._write_refusal(self._refusal)
        elif self._input is IGNORED or self._input is FINISHED:
            self._finish()
        elif self._input is PARSED and self._receiving is None and not self._head:
            self._become_idle()
            return
        if self._receiving is not None or self._head:
            self._wait_for_rest()

    def _parse_kept(self) -> None:
        kept, start = self._kept, self._kept_from
        self._kept, self._kept_from = b"", 0
        self._input = PARSED
        self._parse_in_pieces(kept, start)
        if self._input is PARSED and self._receiving is None and self.server.idle_grace_over:
            self._read_no_more(IGNORED)
        if self._input is not KEPT:
            self._resume_reading()

    def _refuse(self, error: PeerError) -> None:
        """Answer what is no request, in its turn, and close: never two answers to one request."""
        receiving = self._receiving
        self.server.refused((receiving and receiving.client) or self.client, error)
        request_line = (self._head or self.whole_head).partition(b"\r\n")[0]
        answer = short_answer(
            error,
            self.server.default_fields[0],
            head_only=request_line.startswith(b"HEAD "),
            http_10=request_line.endswith(b" HTTP/1.0"),
        )
        self._read_no_more(IGNORED)
        self._resume_reading()  # and drop
        if receiving is None:
            self._refuse_next(answer)
        elif receiving is self._exchange:
            state = receiving.state
            self.server.disconnected(receiving)
            if state is EXPECTED or state is HELD:
                self.answer(receiving, error)
            else:
                self.abort(receiving)
        elif self._ahead and receiving is self._ahead[-1]:
            self._ahead.pop()
            self._refuse_next(answer)
        else:  # answered already, and its body goes on wrongly
            self._linger()

    def _refuse_next(self, answer: bytes) -> None:
        self._refusal = answer
        if self._exchange is None:
            self._write_refusal(answer)

    def _write_refusal(self, answer: bytes) -> None:
        self._write_now(answer)
        self._linger()

    # Closing.

    def _read_no_more(self, now: Input) -> None:
        """Forget what is half read, and the waits for the rest of it."""
        self._input = now
        self._idle = False
        self._receiving = None
        self._head = b""
        self._kept = b""
        self._kept_from = 0
        if self._due is not None:
            self.arrived(Wait.HEAD)
            self.arrived(Wait.BODY)

    def _finish(self) -> None:
        """Close after the last answer."""
        if self._input is FINISHED or (self._peer_is_done and self._receiving is None):
            self._lose_connection()
        else:
            self._linger()

    def _lose_connection(self) -> None:
        self._drop()
        self.transport.unregisterProducer()
        self.transport.loseConnection()
        self.wait(Wait.WRITE, self.server.options.write_timeout)

    def _linger(self) -> None:
        """Close so that the peer can read the answer though it still sends (RFC 9112, 9.6)."""
        if self._input is DROPPED or self._input is CLOSED:
            return
        if self._input is FINISHED:
            self._lose_connection()
            return
        self._drop()
        self._resume_reading()
        if not isinstance(self.transport, TLSMemoryBIOProtocol):  # Twisted's knows no half-close
            # A transport lets its producer finish first.
            self.transport.unregisterProducer()
            self.transport.loseWriteConnection()
        self._linger_until = self._deadlines.clock() + MOST_LINGER_SECONDS
        self.wait(Wait.LINGER, LINGER_SECONDS)

    def _drop(self) -> None:
        """All answers are out: whatever is or was read counts for nothing."""
        self.server.outbox.flush()
        self._read_no_more(DROPPED)
        self._ahead = None
        self._refusal = None
        self.arrived(Wait.ANSWER)

    def _look_at_lingering(self) -> None:
        still_busy = self._paused or self._octets > self._octets_at_look
        self._octets_at_look = self._octets
        if still_busy and self._deadlines.clock() < self._linger_until:
            self.wait(Wait.LINGER, LINGER_SECONDS)
        else:
            self._lose_connection()

    def server_stops(self) -> None:
        """The server begins to stop: requests on their way are answered, with `close`."""
        if self._exchange is not None:
            self._exchange.server_stops()

    def close_when_idle(self) -> None:
        """The grace of a stop is over: what has been read is answered, nothing more is read."""
        exchange = self._ahead[-1] if self._ahead else self._exchange
        if self._input is KEPT:
            return  # there are requests to parse; `_parse_kept` reads no more behind them
        if exchange is not None:
            exchange.keep_alive = False
            if exchange.request_complete and self._input is PARSED:
                self._read_no_more(IGNORED)
            if exchange is self._exchange:
                exchange.server_stops()
        elif self._input is PARSED and not self._head:
            if self._receiving is None:
                self._lose_connection()
            else:
                self._linger()

    def switch(self, exchange: Exchange, lines: list[bytes], protocol: Any) -> None:
        """See Carrier (RFC 9110, 7.8).

        This object stays the transport's protocol and passes on what it is told: that holds on
        every transport and wrapper, whatever it calls the protocol it carries.
        """
        defaults = self.server.default_fields[exchange.specials]
        self._write_now(b"".join((SWITCHING_PROTOCOLS, defaults, *lines, b"\r\n")))
        kept, self._kept = self._kept, b""
        self._input = SWITCHED
        self._exchange = None
        self.parser = None
        self.forget()
        self._successor = protocol
        self.transport.unregisterProducer()
        self.server.connection_switched(self, protocol)
        protocol.makeConnection(self.transport)
        if self._paused:
            protocol.pauseProducing()
        if kept:
            protocol.dataReceived(kept)
        if not self._reading and protocol.is_reading:
            self.transport.resumeProducing()

    def _become_http2(self, read: bytes = b"") -> None:
        """See HTTP1Input."""
        self._input = SWITCHED
        self.parser = None
        self.forget()
        self._successor = protocol = HTTP2Connection(self.server)
        self.transport.unregisterProducer()
        self.server.connection_switched(self, protocol)
        protocol.makeConnection(self.transport)
        protocol.handshakeCompleted()  # if there was one
        if read:
            protocol.dataReceived(read)

    def disconnect_application(self) -> None:
        """The server stops and has waited long enough: tell the application."""
        exchange = self._exchange
        if exchange is None:
            return
        self._ahead = None
        if self._receiving is not exchange:
            self._receiving = None
        exchange.keep_alive = False
        exchange.end_input()

    def waited_too_long(self, wait: Wait) -> None:
        log.debug("%% waited too long for %s", wait.name)
        if wait is Wait.NEXT:
            self._lose_connection()
        elif wait is Wait.HEAD:
            self._refuse(PeerError(408, "The request head took too long."))
        elif wait is Wait.BODY:
            self._look_at_body_rate()
        elif wait is Wait.ANSWER:
            exchange = self._exchange
            if exchange is not None:
                self._application_too_slow(exchange)
        elif wait is Wait.LINGER:
            self._look_at_lingering()
        else:
            if wait is Wait.HANDSHAKE:
                self.server.refused_handshake(self.client, "it took too long")
            self.transport.abortConnection()

    def _application_too_slow(self, exchange: Exchange) -> None:
        state = exchange.state
        self.server.application_too_slow(exchange)
        if state is EXPECTED or state is HELD:
            text = "Application failed to respond within time limit."
            self.answer(exchange, PeerError(503, text))
        else:
            self.abort(exchange)

    # Reading and not reading.

    def pauseProducing(self) -> None:
        super().pauseProducing()
        if self._idle:  # the answer before it lies in the transport
            self._idle = False
            self._pause_reading()

    def resumeProducing(self) -> None:
        super().resumeProducing()
        if self._input is DROPPED or self._input is CLOSED:
            return
        exchange = self._exchange
        if exchange is None or (exchange.queue is None and exchange.state is EXPECTED):
            self._go_on()
