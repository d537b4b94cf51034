"""An HTTP/2 connection: processes input from the peer, timeouts, and its end (RFC 9113).

frame_reader.py splits and checks frames, send_scheduler.py sends responses, stream.py carries one
exchange, and request.py checks requests.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextvars import Context
from functools import partial
from typing import TYPE_CHECKING, Any

from h2 import events as h2_events
from h2.errors import ErrorCodes
from h2.exceptions import FrameDataMissingError, ProtocolError
from h2.settings import SettingCodes
from hyperframe.frame import DataFrame, Frame, GoAwayFrame, PingFrame
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
from daphne_like.http.addresses import ConnectionEnds, describe_ends
from daphne_like.http.exchange import Exchange
from daphne_like.http.extensions import PUSHES, ExtendedExchange
from daphne_like.http.fields import EXPECTATION, Fields, check_size
from daphne_like.http.h2.flood_budget import (
    DATA_COST,
    FRAME_CHARGE,
    FRAME_COST,
    MAX_TURN_COST,
    MIN_DATA,
    MIN_INCREMENT,
    READ_COST,
    REQUEST_COST,
    SMALL_CHANGE,
    small_data_cost,
)
from daphne_like.http.h2.hpack_cache import MalformedError, check_trailers
from daphne_like.http.h2.priority import Priority, parse_priority
from daphne_like.http.h2.push import push, remove_unsupported_on_push
from daphne_like.http.h2.request import Head, Request, request_from, to_request
from daphne_like.http.h2.send_scheduler import SendScheduler
from daphne_like.http.h2.stream import HTTP2Stream
from daphne_like.http.lingering import LINGER_SECONDS
from daphne_like.http.response_state import PUSH
from daphne_like.http.scope import open_exchange
from daphne_like.observe.connection_log import ConnectionLog, label
from daphne_like.runtime.timeouts import Timeout

if TYPE_CHECKING:
    from daphne_like.runtime.context import ServerContext

log = ConnectionLog("daphne_like.http")

CONNECTION_WINDOW = 1048576
"""Octets of bodies on all streams that may be in flight."""
PRIORITY_UPDATE = 0x10
"""The type of a PRIORITY_UPDATE frame (RFC 9218, 7.1)."""
MAX_DISCARDED_AFTER_ERROR = 1048576
"""Octets discarded after a connection error, so that the peer can read GOAWAY."""
MAX_BODY_LINGER_SECONDS = 30.0
"""Seconds for discarded bodies, when nothing else keeps the connection open."""
PING = b"are you?"
STOP_PING = b"stopping"
"""Follows the announcement of a stop; the acknowledgement shows that the peer has read both."""
ANNOUNCEMENT_SECONDS = 1.0
"""Seconds for that acknowledgement."""
MAX_STREAM = 2**31 - 1
"""The last stream of a GOAWAY that only announces another GOAWAY (RFC 9113, 6.8)."""
LIGHT_COST = MAX_TURN_COST // 32
"""Cost of input that does not schedule a new iteration; it is added to the cost of later input."""


@implementer(IProtocol, IHalfCloseableProtocol, IHandshakeListener, IPushProducer)
class HTTP2Connection(SendScheduler[HTTP2Stream]):
    """A connection: a Twisted protocol with streams that carry exchanges.

    Args:
        context: provides the application and the options.
    """

    __slots__ = (
        "__weakref__",
        "_dropped",
        "_goaway_sent",
        "_hard_limit",
        "_input_ended",
        "_peer_closed",
        "_priorities",
        "_push_opted_in",
        "_pushes",
        "_received_since_ping",
        "_requests",
        "_reset_exchanges",
        "_settings_sent",
        "_turn_due",
        "_turn_left",
        "_with_new_data",
        "addresses",
    )

    protocol_name = "http/2"

    def __init__(self, context: ServerContext) -> None:
        super().__init__(context)
        self.addresses: ConnectionEnds | None = None
        self._settings_sent = False
        # Streams that have received octets of a body in this iteration of the event loop.
        self._with_new_data: dict[HTTP2Stream, None] = {}
        self._priorities: dict[int, Priority] = {}  # priorities that precede their requests
        self._reset_exchanges: set[Exchange] = (
            set()
        )  # exchanges of reset streams that may still run
        self._pushes = True  # push is enabled until the peer's SETTINGS disable it
        self._push_opted_in = False  # the peer's SETTINGS have enabled push explicitly
        self._goaway_sent = False
        self._peer_closed = False  # the peer has closed its side
        self._received_since_ping = False  # the peer has sent octets since the last check
        self._dropped = 0
        self._requests = 0
        most = context.options.max_requests_per_connection
        # A client that is never idle gets GOAWAY while requests are in progress.
        self._hard_limit = None if most is None else most + context.options.h2_max_streams
        self._turn_left = MAX_TURN_COST  # cost left for this iteration of the event loop
        self._turn_due = False  # the next iteration is scheduled
        self._input_ended = False  # the peer has closed its side after the stored input

    # Called by Twisted, or by the HTTP/1.1 connection that has detected the preface.

    def makeConnection(self, transport: Any) -> None:
        self.transport = transport
        transport.registerProducer(self, True)
        has_room = self.context.connected(self)
        if has_room and isinstance(transport, TLSMemoryBIOProtocol):
            # Twisted's own TLS connects the protocol before the handshake, when nothing can be
            # sent (S35).
            self.set_timeout(Timeout.TLS_HANDSHAKE, self.context.options.tls_handshake_timeout)
            return
        self._begin()
        if not has_room:
            # No request is processed, so the client may retry all of them.
            self.context.tell_refused(too_many_connections().reason)
            self._go_away(ErrorCodes.NO_ERROR)
            # A lingering connection does not count.
            self.context.disconnected(self)

    def handshakeCompleted(self) -> None:
        """Begin to serve: the TLS handshake is complete."""
        if not self._settings_sent:
            self.tell_handshake_ended()
            self.clear_timeout(Timeout.TLS_HANDSHAKE)
            self._begin()

    def _begin(self) -> None:
        self._settings_sent = True
        self._h2.initiate_connection()
        self._h2.increment_flow_control_window(CONNECTION_WINDOW - 65535)
        if self.context.draining:
            self._announce_end()
        self._flush_soon()
        options = self.context.options
        self.set_timeout(
            Timeout.REQUEST_HEAD, options.header_timeout
        )  # for the preface and settings
        self.set_timeout(Timeout.PEER_SILENT, options.h2_ping_interval)

    def connectionMade(self) -> None:
        """Do nothing: `makeConnection` has done everything."""

    def dataReceived(self, data: bytes) -> None:
        if self._closing:
            self._drop(data)
            return
        if self._held is not None:
            self._held.append(data)
            return
        frames = self._h2.frames
        waited = frames.waits_for_head
        frames.add_data(data)
        self._read(waited)
        if self._held is not None:
            self.transport.pauseProducing()

    def _read(self, waited: bool) -> None:
        """Process input, up to the cost that is left for this iteration of the event loop.

        The rest of the input is stored, so that other connections are served (S27).

        Args:
            waited: an incomplete frame or field section preceded this input.
        """
        self._received_since_ping = True
        conn = self._h2
        frames, decoder = conn.frames, conn.decoder
        left = self._turn_left - READ_COST
        came = False
        if self._with_new_data:
            left -= self._deliver_bodies(left)
        try:
            # One frame at a time, so that h2 and the streams agree about the state at each frame.
            while left > 0 and not self._closing:
                whole = conn.take_request()
                if whole is not None:
                    came = True
                    number, fields = whole  # a call with a starred argument is slower
                    self._request_received(number, fields, True)
                    left -= REQUEST_COST
                    if decoder.cost:
                        left -= decoder.cost
                        decoder.cost, decoder.charged = 0, 0.0
                    continue
                part = conn.take_data()
                if part is not None:
                    came = True
                    while part is not None:  # DATA is usually followed by more DATA
                        number, octets, ends, size = part
                        left -= DATA_COST + (size >> 11)
                        self._body_received(number, octets, size, ends)
                        if ends:
                            self._body_complete(number)
                        part = None if self._closing or left <= 0 else conn.take_data()
                    continue
                events = conn.receive_data(b"")
                frame = frames.last
                if frame is None:
                    break
                came = True
                if events:
                    for event in events:
                        act = ACTS.get(type(event))
                        if act is not None:
                            act(self, event)
                else:
                    self._no_event(frame)
                left -= FRAME_COST
                if decoder.cost:
                    left -= REQUEST_COST + decoder.cost
                    decoder.cost, decoder.charged = 0, 0.0
        except ProtocolError as error:
            code = ErrorCodes(error.error_code)
            self.context.refused_connection(self.log_label(), code.name, error)
            self._fail(code)
            return
        if self._closing:
            return
        if self._with_new_data:
            left -= self._deliver_bodies(left)
        holds = left <= 0 and (frames.has_more or bool(self._with_new_data))
        self._held = [] if holds else None
        if holds:
            if frames.settings_received:
                self.clear_timeout(Timeout.REQUEST_HEAD)  # the server is busy, not the peer late
        else:
            self._wait_for_rest(waited and not came)
        self._turn_left = left
        if left < MAX_TURN_COST - LIGHT_COST:
            self._schedule_turn()
        self._flush_soon()

    def _deliver_bodies(self, left: int) -> int:
        """Deliver received parts of bodies and tunnels; return the cost.

        Args:
            left: the maximum cost. The rest is delivered first in the next iteration.
        """
        touched = self._with_new_data
        cost = 0
        while touched and cost <= left:
            stream = next(iter(touched))
            del touched[stream]
            if self.streams.get(stream.number) is stream:
                cost += stream.deliver_body()
        return cost

    def _schedule_turn(self) -> None:
        if not self._turn_due:
            self._turn_due = True
            # An empty context, so that no application's context is used.
            self.context.loop.call_soon(self._continue_reading, context=Context())

    def resume_reading(self) -> None:
        """Process the stored input; see SendScheduler."""
        self._schedule_turn()

    def _continue_reading(self) -> None:
        """Continue with the stored input in a new iteration of the event loop."""
        self._turn_due = False
        # A field section is decoded as a whole; cost beyond the limit is charged to later
        # iterations.
        self._turn_left = min(self._turn_left, 0) + MAX_TURN_COST
        if self._turn_left <= 0:
            self._schedule_turn()
            return
        held = self._held
        # Process nothing while the peer does not read, so that responses do not pile up (S13).
        if held is None or (self._paused and self._h2.frames.settings_received):
            return
        self._held = []
        if held:
            self._h2.frames.add_data(b"".join(held))
        self._read(False)
        if self._held is not None or self._closing:
            return
        if self._input_ended:
            self.readConnectionLost()
            return
        if self.is_reading:
            self.transport.resumeProducing()
        if self._goaway_sent and not self.streams:
            self._close_when_done()

    def _wait_for_rest(self, still: bool) -> None:
        """Set or clear the timeout for an incomplete frame or field section (S35).

        Args:
            still: the same frame or section was incomplete before.
        """
        frames = self._h2.frames
        if not frames.settings_received:
            return
        if not frames.waits_for_head:
            self.clear_timeout(Timeout.REQUEST_HEAD)
        elif not (still and self.has_timeout(Timeout.REQUEST_HEAD)):
            self.set_timeout(Timeout.REQUEST_HEAD, self.context.options.header_timeout)

    def readConnectionLost(self) -> None:
        """Handle the peer's FIN: send pending responses as far as the peer's windows allow."""
        if self._closing:
            self._lose_connection()
            return
        if self._held is not None:
            self._input_ended = True
            return
        self._peer_closed = True
        self._draining.clear()  # the rest of these bodies will not arrive
        for stream in list(self.streams.values()):
            if stream.half_closed and stream.tunnel is None and not self.is_stuck(stream):
                stream.exchange.end_input(peer_half_closed=True)
            else:
                self._forget_stream(stream)
                stream.lost()
        self._go_away(ErrorCodes.NO_ERROR)

    def writeConnectionLost(self) -> None:
        """Handle the end of writing: all octets and the server's FIN have been sent."""
        self.clear_timeout(Timeout.WRITE_STALL)

    def connectionLost(self, reason: Failure) -> None:
        log.closed(self, "%s", reason.value)
        self._closing = True
        self._held = None
        self.tell_handshake_lost()
        self._lose_streams()
        self.clear_timeouts()
        self._end_pause()
        self._wake_drain_waiters()
        self.context.disconnected(self)

    def describe_ends(self) -> ConnectionEnds:
        """Describe both ends of the connection, at the first request."""
        self.addresses = describe_ends(self.transport)
        return self.addresses

    # Server push.

    def promise(self, stream: HTTP2Stream, fields: Fields, head: Head) -> bool:
        """Promise a request, and serve it as if the client had made it (X11).

        Args:
            stream: the stream of the request whose application promises.
            fields: the field section.
            head: the checked head with these fields.
        Returns:
            False if nothing was promised, because the connection closes or a limit is reached.
        Raises:
            MalformedError, PeerError: the request would be refused.
        """
        request = request_from(head, self.context.options)
        promised, refusal = self._open_stream(0, request, True, None)
        if refusal is not None:
            raise refusal
        if (
            self._closing
            or self._goaway_sent
            or not self._pushes
            or self.streams.get(stream.number) is not stream
            or not self._has_room_for_promise()
        ):
            return False
        try:
            promised.number = number = self._h2.promise(stream.number, fields)
        except ProtocolError:
            return False  # h2's state does not allow a promise
        remove_unsupported_on_push(promised.exchange.scope["extensions"])
        self.streams[number] = promised
        self._promised.add(number)
        self.budget.earn(FRAME_CHARGE)  # the peer may reset an unwanted promise
        self._flush_soon()
        # Started by the event loop, outside the application that promises and its context.
        self.context.loop.call_soon(self._serve_promised, promised, context=Context())
        return True

    def _has_room_for_promise(self) -> bool:
        self._forget_ended()
        most = min(
            self.context.options.h2_max_streams, self._h2.remote_settings.max_concurrent_streams
        )
        return len(self._promised) + len(self._reset_exchanges) < most

    def _serve_promised(self, stream: HTTP2Stream) -> None:
        if self.streams.get(stream.number) is stream:
            stream.start()

    # Events of the peer.

    def _head_received(self, event: h2_events.RequestReceived) -> None:
        fields: Any = event.headers
        self._request_received(event.stream_id, fields, event.stream_ended is not None)

    def _request_received(self, number: int, fields: Fields, ended: bool) -> None:
        priority = self._priorities.pop(number, None) if self._priorities else None
        most = self.context.options.h2_max_streams  # a cheap check, which counts promises too
        if self._goaway_sent or (
            len(self.streams) + len(self._reset_exchanges) >= most and not self._has_room()
        ):
            self._reset(number, ErrorCodes.REFUSED_STREAM)
            self.spend()
            return
        try:
            request = to_request(fields, self.context.options)
            if ended and request.length:
                raise MalformedError("a content-length without content")
        except MalformedError as error:
            self._malformed(number, error)
            return
        stream, refusal = self._open_stream(number, request, ended, fields)
        priority = priority or request.priority
        if priority is not None:
            stream.urgency, stream.incremental = priority
        if not self.streams:
            self.clear_timeout(Timeout.KEEP_ALIVE)
        self.streams[number] = stream
        self._requests += 1
        if self._requests == self._hard_limit:
            self._go_away(ErrorCodes.NO_ERROR)
        if refusal is None:
            charged = self._h2.decoder.charged
            if charged:
                self.budget.earn(charged)
            stream.start()
        else:
            stream.refuse(refusal)

    def _has_room(self) -> bool:
        """Tell whether another concurrent request is allowed.

        An application whose stream was reset counts until it has ended. Otherwise a peer could
        start any number of applications by resetting streams (S14).
        """
        most = self.context.options.h2_max_streams + len(self._promised)
        if len(self.streams) + len(self._reset_exchanges) < most:
            return True
        self._forget_ended()
        return len(self.streams) + len(self._reset_exchanges) < most

    def _forget_ended(self) -> None:
        instances = self.context.applications.running
        self._reset_exchanges = {
            exchange for exchange in self._reset_exchanges if exchange in instances
        }

    def _open_stream(
        self, number: int, request: Request, ended: bool, received: Fields | None
    ) -> tuple[HTTP2Stream, PeerError | None]:
        """Create a stream with the exchange of its request.

        Args:
            number: the number of the stream.
            request: the checked request.
            ended: the request is complete.
            received: the field section, if the application may promise requests; else None.
        Returns:
            The stream, and the error to send instead of the application's response, or None.
        """
        line, fields, length, protocol, _, expectation, refusal = request
        stream = HTTP2Stream(self, number, length, ended, self.addresses or self.describe_ends())
        exchange = open_exchange(stream, line, fields, "2", True, ExtendedExchange)
        exchange.request_complete = ended
        if expectation is not None and not ended:
            if expectation.lower() != b"100-continue":
                refusal = refusal or PeerError(417, EXPECTATION)
            exchange.expects_continue = True
        if self._pushes and received is not None and protocol is None:
            exchange.pusher = partial(push, self, stream, received)
            if self._push_opted_in:
                # Advertised only if the client has enabled push, because most clients discard
                # promises.
                exchange.scope["extensions"][PUSH] = PUSHES
        stream.exchange = exchange
        if protocol is not None and refusal is None:
            try:
                stream.exchange = self._open_session(exchange, protocol)
            except PeerError as error:
                refusal = error
        return stream, refusal

    def _open_session(self, exchange: Exchange, protocol: bytes) -> Exchange:
        if protocol != b"websocket":
            raise PeerError(501, "The only protocol served by CONNECT is websocket.")
        session: Exchange = self.context.websockets.session(exchange, has_body=False)
        return session

    def _data_received(self, event: h2_events.DataReceived) -> None:
        size = event.flow_controlled_length
        self._body_received(event.stream_id, event.data, size, event.stream_ended is not None)

    def _body_received(self, number: int, data: bytes, size: int, ends: bool) -> None:
        """Take a part of a body; `size` is its size in the flow-control windows."""
        self._window_credit += size
        if self._window_credit >= CONNECTION_WINDOW // 4:
            # Immediately, so that an application that does not read blocks only its own stream.
            self.open_window(self._window_credit)
            self._window_credit = 0
        if len(data) < MIN_DATA and not ends:
            self.spend(small_data_cost(len(data)) if data else FRAME_CHARGE)
            if self._closing:
                return
        stream = self.streams.get(number)
        if stream is None:
            draining = self._draining.get(number)
            if draining is not None and not ends:
                try:
                    draining.drop(len(data), size)
                except MalformedError as error:
                    self._malformed(number, error)
            return
        self._with_new_data[stream] = None
        try:
            stream.body_received(data, size, ends)
        except PeerError as error:
            stream.half_closed = ends
            stream.refuse(error)
        except MalformedError as error:
            self._malformed(number, error)

    def _stream_ended(self, event: h2_events.StreamEnded) -> None:
        self._body_complete(event.stream_id)

    def _body_complete(self, number: int) -> None:
        if self._draining.pop(number, None) is not None:
            self.stream_is_over()
        stream = self.streams.get(number)
        if stream is not None and not stream.half_closed:
            self._with_new_data.pop(stream, None)
            stream.body_complete()

    def _stream_reset(self, event: h2_events.StreamReset) -> None:
        """Handle a reset by the peer, or by h2 after a violation on the stream (S15)."""
        self.spend()
        self._lose_stream(event.stream_id)

    def _lose_stream(self, number: int) -> None:
        if self._draining.pop(number, None) is not None:
            self.stream_is_over()
        stream = self.streams.get(number)
        if stream is not None:
            self._reset_exchanges.add(stream.exchange)
            self._forget_stream(stream)
            stream.lost()
            self.stream_is_over()

    def _malformed(self, number: int, error: MalformedError) -> None:
        self.context.refused_connection(
            label(self.transport, stream=number),
            ErrorCodes.PROTOCOL_ERROR.name,
            f"the stream is malformed: {error}",
        )
        self._reset(number, ErrorCodes.PROTOCOL_ERROR)
        self._lose_stream(number)
        self.spend()

    def _trailers_received(self, event: h2_events.TrailersReceived) -> None:
        """Check trailers and discard them, because ASGI has no event for them."""
        stream = self.streams.get(event.stream_id)
        if stream is None:
            return
        try:
            if stream.tunnel is not None:
                raise MalformedError("fields on a stream that is connected")  # RFC 9113, 8.5
            check_trailers(event.headers)
            check_size(event.headers, self.context.options)
            stream.check_length(True)
        except MalformedError as error:
            self._malformed(event.stream_id, error)
        except PeerError as error:
            stream.half_closed = True  # trailers end the request
            stream.refuse(error)

    def _window_updated(self, event: h2_events.WindowUpdated) -> None:
        self.spend(SMALL_CHANGE if (event.delta or 0) >= MIN_INCREMENT else FRAME_CHARGE)
        self._window_opened(event.stream_id or 0)

    def _settings_changed(self, event: h2_events.RemoteSettingsChanged) -> None:
        self.spend()
        self.clear_timeout(Timeout.REQUEST_HEAD)
        pushes = event.changed_settings.get(SettingCodes.ENABLE_PUSH)
        if pushes is not None:
            self._pushes = self._push_opted_in = bool(pushes.new_value)
        if not self.streams and not self.has_timeout(Timeout.KEEP_ALIVE):
            self._wait_idle()
        self._windows_changed()

    def _frame_ignored(self, event: h2_events.Event) -> None:
        """Charge for a frame that h2 handles itself."""
        self.spend()

    def _unknown_frame(self, event: h2_events.UnknownFrameReceived) -> None:
        self.spend()
        frame: Any = event.frame
        if frame.type != PRIORITY_UPDATE:
            return
        if frame.stream_id:
            raise ProtocolError("PRIORITY_UPDATE on a stream")
        if len(frame.body) < 4:
            raise FrameDataMissingError("PRIORITY_UPDATE for no stream")
        number = int.from_bytes(frame.body[:4], "big") & 0x7FFFFFFF
        priority = parse_priority(frame.body[4:])
        stream = self.streams.get(number)
        if not number & 1 and (not number or number > self._h2.frames.promised):
            raise ProtocolError("PRIORITY_UPDATE for a stream that cannot exist")
        if stream is not None:
            stream.urgency, stream.incremental = priority
        elif number & 1 and number > self._h2.frames.highest:
            if len(self._priorities) >= self.context.options.h2_max_streams:
                self._priorities.clear()
            self._priorities[number] = priority

    def _no_event(self, frame: Frame) -> None:
        """Handle a frame without an event of h2's, and GOAWAY, which h2 does not get."""
        if frame.__class__ is GoAwayFrame:
            log.received(self, "%s", frame)
            # Finish requests in progress, then close.
            self._go_away(ErrorCodes.NO_ERROR)
        elif frame.__class__ is DataFrame and frame.body_len:
            self.spend(SMALL_CHANGE)  # in flight when the stream was reset
        else:
            self.spend()

    def spend(self, cost: float = 1.0) -> None:
        if not self.budget.spend(cost) and not self._closing:
            code = ErrorCodes.ENHANCE_YOUR_CALM
            reason = "flood of control frames; closing the connection"
            self.context.refused_connection(self.log_label(), code.name, reason)
            self._fail(code)

    # Timeouts.

    def stream_is_over(self) -> None:
        if self.streams or self._closing:
            return
        if self._reset_exchanges:
            self._forget_ended()
        most = self.context.options.max_requests_per_connection
        if self._goaway_sent:
            self._close_when_done()
        elif self.context.draining and not self.has_timeout(Timeout.ANNOUNCEMENT):
            self._go_away(ErrorCodes.NO_ERROR)  # as a response over HTTP/1.1 says `close`
        elif most is not None and self._requests >= most and not self._is_discarding_bodies():
            # After the last response, because clients built on h2 (such as httpx) ignore
            # everything after a GOAWAY, and would lose the responses in progress.
            self._go_away(ErrorCodes.NO_ERROR)
        else:
            self._wait_idle()

    def _wait_idle(self) -> None:
        self.set_timeout(Timeout.KEEP_ALIVE, self.context.options.keep_alive_timeout)

    def timed_out(self, timeout: Timeout) -> None:
        log.timer(self, "timed out waiting for %s", timeout.name)
        if timeout is Timeout.KEEP_ALIVE and self._held is not None:
            self._wait_idle()  # the next request may be held
        elif timeout is Timeout.KEEP_ALIVE:
            self._go_away(ErrorCodes.NO_ERROR)
        elif timeout is Timeout.REQUEST_HEAD:
            settings_received = self._h2.frames.settings_received
            self._fail(
                ErrorCodes.ENHANCE_YOUR_CALM if settings_received else ErrorCodes.SETTINGS_TIMEOUT
            )
        elif timeout is Timeout.PEER_SILENT:
            self._ping_if_silent()
        elif timeout is Timeout.ANNOUNCEMENT:
            self._after_announcement()
        elif timeout is Timeout.PONG:
            self._check_pong()
        elif timeout is Timeout.LINGER:
            if self._closing:
                self._lose_connection()
            else:
                self._close()
        else:
            if timeout is Timeout.TLS_HANDSHAKE:
                self.context.refused_handshake(self.log_label(), "it took too long", "timeout")
            self.transport.abortConnection()

    def _ping_if_silent(self) -> None:
        heard, self._received_since_ping = self._received_since_ping, False
        options = self.context.options
        if self.streams and not heard and not self._paused:
            self._h2.ping(PING)
            self._flush()
            self.set_timeout(Timeout.PONG, options.ping_timeout)
        self.set_timeout(Timeout.PEER_SILENT, options.h2_ping_interval)

    def _check_pong(self) -> None:
        """Abort the connection if nothing has arrived since the ping.

        A peer that does not read may be unable to respond; WRITE_STALL limits that time.
        """
        if not self._received_since_ping and not self._paused and self.streams:
            log.error(self, "ping not answered; closing the connection", level=logging.INFO)
            self.transport.abortConnection()

    # The end.

    def server_stops(self) -> None:
        """Announce the end to the peer; requests on their way are still served."""
        if self._settings_sent and not self._goaway_sent and not self._closing:
            self._announce_end()

    def _announce_end(self) -> None:
        """Send a GOAWAY that refuses no stream, and ask whether it has been read (RFC 9113, 6.8).

        Streams that the peer has opened before it reads the announcement are served.
        """
        self._flush()
        announcement = GoAwayFrame(last_stream_id=MAX_STREAM)
        ping = PingFrame(opaque_data=STOP_PING)
        log.sent(self, "%s", announcement)
        self.transport.write(announcement.serialize() + ping.serialize())
        self.set_timeout(Timeout.ANNOUNCEMENT, ANNOUNCEMENT_SECONDS)

    def _ping_acknowledged(self, event: h2_events.PingAckReceived) -> None:
        self.spend()
        if event.ping_data == STOP_PING and self.has_timeout(Timeout.ANNOUNCEMENT):
            self.clear_timeout(Timeout.ANNOUNCEMENT)
            self._after_announcement()

    def _after_announcement(self) -> None:
        """Name the last stream, if any is open: the peer has had the time to stop by itself.

        An idle connection still serves the next request of a peer that ignores the announcement;
        `stream_is_over` and `close_when_idle` name the last stream then.
        """
        if self.streams:
            self._go_away(ErrorCodes.NO_ERROR)

    def close_when_idle(self, lingers: bool = False) -> None:
        """Send pending responses and accept no more requests: the idle grace is over."""
        is_idle = not self.streams and not self._closing
        self._go_away(ErrorCodes.NO_ERROR)
        if is_idle and self._closing and not lingers:
            # Nothing is in flight, and the peer has known of the end for a while, so the stop does
            # not wait until the peer closes its side.
            self._lose_connection()

    def disconnect_application(self) -> None:
        """Send the disconnect event to the applications; the graceful timeout is over."""
        for stream in list(self.streams.values()):
            stream.exchange.end_input()

    def _go_away(self, code: ErrorCodes) -> None:
        """Accept no more requests, and close after the responses in progress.

        h2's `close_connection` is not used, because h2 sends nothing after it.
        """
        if self._closing:
            return
        if self._settings_sent and not self._goaway_sent:
            self._send_goaway(code)
        if not self.streams:
            self._close_when_done()

    def _send_goaway(self, code: ErrorCodes) -> None:
        self._goaway_sent = True
        frame = GoAwayFrame(last_stream_id=self._h2.frames.highest, error_code=int(code))
        self._flush()
        log.sent(self, "%s", frame)
        self.transport.write(frame.serialize())

    def _fail(self, code: ErrorCodes) -> None:
        """Close after a connection error, so that a peer that still sends can read GOAWAY."""
        if self._closing:
            return
        self._send_goaway(code)
        self._closing = True
        self._lose_streams()
        self._linger()

    def _linger(self) -> None:
        """Close the server's side, and discard input until the peer closes its side.

        TCP resets a connection that is closed with unread octets, and the peer may then lose the
        last responses and GOAWAY.
        """
        self.clear_timeouts()
        self.transport.unregisterProducer()
        # Twisted's TLS waits for the peer's close_notify by itself.
        if self._peer_closed or isinstance(self.transport, TLSMemoryBIOProtocol):
            self._lose_connection()
            return
        self._read_to_the_end()
        self.transport.loseWriteConnection()
        self.set_timeout(Timeout.LINGER, LINGER_SECONDS)
        self.set_timeout(Timeout.WRITE_STALL, self.context.options.write_timeout)

    def _drop(self, data: bytes) -> None:
        self._dropped += len(data)
        if self._dropped > MAX_DISCARDED_AFTER_ERROR:
            self.transport.abortConnection()

    def _lose_streams(self) -> None:
        streams, self.streams = self.streams, {}
        self._send_queue.clear()
        self._window_blocked.clear()
        self._with_new_data.clear()
        self._reset_exchanges.clear()
        self._draining.clear()
        self._promised.clear()
        for stream in streams.values():
            stream.lost()

    def _close_when_done(self) -> None:
        """Close if no request is in progress, and no body is being discarded.

        Bodies are discarded for a limited time. See SendScheduler.stream_over.
        """
        if self._held is not None:
            return  # the stored input is processed first
        if not self._is_discarding_bodies():
            self._close()
        elif not self.has_timeout(Timeout.LINGER):
            self.set_timeout(Timeout.LINGER, MAX_BODY_LINGER_SECONDS)

    def _is_discarding_bodies(self) -> bool:
        """Tell whether the peer still sends a body after the complete response.

        A WebSocket's stream does not count, because nothing follows the closing handshake.
        """
        return any(stream.tunnel is None for stream in self._draining.values())

    def _close(self) -> None:
        """Close the connection after the last response."""
        self._flush()
        self._closing = True
        self._lose_streams()
        self._linger()

    def _lose_connection(self) -> None:
        self._read_to_the_end()
        self.transport.loseConnection()
        self.set_timeout(Timeout.WRITE_STALL, self.context.options.write_timeout)

    def _read_to_the_end(self) -> None:
        """Resume reading, so that the peer's FIN is noticed."""
        if not self.is_reading and not self._input_ended:
            self.transport.resumeProducing()
        self._held = None

    @property
    def client(self) -> list[Any] | None:
        """The peer's host and port; None on a UNIX socket."""
        return (self.addresses or self.describe_ends()).client


ACTS: dict[type[h2_events.Event], Callable[[HTTP2Connection, Any], None]] = {
    h2_events.RequestReceived: HTTP2Connection._head_received,
    h2_events.DataReceived: HTTP2Connection._data_received,
    h2_events.StreamEnded: HTTP2Connection._stream_ended,
    h2_events.StreamReset: HTTP2Connection._stream_reset,
    h2_events.TrailersReceived: HTTP2Connection._trailers_received,
    h2_events.WindowUpdated: HTTP2Connection._window_updated,
    h2_events.RemoteSettingsChanged: HTTP2Connection._settings_changed,
    h2_events.SettingsAcknowledged: HTTP2Connection._frame_ignored,
    h2_events.PingReceived: HTTP2Connection._frame_ignored,
    h2_events.PingAckReceived: HTTP2Connection._ping_acknowledged,
    h2_events.PriorityUpdated: HTTP2Connection._frame_ignored,
    h2_events.UnknownFrameReceived: HTTP2Connection._unknown_frame,
}
