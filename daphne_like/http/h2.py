"""An HTTP/2 connection: h2's state machine below, streams above, and its end (RFC 9113).

What one stream does is in h2_stream.py, what fields must be in h2_fields.py.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from h2 import events as h2_events
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.exceptions import ProtocolError
from h2.settings import SettingCodes
from hyperframe.frame import GoAwayFrame
from twisted.internet.interfaces import IHalfCloseableProtocol, IProtocol, IPushProducer
from twisted.python.failure import Failure
from zope.interface import implementer

from daphne_like.exceptions import PeerError
from daphne_like.http import request
from daphne_like.http.exchange import Exchange
from daphne_like.http.fields import EXPECTATION, Fields, check_size
from daphne_like.http.h2_fields import (
    CachedDecoder,
    Head,
    MalformedError,
    StatelessEncoder,
    check_head,
    check_names_and_values,
    field_of,
)
from daphne_like.http.h2_stream import FIRST_WINDOW, HTTP2Stream
from daphne_like.http.pace import Paced
from daphne_like.http.request import METHODS, RequestLine, Target, exchange_for, split_target
from daphne_like.http.waits import Wait

if TYPE_CHECKING:
    from daphne_like.server import Server

log = logging.getLogger("daphne_like.http")

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
CONNECTION_WINDOW = 1048576
"""Octets of bodies on all streams that are on their way."""
MOST_WIDENED = 4194304
"""Octets by which the windows of all streams together may be wider than at first."""
FRAME = 16384
WRITTEN_AT_ONCE = 65536
"""Octets after which the transport is asked whether the peer reads."""

BURST = 400
"""Frames that ask for work and carry none: resets, pings, settings, priorities (S13 to S15)."""
REFILL = 40.0
"""The same, in each second; a request that is answered gives one back, too."""

CONFIG = H2Configuration(
    client_side=False,
    header_encoding=None,
    # All of it is checked in h2_fields.py, where a malformed request is its stream's error.
    validate_inbound_headers=False,
    normalize_inbound_headers=False,
    validate_outbound_headers=False,
    normalize_outbound_headers=False,
)


@implementer(IProtocol, IHalfCloseableProtocol, IPushProducer)
class HTTP2Connection(Paced):
    """A connection; a Twisted protocol below, streams with exchanges above.

    Args:
        server: whose application is served.

    Attributes:
        streams: by number, as long as their exchanges are not over.
    """

    __slots__ = (
        "__weakref__",
        "_budget",
        "_budget_at",
        "_data",
        "_flushing",
        "_given_back",
        "_goes",
        "_h2",
        "_lost",
        "_ring",
        "_touched",
        "_widened",
        "addresses",
        "streams",
    )

    is_reading = True

    def __init__(self, server: Server) -> None:
        super().__init__(server)
        self.addresses: request.Addresses | None = None
        self.streams: dict[int, HTTP2Stream] = {}
        self._h2 = conn = H2Connection(CONFIG)
        options = server.options
        conn.encoder = StatelessEncoder()  # type: ignore[assignment] # has what h2 calls
        # Twice: a section between one and two times the limit is answered with 431.
        conn.decoder = CachedDecoder(2 * options.max_field_section)
        conn.local_settings.update(
            {
                SettingCodes.MAX_CONCURRENT_STREAMS: options.h2_max_streams,
                SettingCodes.INITIAL_WINDOW_SIZE: FIRST_WINDOW,
                SettingCodes.MAX_HEADER_LIST_SIZE: options.max_field_section,
                SettingCodes.ENABLE_CONNECT_PROTOCOL: 1,
            }
        )
        self._ring: dict[HTTP2Stream, None] = {}  # those with octets pending, in turn
        self._touched: dict[HTTP2Stream, None] = {}
        self._flushing = False
        self._goes = False  # GOAWAY is out
        self._lost = False
        self._given_back = 0
        self._widened = 0
        self._budget = float(BURST)
        self._budget_at = server.clock()

    # What Twisted calls, or the HTTP/1.1 connection that has seen the preface.

    def makeConnection(self, transport: Any) -> None:
        self.transport = transport
        transport.registerProducer(self, True)
        if not self.server.protocol_connected(self):
            self._cut()
            return
        self._h2.initiate_connection()
        self._h2.increment_flow_control_window(CONNECTION_WINDOW - 65535)
        self._flush_soon()
        self.wait(Wait.HEAD, self.server.options.header_timeout)  # for the preface and settings

    def connectionMade(self) -> None:
        """Part of IProtocol; makeConnection has done it all."""

    def dataReceived(self, data: bytes) -> None:
        if self._lost:
            return
        try:
            events = self._h2.receive_data(data)
        except ProtocolError as error:
            self._fail(error)
            return
        for event in events:
            act = ACTS.get(type(event))
            if act is not None:
                act(self, event)
        touched, self._touched = self._touched, {}
        for stream in touched:
            stream.body_read_on()
        if not self._lost:
            self._flush_soon()

    def readConnectionLost(self) -> None:
        """The peer's FIN: what it has asked for is answered, as long as it reads."""
        for stream in list(self.streams.values()):
            if stream.half_closed and stream.tunnel is None:
                stream.exchange.end_input()
                self.server.disconnected(stream.exchange)
            else:
                stream.lost()
                del self.streams[stream.number]
        self._go_away(ErrorCodes.NO_ERROR)

    def writeConnectionLost(self) -> None:
        """Part of IHalfCloseableProtocol: this side is never closed alone."""

    def connectionLost(self, reason: Failure) -> None:
        self._lost = True
        self.forget()
        self._paused = False
        streams, self.streams = self.streams, {}
        self._ring.clear()
        self.server.protocol_disconnected(self)
        for stream in streams.values():
            stream.lost()

    def find_addresses(self) -> request.Addresses:
        """Both ends, from the first request on."""
        self.addresses = request.find_addresses(self.transport)
        return self.addresses

    # What the peer sends.

    def _request_received(self, event: h2_events.RequestReceived) -> None:
        number = event.stream_id
        if self._goes:
            self._reset(number, ErrorCodes.REFUSED_STREAM)
            return
        stream = HTTP2Stream(self, number)
        try:
            head = check_head(event.headers)
            refusal = self._put_into(stream, head, event.stream_ended is not None)
        except MalformedError as error:
            log.debug("! stream %d is malformed: %s", number, error)
            self._reset(number, ErrorCodes.PROTOCOL_ERROR)
            self._spend()
            return
        self.streams[number] = stream
        self.forget()
        if refusal is None:
            stream.start()
        else:
            stream.refuse(refusal)

    def _put_into(self, stream: HTTP2Stream, head: Head, ended: bool) -> PeerError | None:
        """Give a stream the exchange of its head.

        Returns:
            What the peer is owed instead of the application's answer.
        """
        options = self.server.options
        refusal: PeerError | None = None
        try:
            check_size(head.fields, options)
            target = split_target(head.method, head.path)
            if target.authority is not None:
                raise MalformedError("the path is an absolute URI")
            if len(head.path) > options.max_request_line:
                raise PeerError(414, "The request target is too long.")
            if options.max_body_size and (head.length or 0) > options.max_body_size:
                raise PeerError(413, "The body is too large.")
        except PeerError as error:
            refusal = error
            target = Target("", b"", b"", None)
        method = METHODS.get(head.method) or head.method.decode("ascii")
        line = RequestLine(method, method == "HEAD", head.path, *target[:3])
        fields = head.fields
        if not options.keep_underscores and any(b"_" in name for name, _ in fields):
            fields = [field for field in fields if b"_" not in field[0]]  # S03
        exchange = exchange_for(stream, line, joined_cookies(fields), "2", True)
        stream.half_closed = exchange.request_complete = ended
        if head.protocol is not None and refusal is None:
            try:
                exchange = self._session_of(exchange, head)
            except PeerError as error:
                refusal = error
        expectation = next((value for name, value in fields if name == b"expect"), None)
        if expectation is not None and not ended:
            if expectation.lower() != b"100-continue":
                refusal = refusal or PeerError(417, EXPECTATION)
            exchange.expects_continue = True
        stream.exchange = exchange
        return refusal

    def _session_of(self, exchange: Exchange, head: Head) -> Exchange:
        if head.protocol != b"websocket":
            raise PeerError(501, "The only protocol served by CONNECT is websocket.")
        session: Exchange = self.server.ws_factory.session(exchange, has_body=False)
        return session

    def _data_received(self, event: h2_events.DataReceived) -> None:
        size = event.flow_controlled_length
        self._given_back += size
        if self._given_back >= CONNECTION_WINDOW // 4:
            # At once: an application that does not read holds up its own stream alone.
            self.open_window(self._given_back)
            self._given_back = 0
        stream = self.streams.get(event.stream_id)
        if not event.data and event.stream_ended is None:
            self._spend()
        if stream is None:
            return
        try:
            stream.body_received(event.data, size)
        except PeerError as error:
            stream.refuse(error)
            return
        self._touched[stream] = None

    def _stream_ended(self, event: h2_events.StreamEnded) -> None:
        stream = self.streams.get(event.stream_id)
        if stream is not None and not stream.half_closed:
            self._touched.pop(stream, None)
            stream.body_complete()

    def _stream_reset(self, event: h2_events.StreamReset) -> None:
        self._spend()
        stream = self.streams.pop(event.stream_id, None)
        if stream is not None:
            self._ring.pop(stream, None)
            self._touched.pop(stream, None)
            stream.lost()
            self._maybe_idle()

    def _trailers_received(self, event: h2_events.TrailersReceived) -> None:
        """They are dropped, as those of HTTP/1.1 are: ASGI has no event for them."""
        try:
            if any(name[:1] == b":" for name, _ in event.headers):
                raise MalformedError("a pseudo-field in trailers")
            check_names_and_values(event.headers)
        except MalformedError as error:
            log.debug("! stream %d is malformed: %s", event.stream_id, error)
            stream = self.streams.get(event.stream_id)
            if stream is not None:
                self.server.disconnected(stream.exchange)
                stream.abort(stream.exchange)

    def _window_updated(self, event: h2_events.WindowUpdated) -> None:
        self._spend(0.1)
        if self._ring:
            self._pump()

    def _settings_changed(self, event: h2_events.RemoteSettingsChanged) -> None:
        self._spend()
        self.arrived(Wait.HEAD)
        if not self.streams and not self._due:
            self._wait_idle()
        if self._ring:
            self._pump()

    def _ping_acknowledged(self, event: h2_events.PingAckReceived) -> None:
        self.arrived(Wait.PONG)
        self._spend()

    def _asks_for_nothing(self, event: h2_events.Event) -> None:
        self._spend()

    def _terminated(self, event: h2_events.ConnectionTerminated) -> None:
        """The peer's GOAWAY: what is under way is finished, and then it closes."""
        log.debug("< GOAWAY %s", event.error_code)
        self._go_away(ErrorCodes.NO_ERROR)

    def _spend(self, cost: float = 1.0) -> None:
        """A frame that made work and carried none: a peer that sends little else has to go."""
        self._budget -= cost
        if self._budget >= 0 or self._lost:
            return
        now = self.server.clock()
        self._budget = min(BURST, self._budget + (now - self._budget_at) * REFILL)
        self._budget_at = now
        if self._budget < 0:
            log.info("! %s sends frames that ask for nothing: closing", self._peer())
            self._go_away(ErrorCodes.ENHANCE_YOUR_CALM)
            self._cut()

    # What streams call.

    def default_fields(self, specials: int) -> list[tuple[bytes, bytes]]:
        """Date and Server, as far as the application has not set them itself."""
        lines = self.server.default_fields[specials]
        known = _defaults.get(lines)
        if known is None:
            if len(_defaults) > 16:
                _defaults.clear()
            known = [field_of(line) for line in lines.splitlines(keepends=True)]
            _defaults[lines] = known
        return known

    def send_headers(
        self, number: int, fields: list[tuple[bytes, bytes]], ends: bool = False
    ) -> None:
        """Queue a field section; it goes out at the end of this turn."""
        self._h2.send_headers(number, fields, ends)
        self._flush_soon()

    def send_data_at_once(self, number: int, data: bytes, ends: bool) -> bool:
        """Queue the last, or a short, part of a body, if the windows and the transport allow.

        Returns:
            Whether they do; else nothing is done.
        """
        size = len(data)
        if self._paused or size > FRAME or size > self._h2.local_flow_control_window(number):
            return False
        self._h2.send_data(number, data, ends)
        self._flush_soon()
        return True

    def end_stream(self, number: int) -> None:
        """End our side."""
        try:
            self._h2.end_stream(number)
        except ProtocolError:
            return  # the peer has reset it
        self._flush_soon()

    def wants_to_send(self, stream: HTTP2Stream) -> None:
        """A stream has octets pending."""
        self._ring[stream] = None
        self._pump()

    def open_window(self, size: int, number: int | None = None) -> None:
        """Let the peer send more: on a stream, or on all of them together."""
        self._h2.increment_flow_control_window(size, number)
        self._flush_soon()

    def widen(self, size: int) -> int:
        """As many octets, of so many more for one stream's window, as there is room for: or 0."""
        if self._widened + size > MOST_WIDENED:
            return 0
        self._widened += size
        return size

    def stream_over(self, stream: HTTP2Stream, code: ErrorCodes, *, reset: bool) -> None:
        """The exchange of a stream has ended.

        Args:
            stream: with that exchange.
            code: of the reset.
            reset: one of the sides has not ended the stream.
        """
        self.streams.pop(stream.number, None)
        self._ring.pop(stream, None)
        self._touched.pop(stream, None)
        if reset:
            self._reset(stream.number, code)
            if code is not ErrorCodes.NO_ERROR:
                self._spend()  # S15: what makes us reset is counted, too
        else:
            self._budget = min(BURST, self._budget + 1)
        self._maybe_idle()

    # Writing.

    def _pump(self) -> None:
        """Send what is pending, a frame of each stream in turn, urgent ones first (RFC 9218)."""
        conn, ring = self._h2, self._ring
        queued = 0
        blocked: dict[HTTP2Stream, None] = {}
        while ring and not self._paused and not self._lost:
            stream = self._next()
            room = min(conn.local_flow_control_window(stream.number), conn.max_outbound_frame_size)
            del ring[stream]
            if room <= 0:
                blocked[stream] = None
                continue
            part = stream.take(min(room, FRAME))
            last = stream.pending is None
            conn.send_data(stream.number, bytes(part), last and stream.ends)
            if not last:
                ring[stream] = None  # behind the others
            queued += len(part)
            if queued >= WRITTEN_AT_ONCE:
                queued = 0
                self._flush()
        ring.update(blocked)
        self._flush_soon()

    def _next(self) -> HTTP2Stream:
        """The stream whose turn it is: of the most urgent, one that is not incremental alone."""
        ring = self._ring
        if len(ring) == 1:
            return next(iter(ring))
        urgency = min(stream.urgency for stream in ring)
        urgent = [stream for stream in ring if stream.urgency == urgency]
        # In order of their numbers, unless the peer can use parts of several (RFC 9218, 10).
        return next((stream for stream in urgent if stream.incremental), urgent[0])

    def _flush_soon(self) -> None:
        if not self._flushing:
            self._flushing = True
            self.server.loop.call_soon(self._flush_now)

    def _flush_now(self) -> None:
        self._flushing = False
        self._flush()

    def _flush(self) -> None:
        data = self._h2.data_to_send()
        if data and not self._lost:
            self.transport.write(data)

    def pauseProducing(self) -> None:
        super().pauseProducing()
        # Whoever does not read has no answers to frames that ask for some piled up.
        self.transport.pauseProducing()

    def resumeProducing(self) -> None:
        super().resumeProducing()
        if not self._lost:
            self.transport.resumeProducing()
            self._pump()

    # Waiting, and the end.

    def _maybe_idle(self) -> None:
        if self.streams or self._lost:
            return
        if self._goes:
            self._close()
        else:
            self._wait_idle()

    def _wait_idle(self) -> None:
        self.wait(Wait.NEXT, self.server.options.keep_alive_timeout)

    def waited_too_long(self, wait: Wait) -> None:
        log.debug("%% waited too long for %s", wait.name)
        if wait is Wait.NEXT:
            self._go_away(ErrorCodes.NO_ERROR)
        elif wait is Wait.HEAD:
            self._go_away(ErrorCodes.SETTINGS_TIMEOUT)
            self._cut()
        else:
            self.transport.abortConnection()

    def close_when_idle(self) -> None:
        """The server stops: what has been asked for is answered, and nothing more."""
        for stream in list(self.streams.values()):
            stream.exchange.server_stops()
        self._go_away(ErrorCodes.NO_ERROR)

    def disconnect_application(self) -> None:
        """The server stops and has waited long enough: tell the applications."""
        for stream in list(self.streams.values()):
            stream.exchange.end_input()

    def _go_away(self, code: ErrorCodes) -> None:
        """Take no more requests; the connection closes when those under way are answered.

        Not h2's close_connection, after which it sends nothing more at all.
        """
        if self._lost:
            return
        if not self._goes:
            self._goes = True
            frame = GoAwayFrame(
                last_stream_id=self._h2.highest_inbound_stream_id, error_code=int(code)
            )
            self._flush()
            self.transport.write(frame.serialize())
        if not self.streams:
            self._close()

    def _reset(self, number: int, code: ErrorCodes) -> None:
        try:
            self._h2.reset_stream(number, code)
        except ProtocolError:
            pass  # it is closed already
        self._flush_soon()

    def _fail(self, error: ProtocolError) -> None:
        """The peer broke a rule of the connection; h2 has queued its GOAWAY."""
        log.debug("! %s: %s", type(error).__name__, error)
        self._goes = True
        self._cut()

    def _cut(self) -> None:
        """Close at once; what is queued still goes out, as far as the peer reads."""
        self._flush()
        streams, self.streams = self.streams, {}
        self._ring.clear()
        for stream in streams.values():
            stream.lost()
        self._close()

    def _close(self) -> None:
        self._flush()
        self._lost = True
        self.forget()
        self.transport.unregisterProducer()
        self.transport.loseConnection()
        self.wait(Wait.WRITE, self.server.options.write_timeout)

    def _peer(self) -> str:
        return str(self.transport.getPeer())


_defaults: dict[bytes, list[tuple[bytes, bytes]]] = {}


def joined_cookies(fields: Fields) -> Fields:
    """Fields with the crumbs of a cookie as one (RFC 9113, 8.2.3; ASGI H16)."""
    crumbs = [value for name, value in fields if name == b"cookie"]
    if len(crumbs) < 2:
        return fields
    whole = [field for field in fields if field[0] != b"cookie"]
    return [*whole, (b"cookie", b"; ".join(crumbs))]


ACTS: dict[type[h2_events.Event], Callable[[HTTP2Connection, Any], None]] = {
    h2_events.RequestReceived: HTTP2Connection._request_received,
    h2_events.DataReceived: HTTP2Connection._data_received,
    h2_events.StreamEnded: HTTP2Connection._stream_ended,
    h2_events.StreamReset: HTTP2Connection._stream_reset,
    h2_events.TrailersReceived: HTTP2Connection._trailers_received,
    h2_events.WindowUpdated: HTTP2Connection._window_updated,
    h2_events.RemoteSettingsChanged: HTTP2Connection._settings_changed,
    h2_events.PingReceived: HTTP2Connection._asks_for_nothing,
    h2_events.PingAckReceived: HTTP2Connection._ping_acknowledged,
    h2_events.PriorityUpdated: HTTP2Connection._asks_for_nothing,
    h2_events.UnknownFrameReceived: HTTP2Connection._asks_for_nothing,
    h2_events.ConnectionTerminated: HTTP2Connection._terminated,
}
