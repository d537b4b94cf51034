"""The reading half of an HTTP/1.1 connection: the order of requests and answers (RFC 9112).

What a request head must not be is in request.py, what an exchange is in exchange.py, how a
response is framed in output.py.
"""

from __future__ import annotations

import enum
import logging
from collections import deque
from typing import TYPE_CHECKING, Any

import httptools
from twisted.internet.interfaces import (
    IHalfCloseableProtocol,
    IProtocol,
    IPushProducer,
    ISSLTransport,
)
from twisted.python.failure import Failure
from zope.interface import implementer

from daphne_like.deadlines import NEVER
from daphne_like.exceptions import PeerError
from daphne_like.http import request
from daphne_like.http.exchange import COMPLETE, EXPECTED, HELD, Exchange
from daphne_like.http.output import HTTP1Output
from daphne_like.http.request import exchange_for, request_lines
from daphne_like.http.waits import Wait

if TYPE_CHECKING:
    from daphne_like.server import Server

log = logging.getLogger("daphne_like.http")

END_OF_HEAD = b"\r\n\r\n"
USUAL_HEAD = 16384
MOST_AHEAD = 16
"""Requests parsed ahead of the one that is answered; then the peer is read no further."""
MOST_EMPTY = 64
"""Octets of empty lines before a request line."""
MOST_DISCARDED = 262144
"""Octets of an unread request body that are read and dropped to keep a connection."""
MOST_OVERHEAD = 65536
"""Octets of chunk sizes, extensions and trailers without an octet of body between them."""
MOST_LINGERING = 16777216
"""Octets dropped after the last answer, so that the peer can read it (RFC 9112, 9.6)."""
LINGER_SECONDS = 2.0
"""For a peer that has stopped sending to close its side."""
MOST_LINGER_SECONDS = 30.0
"""For one that still sends what nobody reads."""


class Input(enum.Enum):
    """What happens to what the peer sends."""

    PARSED = enum.auto()
    KEPT = enum.auto()  # parsed when the requests before it are answered
    IGNORED = enum.auto()  # the connection ends with the answers that are owed
    FINISHED = enum.auto()  # likewise, and the peer has closed its side
    DROPPED = enum.auto()  # all answers are out, the connection lingers
    CLOSED = enum.auto()


PARSED, KEPT, IGNORED, FINISHED, DROPPED, CLOSED = Input


def end_of_section(before: bytes, data: bytes, start: int) -> int:
    """Where the first empty line ends; -1 if it is not there yet.

    Args:
        before: at most three octets that came before `data[start:]` and belong to the section.
        data: from `start` on what came.
        start: an index.
    """
    if before:
        found = (before + data[start : start + 3]).find(END_OF_HEAD)
        if found >= 0:
            return start + found + 4 - len(before)
    found = data.find(END_OF_HEAD, start)
    return found + 4 if found >= 0 else -1


@implementer(IProtocol, IHalfCloseableProtocol, IPushProducer)
class HTTP1Connection(HTTP1Output):
    """A connection; a Twisted protocol below, a carrier of exchanges above.

    Args:
        server: whose application is served.
    """

    __slots__ = (
        "__weakref__",
        "_again",
        "_ahead",
        "_body_left",
        "_exchange",
        "_fields",
        "_head",
        "_http_timeout",
        "_idle",
        "_input",
        "_keep_alive_timeout",
        "_kept",
        "_kept_from",
        "_known",
        "_linger_until",
        "_max_requests",
        "_octets",
        "_octets_at_look",
        "_overhead",
        "_peer_is_done",
        "_reading",
        "_receiving",
        "_refusal",
        "_refusal_head_only",
        "_requests",
        "_tail",
        "_target",
        "_upgrading",
        "addresses",
        "parser",
        "whole_head",
    )

    def __init__(self, server: Server) -> None:
        super().__init__(server)
        self.addresses: request.Addresses | None = None
        self._http_timeout = server.options.http_timeout
        self._keep_alive_timeout = server.options.keep_alive_timeout
        self._reading = True
        self.parser: Any = None
        self._input = PARSED
        self._exchange: Exchange | None = None  # the one that is answered
        self._receiving: Exchange | None = None  # the one whose body arrives
        self._ahead: deque[Exchange] | None = None
        self._fields: request.Fields = []
        self._target = b""
        self._head: bytes | bytearray = b""  # as far as it came, until it is whole
        self._body_left: int | None = 0  # of a Content-Length; None in a chunked body
        self._overhead = 0  # octets of chunked framing without body in between
        self._tail = b""  # the last three of them, while the body's end is looked for
        self._octets = 0  # dropped
        self._octets_at_look = 0
        self._linger_until = NEVER
        self._max_requests = server.options.max_requests_per_connection
        self._requests = 0
        self._kept = b""  # what is to be parsed of it begins at _kept_from
        self._kept_from = 0
        self._peer_is_done = False  # it said that it sends no further request
        self._refusal: PeerError | None = None
        self._refusal_head_only = False
        self._idle = False  # between two requests, and nothing owed
        self._known: request.FieldSection | None = None  # of the last request, if repeatable
        self._again = False  # the request that is parsed has the same
        self.whole_head = b""  # the octets of the head, without empty lines before it
        self._upgrading = False  # the parser has stopped for another protocol

    # What Twisted calls.

    def makeConnection(self, transport: Any) -> None:
        self.transport = transport
        transport.registerProducer(self, True)
        if self.server.connection_made(self):
            self._become_idle()
        else:
            self._refuse(PeerError(503, "Too many connections; try again."))
            # While it lingers it takes nobody's place.
            self.server.connection_lost(self)

    def connectionMade(self) -> None:
        """Part of IProtocol; makeConnection has done it all."""

    def dataReceived(self, data: bytes) -> None:
        if self._input is not PARSED:
            self._not_parsed(data)
            return
        if not self._idle:
            self._parse_in_pieces(data)
        else:
            self._idle = False
            self.deadline = NEVER
            known = self._known
            if known is not None and data.endswith(known.octets):
                line_end = len(data) - len(known.octets)
                if data.find(b"\r\n") == line_end:
                    # The fields of the last request again, octet for octet: what httptools and
                    # the checks said of them holds, and only the request line is new, if that.
                    line = request_lines.get(data[:line_end])
                    if line is not None and known.has_host:
                        exchange = exchange_for(self, line, known.fields, "1.1", True)
                        exchange.request_complete = True
                        if self._max_requests:
                            self._count_request(exchange)
                        self._exchange = exchange
                    else:
                        self._parse_request_line(data, line_end)
                        if self._exchange is None:
                            return
                        exchange = self._exchange
                    if self._http_timeout:
                        self.wait(Wait.ANSWER, self._http_timeout)
                    exchange.start()
                    return
                self._parse_in_pieces(data)
            elif (
                len(data) <= self.server.usual_head
                and data.endswith(END_OF_HEAD)
                and data.count(END_OF_HEAD) == 1
                and data[0] > 32
            ):
                # One head as it came, and nothing before or behind it.
                self.whole_head = data
                self._parse(data)
            else:
                self._parse_in_pieces(data)
        self._settle()

    def readConnectionLost(self) -> None:
        """The peer's FIN: no more requests; what is owed is answered as long as it reads."""
        exchange = self._exchange
        receiving, self._receiving = self._receiving, None
        if self._input is CLOSED:
            return
        if exchange is None:
            self._lose_connection()  # nothing is owed
            return
        if exchange is receiving:  # its body will never be whole
            exchange.close()
            self.server.disconnected(exchange)
            self._lose_connection()
            return
        if receiving is not None and self._ahead:
            self._ahead.pop()
        self._read_no_more(FINISHED)
        exchange.end_input()
        self.server.disconnected(exchange)

    def writeConnectionLost(self) -> None:
        """Our own half-close of a lingering connection is out, and all octets before it."""
        self._paused = False
        self.arrived(Wait.WRITE)
        self._release_writers()

    def connectionLost(self, reason: Failure) -> None:
        exchange, self._exchange = self._exchange, None
        self._read_no_more(CLOSED)
        self.parser = None  # its callbacks are bound to this object
        self.forget()
        self._ahead = None
        self._refusal = None
        self._out = None
        self._paused = False
        self._release_writers()
        self.server.connection_lost(self)
        if exchange is not None:
            exchange.close()
            self.server.disconnected(exchange)

    # Reading.

    def _parse(self, octets: bytes | memoryview) -> None:
        parser = self.parser
        if parser is None:
            parser = self.parser = httptools.HttpRequestParser(self)
        try:
            parser.feed_data(octets)
        except httptools.HttpParserUpgrade as upgrade:
            self._ignore_upgrade(octets[upgrade.args[0] :])
        except httptools.HttpParserError as error:
            if self._input is PARSED:  # else `Connection: close` came before it
                self._refuse(request.refusal(error, octets))

    def _parse_request_line(self, data: bytes, line_end: int) -> None:
        """Feed a head whose fields are known, without them."""
        self._again = True
        self.whole_head = data
        self._parse(data[:line_end] + END_OF_HEAD)
        self._again = False
        if self._exchange is None and self._input is PARSED:  # there was no request line
            self._refuse(PeerError(400, request.NOT_HTTP))

    def _parse_in_pieces(self, data: bytes, start: int = 0) -> None:
        """Feed one head, or what belongs to one body, at a time: parsing can stop after each."""
        size = len(data)
        view = memoryview(data)
        while start < size and self._input is PARSED:
            if self._ahead is not None and len(self._ahead) >= MOST_AHEAD:
                self._input = KEPT
                self._kept, self._kept_from = data, start
                self._pause_reading()
                return
            if self._body_left:
                end = min(size, start + self._body_left)
                self._parse(view[start:end])
            elif self._body_left is None:
                end = self._parse_chunks(data, view, start)
            else:
                end = self._parse_head(data, view, start)
            start = end

    def _parse_head(self, data: bytes, view: memoryview, start: int) -> int:
        """Feed a head as far as it is there; it is refused as soon as it is over a limit.

        Returns:
            Where it ends in `data`.
        """
        options = self.server.options
        head = self._head
        end = end_of_section(bytes(head[-3:]), data, start)
        is_whole = end >= 0
        if not is_whole:
            end = len(data)
        room = options.max_head - len(head)
        if end - start > room:
            is_whole = False
            end = start + room + 1
        if head:
            assert isinstance(head, bytearray)
            head += view[start:end]
        elif is_whole:
            head = data[start:end]
        else:
            head = bytearray(view[start:end])
        if is_whole and not head.isspace():
            self._head = b""
            self.whole_head = request.without_empty_lines(bytes(head))
        else:
            self._head = head if type(head) is bytearray else bytearray(head)
            self.whole_head = b""
        self._parse(view[start:end])
        if self._input is PARSED:
            if is_whole and len(self._head) > MOST_EMPTY:
                self._refuse(PeerError(400, "Too many empty lines."))
            elif len(self._target) > options.max_request_line:
                self._refuse(PeerError(414, "The request line is too long."))
            elif len(self._head) > options.max_head:
                self._refuse(PeerError(431, "The header section is too large."))
        return end

    def _parse_chunks(self, data: bytes, view: memoryview, start: int) -> int:
        """Feed a chunked body, its trailers too, to where it may end.

        Returns:
            Where that is in `data`.
        """
        receiving = self._receiving
        assert receiving is not None
        end = end_of_section(self._tail, data, start)
        if end >= 0:
            self._tail = b""
        else:
            end = len(data)
            self._tail = (self._tail + data[max(start, end - 3) :])[-3:]
        received = receiving.received
        self._parse(view[start:end])
        if self._receiving is receiving and receiving.received == received:
            self._overhead += end - start
            if self._overhead > MOST_OVERHEAD:
                self._refuse(PeerError(400, "Too much between the octets of a chunked body."))
        return end

    def _not_parsed(self, data: bytes) -> None:
        if self._input is KEPT:
            self._kept = self._kept[self._kept_from :] + data
            self._kept_from = 0
        elif self._input is DROPPED:
            self._octets += len(data)
            if self._octets > MOST_LINGERING:
                self.transport.abortConnection()

    def _ignore_upgrade(self, rest: bytes | memoryview) -> None:
        """Go on in HTTP/1.1 (RFC 9110, 7.8) after a request that asks for another protocol.

        httptools takes such a request to have no body, so a new parser is led to where the body
        begins: by a head of ours with the same framing, whose callbacks count for nothing.
        """
        self.parser = httptools.HttpRequestParser(self)
        if self._receiving is not None:
            framing = b"Transfer-Encoding: chunked"
            if self._body_left is not None:
                framing = b"Content-Length: %d" % self._body_left
            self.parser.feed_data(b"POST / HTTP/1.1\r\n%b\r\n\r\n" % framing)
            self._fields = []
            self._target = b""
        self._upgrading = False
        if rest:
            self._parse(rest)

    def _settle(self) -> None:
        """What came is parsed: start what can start, and wait for what is missing."""
        exchange = self._exchange
        if exchange is None:
            if self._input is PARSED and not self._idle:
                self._go_on()
            return
        if exchange.queue is None and exchange.state is EXPECTED and not self._paused:
            self._start(exchange)
        if self._receiving is not None or self._head:
            self._wait_for_rest()

    def _wait_for_rest(self) -> None:
        """What was read last is no whole request."""
        receiving = self._receiving
        if receiving is not None:
            receiving.flush_body()
            if receiving.is_full:
                self._pause_reading()
            elif not self.waits_for(Wait.BODY):
                self._wait_for_body()
        elif not self.waits_for(Wait.HEAD):
            self.wait(Wait.HEAD, self.server.options.header_timeout)

    # What httptools calls.

    def on_url(self, url: bytes) -> None:
        """A part of the request target."""
        self._target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """One field of the head, or of the trailers, which are dropped."""
        try:
            self._fields.append((request.names[name], value))
        except KeyError:
            self._fields.append((request.lower(name), value))

    def on_headers_complete(self) -> None:
        """The head is whole: check it, and make its exchange."""
        if self._upgrading:
            return
        target, self._target = self._target, b""
        if self._again:
            known = self._known
            assert known is not None
        else:
            fields, self._fields = self._fields, []
            known = request.check_fields(fields, len(self.whole_head), self.server.options)
            self._known = known.repeatable(self.whole_head)
        exchange = request.make_exchange(self, known, target)
        if known.is_framed:
            self._frame(exchange, known.by_name)
        else:
            exchange.request_complete = True
        if not exchange.keep_alive:
            self._peer_is_done = True
            if exchange.request_complete:
                self._input = IGNORED
        if self._due is not None:
            self.arrived(Wait.HEAD)
        if self._max_requests:
            self._count_request(exchange)
        if self._exchange is None:
            self._exchange = exchange
        elif self._ahead is None:
            self._ahead = deque((exchange,))
        else:
            self._ahead.append(exchange)

    def _count_request(self, exchange: Exchange) -> None:
        self._requests += 1
        if self._requests == self._max_requests:
            exchange.keep_alive = False

    def _frame(self, exchange: Exchange, fields: dict[bytes, bytes]) -> None:
        """Find out about the body, from fields that say something about it."""
        self._body_left = request.body_length(exchange.http_10, fields)
        if self._body_left == 0:
            exchange.request_complete = True
        else:
            self._expect_body(exchange, fields)
            self._receiving = exchange
        if b"upgrade" in fields and self.parser.should_upgrade():
            self._upgrading = True

    def _expect_body(self, exchange: Exchange, known: dict[bytes, bytes]) -> None:
        self._overhead = 0
        self._tail = b""
        most = self.server.options.max_body_size
        if most and self._body_left is not None and self._body_left > most:
            raise PeerError(413, "The body is too large.")
        expectation = known.get(b"expect")
        if expectation is not None and not exchange.http_10:
            if expectation.lower() != b"100-continue":
                raise PeerError(417, request.EXPECTATION)
            exchange.expects_continue = True

    def on_body(self, data: bytes) -> None:
        """A part of the body, without its framing."""
        exchange = self._receiving
        if exchange is None:
            return
        if self._body_left is None:
            self._overhead = 0
        else:
            self._body_left -= len(data)
        exchange.received += len(data)
        exchange.expects_continue = False  # it did not wait for us
        if exchange.state is COMPLETE:
            if exchange.received - exchange.received_at_end > MOST_DISCARDED:
                self._linger()
        else:
            most = self.server.options.max_body_size
            if most and exchange.received > most:
                raise PeerError(413, "The body is too large.")
            exchange.body_received(data)

    def on_message_complete(self) -> None:
        """The request is whole."""
        exchange = self._receiving
        if exchange is None or (self._upgrading and self._body_left != 0):
            return
        if self._fields:
            trailers, self._fields = self._fields, []
            request.check_trailers(trailers, self.server.options)
        self._receiving = None
        self._body_left = 0
        self.arrived(Wait.BODY)
        exchange.request_complete = True
        if not exchange.keep_alive:
            self._input = IGNORED
        self._resume_reading()
        if exchange.queue is not None:
            exchange.flush_body()

    # The order of exchanges.

    def _start(self, exchange: Exchange) -> None:
        if self._http_timeout:
            self.wait(Wait.ANSWER, self._http_timeout)
        exchange.start()
        if self._input is FINISHED:
            exchange.end_input()
            self.server.disconnected(exchange)

    def _become_idle(self) -> None:
        if self.server.stopping:
            self._lose_connection()
        else:
            self._idle = True
            self.wait_for_next(self._keep_alive_timeout)

    def may_keep_alive(self, exchange: Exchange) -> bool:
        if self.server.stopping:
            return bool(self._ahead)  # what has been read is answered
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
            self._answer_refusal(self._refusal)
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
        if self._input is not KEPT:
            self._resume_reading()

    def _refuse(self, error: PeerError) -> None:
        """Answer what is no request, in its turn, and close: never two answers to one request."""
        log.debug("! refused with %s", error)
        receiving = self._receiving
        head_only = (self._head or self.whole_head).startswith(b"HEAD ")
        self._read_no_more(IGNORED)
        self._resume_reading()  # and drop
        if receiving is None:
            self._refuse_next(error, head_only)
        elif receiving is self._exchange:
            state = receiving.state
            self.server.disconnected(receiving)
            if state is EXPECTED or state is HELD:
                self.answer(receiving, error)
            else:
                self.abort(receiving)
        elif self._ahead and receiving is self._ahead[-1]:
            self._ahead.pop()
            self._refuse_next(error, receiving.head_only)
        else:  # answered already, and its body goes on wrongly
            self._linger()

    def _refuse_next(self, error: PeerError, head_only: bool) -> None:
        self._refusal = error
        self._refusal_head_only = head_only
        if self._exchange is None:
            self._answer_refusal(error)

    def _answer_refusal(self, error: PeerError) -> None:
        self._write_answer(error, head_only=self._refusal_head_only)
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
        for wait in (Wait.HEAD, Wait.BODY):
            self.arrived(wait)

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
        if not ISSLTransport.providedBy(self.transport):
            # A transport lets its producer finish first.
            self.transport.unregisterProducer()
            self.transport.loseWriteConnection()
        self._linger_until = self._deadlines.clock() + MOST_LINGER_SECONDS
        self.wait(Wait.LINGER, LINGER_SECONDS)

    def _drop(self) -> None:
        """All answers are out: whatever is or was read counts for nothing."""
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

    def close_when_idle(self) -> None:
        """The server stops: what has been read is answered, and nothing more is read."""
        exchange = self._ahead[-1] if self._ahead else self._exchange
        if self._input is KEPT:
            self._input = IGNORED
            self._kept = b""
            self._resume_reading()
        if exchange is not None:
            exchange.keep_alive = False
            if exchange.request_complete and self._input is PARSED:
                self._read_no_more(IGNORED)
        elif self._input is PARSED and not self._head:
            if self._receiving is None:
                self._lose_connection()
            else:
                self._linger()

    def disconnect_application(self) -> None:
        """The server stops and has waited long enough: tell the application (design, 4)."""
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

    def _wait_for_body(self) -> None:
        receiving = self._receiving
        if receiving is not None:
            receiving.received_at_look = receiving.received
            self.wait(Wait.BODY, self.server.options.body_timeout)

    def _look_at_body_rate(self) -> None:
        receiving = self._receiving
        if receiving is None:
            return
        options = self.server.options
        waits_for_us = not self._reading or receiving.expects_continue
        got = receiving.received - receiving.received_at_look
        if waits_for_us or got >= options.body_minimum_rate * options.body_timeout:
            self._wait_for_body()
        else:
            self._refuse(PeerError(408, "The request body came too slowly."))

    def input_wanted(self, exchange: Exchange) -> None:
        """See Carrier."""
        super().input_wanted(exchange)
        self._wait_for_body()  # which it sends from now on

    def input_read(self) -> None:
        """See Carrier."""
        if not self._reading and self._input is not KEPT:
            self._resume_reading()
            self._wait_for_body()

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

    def _pause_reading(self) -> None:
        if self._reading:
            self._reading = False
            self.transport.pauseProducing()

    def _resume_reading(self) -> None:
        if not self._reading:
            self._reading = True
            self.transport.resumeProducing()

    def find_addresses(self) -> request.Addresses:
        """Both ends, from the first request on."""
        self.addresses = request.find_addresses(self.transport)
        return self.addresses
