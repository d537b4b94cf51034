"""The reading half of an HTTP/1.1 connection: turns octets into exchanges (RFC 9112).

httptools parses heads, request_line.py and fields.py check them. chunked.py decodes chunked bodies;
the octets of a body with Content-Length are counted here. connection.py orders the exchanges.
"""

from __future__ import annotations

import enum
from collections import deque
from typing import TYPE_CHECKING, Any

import httptools
from twisted.internet.interfaces import INegotiated

from daphne_like.asgi.queue import HIGH_WATER
from daphne_like.exceptions import PeerError
from daphne_like.http import fields
from daphne_like.http.addresses import ConnectionEnds, describe_ends
from daphne_like.http.exchange import Exchange
from daphne_like.http.extensions import ExtendedExchange
from daphne_like.http.h1 import request_line as request
from daphne_like.http.h1.chunked import ChunkedDecoder
from daphne_like.http.h1.request_line import request_lines
from daphne_like.http.h1.response_writer import ResponseWriter
from daphne_like.http.preface import PREFACE
from daphne_like.http.request_body import (
    TOO_SLOW,
    check_body_size,
    expect_body,
    has_long_rest,
    keeps_minimum_rate,
)
from daphne_like.http.response_state import AWAITING_START, COMPLETE
from daphne_like.http.scope import open_exchange
from daphne_like.runtime.timeouts import Timeout
from daphne_like.runtime.timer_wheel import NEVER

if TYPE_CHECKING:
    from daphne_like.runtime.context import ServerContext

known_line = request_lines.get
"""Bound once, because the interpreter does not specialise method calls on imported objects."""
known_names = fields.known_names

END_OF_HEAD = b"\r\n\r\n"
FAST_PATH_HEAD = 16384
MAX_CACHED_REQUEST = 1024
"""Maximum octets of a first request whose fields are looked up in the cache, or stored."""
SECRETS = frozenset((b"cookie", b"authorization", b"proxy-authorization"))
"""Fields that are never shared with other connections."""
PREFACE_FOUND = ("Pause on PRI/Upgrade",)
"""The arguments of the error that httptools raises at the connection preface of HTTP/2."""
MAX_PIPELINED = 16
"""Requests parsed ahead of the one in progress before reading is paused."""
MAX_EMPTY_LINES = 64
"""Octets of empty lines before a request line."""
LARGE_READ = 65536
"""Size in octets of a discarded read from which reading pauses until the next iteration. An event
loop reads up to 8 MiB of one connection at once, which takes as long as hundreds of requests."""
MAX_CHUNKS_A_TURN = 512
"""Chunks of one connection that are decoded in one iteration of the event loop, which takes half a
millisecond. A peer can send a million of them at once."""


class ReadState(enum.Enum):
    """The treatment of octets from the peer."""

    PARSING = enum.auto()
    BUFFERING = enum.auto()  # stored until earlier requests have their responses
    UPGRADE_PENDING = enum.auto()  # stored for another protocol, if the application accepts it
    UPGRADED = enum.auto()  # passed to the other protocol
    DISCARDING = enum.auto()  # discarded; the connection ends after the pending responses
    PEER_CLOSED = enum.auto()  # the same, after the peer has closed its side
    LINGERING = enum.auto()  # discarded; all responses have been sent
    CLOSED = enum.auto()


PARSING, BUFFERING, UPGRADE_PENDING, UPGRADED, DISCARDING, PEER_CLOSED, LINGERING, CLOSED = (
    ReadState
)


def end_of_section(before: bytes, data: bytes, start: int) -> int:
    """Return the index of the end of the first empty line; -1 if it has not arrived.

    Args:
        before: at most three octets of the section that precede `data[start:]`.
        data: the received octets.
        start: the index of the first octet to search.
    """
    if before:
        found = (before + data[start : start + 3]).find(END_OF_HEAD)
        if found >= 0:
            return start + found + 4 - len(before)
    found = data.find(END_OF_HEAD, start)
    return found + 4 if found >= 0 else -1


class RequestReader(ResponseWriter):
    """Parses octets from the peer into exchanges, and limits how far it reads ahead.

    Args:
        context: provides the options.
    """

    __slots__ = (
        "_body_left",
        "_chunks",
        "_decoder",
        "_fields",
        "_http_timeout",
        "_idle",
        "_last_section",
        "_line_begun",
        "_max_requests",
        "_partial_head",
        "_peer_closes",
        "_pipelined",
        "_read_state",
        "_reading",
        "_receiving",
        "_requests",
        "_responding",
        "_section_reused",
        "_serves_http2",
        "_target",
        "_turn_is_due",
        "_unparsed",
        "_unparsed_from",
        "_upgrading",
        "addresses",
        "head",
        "parser",
        "upgraded_to",
    )

    def __init__(self, context: ServerContext) -> None:
        super().__init__(context)
        self.addresses: ConnectionEnds | None = None
        self._http_timeout = context.options.http_timeout
        self._max_requests = context.options.max_requests_per_connection
        self._requests = 0
        self._serves_http2 = context.options.http != "1"
        self._reading = True
        self.parser: Any = None
        self._read_state = PARSING
        self._responding: Exchange | None = None  # the exchange in progress
        self._receiving: Exchange | None = None  # the exchange whose body arrives
        self._pipelined: deque[Exchange] | None = None
        self._fields: fields.Fields = []
        self._target = b""
        self._partial_head: bytes | bytearray = b""  # the received part of an incomplete head
        self.head = b""  # the latest complete head, without empty lines before it
        self._body_left: int | None = 0  # octets of a Content-Length; None in a chunked body
        self._line_begun = False  # httptools has been fed the method of the request line
        self._decoder: ChunkedDecoder | None = None
        self._chunks = 0  # chunks decoded in this iteration of the event loop
        self._turn_is_due = False  # `_begin_turn` is scheduled
        self._unparsed = b""  # stored octets; the unparsed ones begin at _unparsed_from
        self._unparsed_from = 0
        self._peer_closes = False  # the peer has announced that it sends no further request
        self._idle = False  # between two requests, with no response pending
        self._last_section: fields.FieldSection | None = None  # of the last request, if reusable
        self._section_reused = False  # the current request has the same section
        self._upgrading = False  # the parser has stopped for another protocol
        self.upgraded_to: Any = None  # the other protocol, after an upgrade

    # Implemented by the connection.

    def _start(self, exchange: Exchange) -> None:
        """Run the application of an exchange that is next."""
        raise NotImplementedError

    def _serve_next(self) -> None:
        """Serve the next request; no response is in progress."""
        raise NotImplementedError

    def _refuse(self, error: PeerError) -> None:
        """Refuse an invalid request."""
        raise NotImplementedError

    def upgrade(self, exchange: Exchange, lines: list[bytes], protocol: Any) -> None:
        """See Carrier."""
        raise NotImplementedError

    def _become_http2(self, read: bytes = b"") -> None:
        """Hand the connection over to HTTP/2 (RFC 9113, 3.2, 3.3).

        Args:
            read: the octets of the preface that this parser has consumed.
        """
        raise NotImplementedError

    def _linger(self) -> None:
        """Read no more, and close when the peer has read the last response."""
        raise NotImplementedError

    # Octets.

    def dataReceived(self, data: bytes) -> None:
        if self._read_state is not PARSING:
            if self.upgraded_to is not None:
                self.upgraded_to.dataReceived(data)
            else:
                self._not_parsed(data)
            return
        if not self._idle:
            self._parse_in_pieces(data)
        else:
            self._idle = False
            self.deadline = NEVER
            line_end = data.find(b"\r\n")
            known = self._last_section
            if self.addresses is None and line_end > 0 and len(data) <= MAX_CACHED_REQUEST:
                self._last_section = known = self._find_section(data[line_end:])
            if known is not None and data.startswith(known.octets, line_end):
                line = known_line(data[:line_end])
                if line is not None and known.has_host:
                    # The same field section as in the last request, after a cached request
                    # line: the results of httptools and of the checks are reused.
                    exchange = open_exchange(
                        self, line, known.fields, "1.1", True, ExtendedExchange
                    )
                    if self._max_requests:
                        self._count_request(exchange)
                    self._responding = exchange
                    section_end = line_end + len(known.octets)
                    if known.length or section_end != len(data):
                        self._take_body(exchange, known.length or 0, data, section_end)
                    else:
                        exchange.request_complete = True
                    if self._http_timeout:
                        self.set_timeout(Timeout.RESPONSE, self._http_timeout)
                    exchange.start()
                    if self._receiving is not None or self._partial_head:
                        self._wait_for_rest()
                    return
                self._parse_request_line(data, line_end, line_end + len(known.octets))
                self._after_feed()
                return
            head_end = data.find(END_OF_HEAD) + 4
            if 4 < head_end <= self.context.fast_path_head and data[0] > 32:
                # One complete head, and nothing before it.
                self.head = head = data[:head_end]
                self._feed_head(head)
                if head_end < len(data):
                    self._parse_in_pieces(data, head_end)
            else:
                self._parse_in_pieces(data)
        self._after_feed()

    def _find_section(self, section: bytes) -> fields.FieldSection | None:
        """Return cached fields for a connection's first request; None if not in the cache."""
        known = self.context.sections.get(section)
        if known is not None:
            try:
                self.describe_ends()
            except PeerError:
                return None  # the request is refused when it is parsed
        return known

    def _store_section(self, known: fields.FieldSection) -> None:
        """Cache the fields of a short first request without a body for other connections."""
        line = self.head.removesuffix(known.octets)
        if (
            not known.octets
            or known.length != 0
            or len(self.head) > MAX_CACHED_REQUEST
            or not SECRETS.isdisjoint(known.by_name)
            # Check again that the line has no line end. If parser and cache disagreed about the end
            # of the line, fields of this request would appear in the requests of others.
            or b"\n" in line
            or b"\r" in line
        ):
            return
        self.context.sections.store(known.octets, known)

    def _parse_request_line(self, data: bytes, line_end: int, section_end: int) -> None:
        """Parse the request line of a head whose field section is reused."""
        self._section_reused = True
        self.head = data[:section_end]
        self._feed_head(data[:line_end] + END_OF_HEAD)
        self._section_reused = False
        if self._responding is None and self._read_state is PARSING:  # there was no request line
            self._refuse(PeerError(400, request.NOT_HTTP, reason="invalid_request_line"))
        elif section_end < len(data):
            self._parse_in_pieces(data, section_end)

    def _take_body(self, exchange: Exchange, length: int, data: bytes, start: int) -> None:
        """Parse the octets after a head whose field section is reused: body and more requests."""
        if length:
            self._body_left = length
            self._receiving = exchange
            self.parser = None
        else:
            exchange.request_complete = True
        self._parse_in_pieces(data, start)

    def _feed_head(self, head: bytes) -> bool:
        """Feed a head, or its beginning, to httptools.

        Returns:
            False if nothing was fed, because the method is incomplete.
        """
        try:
            octets = request.with_known_method(head)
        except PeerError as error:
            self._refuse(error)
            return True
        if octets is None:
            return False
        self._parse(octets)
        return True

    def _parse(self, octets: bytes | memoryview) -> None:
        parser = self.parser
        if parser is None:
            parser = self.parser = httptools.HttpRequestParser(self)
        try:
            parser.feed_data(octets)
        except httptools.HttpParserUpgrade as upgrade:
            self._ignore_upgrade(octets[upgrade.args[0] :])
        except httptools.HttpParserError as error:
            if (
                error.args == PREFACE_FOUND
                and self.addresses is None
                and self._serves_http2
                and self._negotiated() != b"http/1.1"
            ):
                # The connection begins with the preface of HTTP/2.
                self._become_http2(PREFACE)
            elif self._read_state is PARSING:  # otherwise `Connection: close` preceded the error
                self._refuse(request.refusal(error, octets, self.log_label()))

    def _parse_in_pieces(self, data: bytes, start: int = 0) -> None:
        """Parse one head or one part of a body at a time, so that parsing can stop after each."""
        if self._unparsed:  # earlier octets wait for the next iteration
            self._unparsed = self._unparsed[self._unparsed_from :] + data[start:]
            self._unparsed_from = 0
            return
        size = len(data)
        view = memoryview(data)
        while start < size and self._read_state is PARSING:
            if self._pipelined is not None and len(self._pipelined) >= MAX_PIPELINED:
                self._read_state = BUFFERING
                self._unparsed, self._unparsed_from = data, start
                self._pause_reading()
                return
            if self._body_left:
                end = min(size, start + self._body_left)
                self._count_body(data if end - start == size else data[start:end])
            elif self._body_left is None:
                if self._chunks >= MAX_CHUNKS_A_TURN:
                    self._unparsed, self._unparsed_from = data, start
                    self._pause_reading()
                    return
                end = self._parse_chunks(data, start)
            else:
                end = self._parse_head(data, view, start)
            start = end
        if self._read_state is UPGRADE_PENDING and start < size:
            self._unparsed, self._unparsed_from = data[start:], 0
        elif self._read_state is UPGRADED and start < size:  # the connection has become HTTP/2
            self.upgraded_to.dataReceived(data[start:])

    def _count_body(self, octets: bytes) -> None:
        """Take a part of a body with Content-Length, which needs no parsing."""
        try:
            self.on_body(octets)
        except PeerError as error:
            self._refuse(error)
            return
        if self._body_left == 0 and self._receiving is not None:
            self.on_message_complete()

    def _parse_head(self, data: bytes, view: memoryview, start: int) -> int:
        """Parse the received part of a head; refuse the head as soon as it exceeds a limit.

        Returns:
            The index of the end of the head in `data`.
        """
        options = self.context.options
        head = self._partial_head
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
            self._partial_head = b""
            self.head = request.without_empty_lines(bytes(head))
        else:
            self._partial_head = head if type(head) is bytearray else bytearray(head)
            self.head = b""
        if self._line_begun:
            self._parse(view[start:end])
        else:
            self._line_begun = self._feed_head(self.head or bytes(self._partial_head))
        if self.head:
            self._line_begun = False
        if self._read_state is PARSING:
            if is_whole and len(self._partial_head) > MAX_EMPTY_LINES:
                self._refuse(PeerError(400, "Too many empty lines.", reason="invalid_request_line"))
            elif len(self._target) > options.max_request_line:
                self._refuse(PeerError(414, "The request line is too long."))
            elif len(self._partial_head) > options.max_head:
                self._refuse(PeerError(431, "The header section is too large."))
        return end

    def _parse_chunks(self, data: bytes, start: int) -> int:
        """Decode a chunked body, up to the limit for one iteration of the event loop.

        Returns:
            The index in `data` where decoding stopped.
        """
        decoder = self._decoder
        if decoder is None or self._receiving is None:  # the rest is discarded
            return len(data)
        try:
            body, end = decoder.decode(data, start, MAX_CHUNKS_A_TURN - self._chunks)
            if body:
                self.on_body(body)
            if decoder.is_done:
                self._decoder = None
                fields.check_trailers(decoder.trailers, self.context.options)
                self.on_message_complete()
        except PeerError as error:
            self._refuse(error)
            return len(data)
        self._chunks += decoder.chunks
        if self._chunks > MAX_CHUNKS_A_TURN // 8:  # a large upload has fewer
            self._begin_turn_soon()
        return end

    def _drop_in_turns(self) -> None:
        """Pause reading discarded octets until the next iteration of the event loop."""
        if self._reading:
            self._pause_reading()
            self._begin_turn_soon()

    def _begin_turn_soon(self) -> None:
        if not self._turn_is_due:
            self._turn_is_due = True
            self.context.loop.call_soon(self._begin_turn)

    def _begin_turn(self) -> None:
        """Continue work that exceeded the limit of the previous iteration of the event loop."""
        self._turn_is_due = False
        self._chunks = 0
        if self._read_state is LINGERING or (self._read_state is DISCARDING and not self._paused):
            self._resume_reading()
            return
        receiving = self._receiving
        if not self._unparsed or self._read_state is not PARSING:
            return
        if receiving is not None and receiving.is_full:
            return  # `body_consumed` continues
        kept, start = self._unparsed, self._unparsed_from
        self._unparsed, self._unparsed_from = b"", 0
        self._parse_in_pieces(kept, start)
        if self._read_state is not BUFFERING:
            self._resume_reading()
        self._after_feed()

    def _not_parsed(self, data: bytes) -> None:
        if self._read_state is BUFFERING or self._read_state is UPGRADE_PENDING:
            self._unparsed = self._unparsed[self._unparsed_from :] + data
            self._unparsed_from = 0
            if len(self._unparsed) >= HIGH_WATER:
                self._pause_reading()

    def _ignore_upgrade(self, rest: bytes | memoryview) -> None:
        """Continue with HTTP/1.1 after a request to upgrade, which the server may ignore (7.8)."""
        self.parser = None
        self._upgrading = False
        assert not rest  # a head is fed alone

    def _after_feed(self) -> None:
        """Start the next exchange after parsing, and set timeouts for incomplete requests."""
        exchange = self._responding
        if exchange is None:
            if self._read_state is PARSING and not self._idle:
                self._serve_next()
            return
        if exchange.queue is None and exchange.state is AWAITING_START and not self._paused:
            self._start(exchange)
        if self._receiving is not None or self._partial_head:
            self._wait_for_rest()

    def _wait_for_rest(self) -> None:
        """Set a timeout for the rest of an incomplete request."""
        receiving = self._receiving
        if receiving is not None:
            receiving.flush_body()
            if receiving.is_full:
                self._pause_reading()
            elif not self.has_timeout(Timeout.REQUEST_BODY):
                self._wait_for_body()
        elif not self.has_timeout(Timeout.REQUEST_HEAD):
            self.set_timeout(Timeout.REQUEST_HEAD, self.context.options.header_timeout)

    # Called by httptools.

    def on_url(self, url: bytes) -> None:
        """Append a part of the request target."""
        self._target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """Append a field of the head."""
        try:
            self._fields.append((known_names[name], value))
        except KeyError:
            self._fields.append((fields.lower(name), value))

    def on_headers_complete(self) -> None:
        """Check a complete head, and create its exchange."""
        target, self._target = self._target, b""
        known = self._last_section
        if known is None or not self._section_reused:
            parsed, self._fields = self._fields, []
            known = fields.check_fields(parsed, self.head, self.context.options)
            self._last_section = known if known.octets else None
        is_first = self.addresses is None
        exchange = request.check_request(self, known, target)
        if is_first:
            self._store_section(known)
        if known.length != 0:
            exchange = self._determine_framing(exchange, known.by_name)
        else:
            exchange.request_complete = True
        if not exchange.keep_alive and self._read_state is not UPGRADE_PENDING:
            self._peer_closes = True
            if exchange.request_complete:
                self._read_state = DISCARDING
        if self._due is not None:
            self.clear_timeout(Timeout.REQUEST_HEAD)
        if self._max_requests:
            self._count_request(exchange)
        if self._responding is None:
            self._responding = exchange
        elif self._pipelined is None:
            self._pipelined = deque((exchange,))
        else:
            self._pipelined.append(exchange)

    def _count_request(self, exchange: Exchange) -> None:
        self._requests += 1
        if self._requests == self._max_requests:
            exchange.keep_alive = False

    def _determine_framing(self, exchange: Exchange, known: dict[bytes, bytes]) -> Exchange:
        """Determine the framing of the body, and handle a request to upgrade.

        Returns:
            The exchange, or a WebSocket session that replaces it.
        """
        upgrading = b"upgrade" in known and self.parser.should_upgrade()
        self._body_left = fields.body_length(exchange.http_10, known)
        if b"upgrade" in known:
            has_body = self._body_left != 0
            session: Exchange | None = self.context.websockets.session_for(
                exchange, has_body=has_body
            )
            if session is not None:
                self._read_state = UPGRADE_PENDING
                self._upgrading = upgrading
                return session
        if self._body_left == 0:
            exchange.request_complete = True
        else:
            self._expect_body(exchange, known)
            self._receiving = exchange
            self.parser = None  # this parser is not fed the body, so the next head needs another
            if self._body_left is None:
                self._decoder = ChunkedDecoder()
        if upgrading:
            self._upgrading = True
        return exchange

    def _expect_body(self, exchange: Exchange, known: dict[bytes, bytes]) -> None:
        check_body_size(self._body_left, self.context.options)
        expectation = known.get(b"expect")
        if expectation is not None and not exchange.http_10:
            if expectation.lower() != b"100-continue":
                raise PeerError(417, fields.EXPECTATION)
            exchange.expects_continue = True

    def on_body(self, data: bytes) -> None:
        """Take a part of the body, without its framing."""
        exchange = self._receiving
        if exchange is None:
            return
        if self._body_left is not None:
            self._body_left -= len(data)
        exchange.received += len(data)
        exchange.expects_continue = False  # the peer did not wait for 100 Continue
        if exchange.state is COMPLETE:
            if has_long_rest(exchange):
                self._linger()
        else:
            check_body_size(exchange.received, self.context.options)
            exchange.body_received(data)

    def on_message_complete(self) -> None:
        """Complete the request."""
        exchange = self._receiving
        if exchange is None or self._section_reused or (self._upgrading and self._body_left != 0):
            return
        self._receiving = None
        self._body_left = 0
        self.clear_timeout(Timeout.REQUEST_BODY)
        exchange.request_complete = True
        if not exchange.keep_alive:
            self._read_state = DISCARDING
        self._resume_reading()
        if exchange.queue is not None:
            exchange.flush_body()

    # The minimum rate of the body.

    def _wait_for_body(self) -> None:
        receiving = self._receiving
        if receiving is not None:
            expect_body(self, receiving)

    def _check_body_rate(self) -> None:
        receiving = self._receiving
        if receiving is None:
            return
        if keeps_minimum_rate(self, receiving, is_held=not self._reading):
            self._wait_for_body()
        else:
            self._refuse(TOO_SLOW)

    def body_requested(self, exchange: Exchange) -> None:
        """See Carrier."""
        super().body_requested(exchange)
        self._wait_for_body()  # the peer sends the body from now on

    def body_consumed(self) -> None:
        """See Carrier."""
        if not self._reading and self._read_state is not BUFFERING:
            self._resume_reading()
            self._wait_for_body()

    def _pause_reading(self) -> None:
        if self._reading:
            self._reading = False
            self.transport.pauseProducing()

    def _resume_reading(self) -> None:
        if self._unparsed and self._read_state is PARSING:
            self._begin_turn_soon()  # octets that have been read come first
            return
        if not self._reading and (
            self._read_state is not UPGRADE_PENDING or len(self._unparsed) < HIGH_WATER
        ):
            self._reading = True
            self.transport.resumeProducing()

    @property
    def client(self) -> list[Any] | None:
        """See Carrier; available before the first request."""
        return (self.addresses or describe_ends(self.transport)).client

    def describe_ends(self) -> ConnectionEnds:
        """Describe both ends of the connection, at the first request.

        Raises:
            PeerError: 400, ALPN has selected HTTP/2, but the peer speaks HTTP/1.1 (RFC 9113, 3.2).
                If the transport reports the end of the handshake, HTTP/2 has taken over already.
        """
        if self._negotiated() == b"h2":
            raise PeerError(
                400,
                "TLS has settled on HTTP/2, and this is HTTP/1.1.",
                reason="invalid_http_version",
            )
        self.addresses = describe_ends(self.transport)
        return self.addresses

    def _negotiated(self) -> bytes | None:
        """Return the protocol selected by ALPN; None without TLS or without ALPN."""
        transport = self.transport
        if not INegotiated.providedBy(transport):
            return None
        protocol: bytes | None = transport.negotiatedProtocol
        return protocol
