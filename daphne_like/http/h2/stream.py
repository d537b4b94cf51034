"""One stream of an HTTP/2 connection, which carries an exchange under flow control."""

from __future__ import annotations

import logging
from asyncio import Future
from collections.abc import Awaitable
from contextlib import closing
from typing import TYPE_CHECKING, Any

from h2.errors import ErrorCodes

from daphne_like.exceptions import PeerError
from daphne_like.http.exchange import BlockedPart, Exchange
from daphne_like.http.h2.hpack_cache import (
    MalformedError,
    default_blocks,
    encoded_defaults,
    encoded_lines,
    encoded_section,
    encoded_status,
    status_blocks,
    to_fields,
)
from daphne_like.http.h2.priority import UNSAID
from daphne_like.http.h2.state_machine import FIRST_WINDOW
from daphne_like.http.h2.tunnel import Tunnel
from daphne_like.http.lingering import MAX_LINGER_OCTETS
from daphne_like.http.request_body import TOO_SLOW, check_body_size, expect_body, keeps_minimum_rate
from daphne_like.http.response_state import (
    COMPLETE,
    HEAD_BUFFERED,
)
from daphne_like.observe.connection_log import ConnectionLog, label
from daphne_like.runtime.send_pacing import YIELD
from daphne_like.runtime.timeouts import Timeout, Timeouts

if TYPE_CHECKING:
    from daphne_like.http.addresses import ConnectionEnds
    from daphne_like.http.file_range import FileRange
    from daphne_like.http.h2.send_scheduler import SendScheduler

log = ConnectionLog("daphne_like.http")

MIN_WAIT = 0.001
"""Seconds of a timeout that is due at once."""
STOP_SECONDS = 1.0
"""Seconds for a client with a complete response to stop sending; repeated while it sends."""
MAX_PROMISES = 16
"""Maximum promises for one request, which suffice for a page but end an endless loop."""
PAUSED_COST = 2000
"""Cost of octets that make a tunnelled protocol pause (see flood_budget.py)."""
MAX_WINDOW = 1048576
"""Maximum octets of a body in flight to an application that reads as fast as they arrive."""


class HTTP2Stream(Timeouts):
    """A stream; the Carrier of its exchange.

    Args:
        connection: the connection of the stream.
        number: the identifier of the stream.
        length: the declared length of the request's body, or None.
        half_closed: the peer has ended its side.
        addresses: both ends of the connection.

    Attributes:
        exchange: the exchange that the stream carries.
        promises_left: number of requests that the application may still promise.
        pending: octets of body that wait for the peer's window, or for the transport.
        ends: END_STREAM follows the pending octets.
        tunnel: the transport of a protocol that has taken over the stream, or None.
        urgency, incremental: the priority (RFC 9218).
        window: octets of a body that the peer may send at once.
    """

    exchange: Exchange
    promises_left = MAX_PROMISES
    pending: memoryview | None = None
    ends = False
    urgency, incremental = UNSAID
    tunnel: Tunnel | None = None
    window = FIRST_WINDOW
    _early: bytearray | None = None  # octets that arrived before the upgrade
    _arrived: bytes | bytearray = b""  # octets for the tunnel in this iteration of the loop
    _room: Future[None] | None = None
    _unqueued: bytearray | None = None  # octets for which the application's queue has no room
    _unread = 0  # octets received and not yet returned to the peer's window
    _padded = False  # a frame since the last read was padded
    _consumed = 0
    _blocked = 0.0  # seconds that octets have waited for the peer, since the last rate check
    _blocked_at = 0.0  # start of the latest wait
    _taken = 0  # octets sent since the last rate check
    _taken_at = 0.0  # time when the latest of them were sent
    _taken_by_all = 0  # octets sent on all streams up to the last rate check
    _dropped = 0  # octets discarded after the complete response
    _dropped_at_check = 0
    _content_left: int | None = None  # octets of a declared length after the response

    def __init__(
        self,
        connection: SendScheduler[HTTP2Stream],
        number: int,
        length: int | None,
        half_closed: bool,
        addresses: ConnectionEnds,
    ) -> None:
        self.context = context = connection.context
        super().__init__(context.timers)
        self.connection = connection
        self.number = number
        self.length = length
        self.half_closed = half_closed
        self.addresses = addresses

    # Used for scopes.

    @property
    def client(self) -> list[Any] | None:
        """See Carrier."""
        return self.addresses.client

    def log_label(self, client: Any = None) -> str:
        """See Carrier."""
        return label(self.connection.transport, client, self.number)

    def describe_ends(self) -> ConnectionEnds:
        """See RequestOrigin."""
        return self.addresses

    # The request's body.

    def start(self) -> None:
        """Run the application."""
        exchange = self.exchange
        limit = exchange.time_limit
        if limit:
            self.set_timeout(Timeout.RESPONSE, limit)
        if not exchange.request_complete:
            self._wait_for_body()
        exchange.start()

    def body_received(self, data: bytes, size: int, ends: bool) -> None:
        """Take a part of the body.

        Args:
            data: the octets.
            size: octets in the flow-control windows, including padding.
            ends: the part is the last.
        Raises:
            PeerError: 413.
            MalformedError: the body is longer or shorter than declared (RFC 9113, 8.1.1).
        """
        exchange = self.exchange
        self._unread += size
        if exchange.is_upgrade:
            self._to_tunnel(data)
            return
        exchange.received += len(data)
        exchange.expects_continue = False
        length = self.length
        if length is not None and (exchange.received > length or ends):
            self.check_length(ends)
        if exchange.state is COMPLETE:
            return
        check_body_size(exchange.received, self.context.options)
        if size != len(data):
            self._padded = True
        if not data:
            return
        if self._unqueued is not None:
            self._unqueued += data
        elif exchange.is_full:
            # One bytearray, because a window full of single octets would take many times its size.
            self._unqueued = bytearray(data)
        else:
            exchange.body_received(data)

    def check_length(self, ends: bool) -> None:
        """Check the body against its Content-Length.

        Raises:
            MalformedError: the body is longer or shorter than declared.
        """
        length, received = self.length, self.exchange.received
        if length is not None and (received > length or (ends and received < length)):
            raise MalformedError(f"{received} octets of content, and not {length}")

    def drop(self, octets: int, size: int) -> None:
        """Discard a part of a body after the complete response; the client may send the rest.

        Args:
            octets: number of octets of the body.
            size: octets in the flow-control windows, including padding.
        Raises:
            MalformedError: the body is longer than declared (RFC 9113, 8.1.1).
        """
        if self._content_left is not None:
            self._content_left -= octets
            if self._content_left < 0:
                raise MalformedError(f"{-self._content_left} octets of content too many")
        self._unread += size
        self._dropped += size
        if self._dropped > MAX_LINGER_OCTETS:
            self.connection.stop_sending(self.number)
        elif self._unread >= FIRST_WINDOW // 4:
            self.connection.open_window(self._unread, self.number)
            self._unread = 0

    def deliver_body(self) -> int:
        """Deliver the octets of one read to the application, and open the window.

        Returns:
            The cost in addition to that of the frames; see h2/flood_budget.py.
        """
        exchange = self.exchange
        if exchange.is_upgrade:
            return self._to_protocol()
        exchange.flush_body()
        if self._padded:
            # The application does not read padding, and there may be no other octets.
            self._padded = False
            self._open_window()
        return 0

    def body_complete(self) -> None:
        """Handle the end of the peer's side."""
        exchange = self.exchange
        self.half_closed = True
        if exchange.is_upgrade:
            if self.tunnel is not None:
                self._to_protocol()
                self.tunnel.ended()
            return
        self.clear_timeout(Timeout.REQUEST_BODY)
        self._queue_rest()
        exchange.request_complete = True
        if exchange.queue is not None:
            exchange.flush_body()

    def body_requested(self, exchange: Exchange) -> None:
        """See Carrier."""
        self.connection.send_headers(self.number, [(b":status", b"100")])
        self._wait_for_body()

    def body_consumed(self) -> None:
        """See Carrier."""
        if self._unqueued is not None:
            self._queue_rest()
            self.exchange.flush_body()
        self._open_window()

    def _queue_rest(self) -> None:
        kept, self._unqueued = self._unqueued, None
        if kept is not None:
            self.exchange.body_received(bytes(kept))

    def _open_window(self) -> None:
        """Open the window by the octets that the application has read; more if it keeps up."""
        exchange = self.exchange
        # For an application that does not read, at most one window is stored.
        waiting = 0 if exchange.is_upgrade else exchange.unread + len(self._unqueued or b"")
        size = self._unread - waiting
        done = self.half_closed or (exchange.state is COMPLETE and self.tunnel is None)
        if done or size < self.window // 2 or self.connection.streams.get(self.number) is not self:
            return
        self._unread = waiting
        self._consumed += size
        if self._consumed >= 2 * self.window and self.window < MAX_WINDOW:
            wider = self.connection.widen(self.window)
            self.window += wider
            size += wider
            self._consumed = 0
        self.connection.open_window(size, self.number)

    def _wait_for_body(self) -> None:
        expect_body(self, self.exchange)

    def _check_body_rate(self) -> None:
        exchange = self.exchange
        is_held = (
            exchange.is_full
            or not self.connection.is_reading
            or self.connection.room_for_peer(self.number) <= 0
        )
        if keeps_minimum_rate(self, exchange, is_held=is_held):
            self._wait_for_body()
        else:
            self.refuse(TOO_SLOW)

    # The response: Carrier.

    def respond(self, exchange: Exchange, body: bytes, more: bool) -> Awaitable[None] | None:
        """See Carrier."""
        status, size = exchange.status, len(body)
        lines = exchange.field_lines
        length: bytes | None = None
        if exchange.is_bodiless:
            exchange.frame_bodiless(size, more)
            lines = exchange.field_lines
            body, size = b"", 0
        elif exchange.content_length is None:
            if not more:
                length = b"%d" % size
        elif exchange.content_length != size or more:
            exchange.check_length(size, more)
        connection, context = self.connection, self.context
        defaults = context.default_fields[exchange.own_defaults]
        block = (
            (status_blocks.get(status) or encoded_status(status))
            + (default_blocks.get(defaults) or encoded_defaults(defaults))
            + encoded_lines(lines)
        )
        if length is not None:
            block += encoded_section([(b"content-length", length)])
        exchange.body_octets_sent = size
        if not more and self.half_closed and connection.send_response(self, block, body):
            exchange.complete()
            if self._due is not None:
                self.clear_timeouts()
            if not connection.streams:
                connection.stream_is_over()
            del self.exchange  # see _complete
            return None
        ends = not more and not body
        if ends:
            self._open_window_for_rest()
        connection.send_head(self.number, block, ends)
        exchange.begin_body()
        if ends:
            self._complete(exchange)
            return None
        return self._write(exchange, body, more) if body else None

    def write_body(self, exchange: Exchange, body: bytes, more: bool) -> Awaitable[None] | None:
        """See Carrier."""
        size = len(body)
        if exchange.is_bodiless:
            body, size = b"", 0
        elif exchange.content_length is not None:
            exchange.check_length(size, more)
        exchange.body_octets_sent += size
        if not body and more:
            return None
        return self._write(exchange, body, more)

    def _write(self, exchange: Exchange, body: bytes, more: bool) -> Awaitable[None] | None:
        # If the response ends before the request, `take` sends the end when the stream is next.
        at_once = more or self.half_closed or not body
        if not body:
            self._open_window_for_rest()
        # An empty frame with END_STREAM needs no window (RFC 9113, 6.9.1).
        if at_once and self.connection.send_data_at_once(
            self.number, body, not more, though_paused=not body
        ):
            if not more:
                self._complete(exchange)
                return None
            return self.connection.yield_if_due()
        self.pending = memoryview(body)
        self.ends = not more
        self.connection.wants_to_send(self)
        if self.pending is None:  # everything has been sent
            if not more:
                self._complete(exchange)
            return YIELD
        self._room = self.context.loop.create_future()
        self._wait_for_peer()
        size = len(body)
        return self._written(exchange, exchange.block_body(size), size, more)

    async def _written(self, exchange: Exchange, part: BlockedPart, size: int, more: bool) -> None:
        """Wait until the pending part has been sent (ASGI C09).

        Args:
            exchange: the response.
            part: the part.
            size: octets of the part.
            more: further parts follow.
        """
        room = self._room
        assert room is not None
        with part:
            try:
                await room
            finally:
                part.begun = not self._withdraw(size)
            part.check()
        if not more:
            self._complete(exchange)

    def _withdraw(self, size: int) -> bool:
        """Take back a pending part of which no octet was sent; return whether that is so."""
        pending = self.pending
        if pending is None or len(pending) != size:
            return False
        self.pending = None
        self.connection.withdraw(self)
        self.clear_timeout(Timeout.WRITE_STALL)
        self._blocked += self.context.clock() - self._blocked_at
        return True

    def write_file(self, exchange: Exchange, file: FileRange, more: bool) -> Awaitable[None]:
        """See Carrier."""
        if exchange.state is HEAD_BUFFERED:
            self.respond(exchange, b"", True)
        exchange.body_octets_sent += file.remaining
        return self._write_file(exchange, exchange.block_body(file.remaining), file, more)

    async def _write_file(
        self, exchange: Exchange, part: BlockedPart, file: FileRange, more: bool
    ) -> None:
        with part, closing(file):
            part.begun = True
            peer_keeps_up = True
            while file.remaining:
                octets = await file.read(self.context.loop, peer_keeps_up)
                part.check()
                self.pending = memoryview(octets)
                self.ends = not more and not file.remaining
                self._room = self.context.loop.create_future()
                self.connection.wants_to_send(self)
                peer_keeps_up = self.pending is None
                if peer_keeps_up:
                    await YIELD
                else:
                    self._wait_for_peer()
                    await self._room
                part.check()
        if not more:
            self._complete(exchange)

    def write_informational(
        self, exchange: Exchange, status: int, lines: list[bytes]
    ) -> Awaitable[None] | None:
        """See Carrier."""
        if not self.number & 1:
            return None  # h2 (4.4) allows only the final head after a promise
        fields = [(b":status", b"%d" % status), *to_fields(lines)]
        self.connection.send_headers(self.number, fields)
        return self.connection.drain()

    def write_trailers(self, exchange: Exchange, lines: list[bytes]) -> Awaitable[None] | None:
        """See Carrier; trailers are a second field section (RFC 9113, 8.1)."""
        self._open_window_for_rest()
        if lines:
            self.connection.send_headers(self.number, to_fields(lines), True)
        else:
            self.connection.end_stream(self.number)
        self._complete(exchange)
        return None

    def _open_window_for_rest(self) -> None:
        """Open the window for the rest of a discarded request body, before the response ends.

        Some clients ignore all frames after END_STREAM: curl 7.88 keeps sending and reads neither
        WINDOW_UPDATE nor RST_STREAM. So the window is opened beforehand, and the rest is discarded
        up to the usual limit.
        """
        if self.half_closed or self.exchange.is_upgrade:
            return
        rest = MAX_LINGER_OCTETS
        if self.length is not None:
            rest = min(rest, self.length - self.exchange.received)
        self._unread -= self.connection.open_for_rest(self.number, rest)

    def take(self, most: int) -> tuple[memoryview, bool]:
        """Return the next pending octets, and whether END_STREAM goes with them."""
        pending = self.pending
        assert pending is not None
        part = pending[:most]
        self.pending = pending[most:] if len(pending) > most else None
        if self.ends and self.pending is None:
            self._open_window_for_rest()
        return part, self.ends and self.pending is None

    def part_sent(self, size: int) -> None:
        """Account for octets that were sent, and wake the sender when all are sent.

        Args:
            size: the number of octets.
        """
        self._taken += size
        self._taken_at = self.connection.sent_at
        if self.pending is not None:
            return
        room = self._room
        if self.tunnel is not None:
            self.tunnel.sent()
        elif room is not None and not room.done():
            self.clear_timeout(Timeout.WRITE_STALL)
            self._blocked += self.context.clock() - self._blocked_at
            room.set_result(None)

    def _wait_for_peer(self) -> None:
        """Start the write timeout: the peer has --write-timeout from one rate check to the next.

        Only the time while octets are pending counts, and it accumulates. Otherwise a peer could
        gain time by accepting each part of a body at the last moment.
        """
        self._blocked_at = self.context.clock()
        self.set_timeout(
            Timeout.WRITE_STALL, max(self.context.options.write_timeout - self._blocked, MIN_WAIT)
        )

    def _check_write_rate(self) -> None:
        """Reset the stream if the peer reads the response below the minimum rate.

        The rate is that of request bodies. A peer that has read much, and then nothing for
        --write-timeout, is reset too: the next period begins at the last octet that it took.
        """
        options, connection = self.context.options, self.connection
        taken, taken_at = self._taken, self._taken_at
        if connection.waits_for_turn(self):
            # By the peer's priorities others may come first, so octets of all streams count.
            taken, taken_at = connection.sent_to_all - self._taken_by_all, connection.sent_at
        waited = self.context.clock() - max(taken_at, self._blocked_at)
        if connection.is_paused:  # the transport's buffer has its own timeout
            waited = 0.0
        elif taken < max(1.0, options.body_minimum_rate * options.write_timeout):
            waited = options.write_timeout
        if waited < options.write_timeout:
            self._blocked, self._taken, self._taken_by_all = waited, 0, connection.sent_to_all
            self._wait_for_peer()
            return
        log.error(self, "response not read; resetting the stream", level=logging.INFO)
        self.exchange.close()
        self.exchange.peer_gone()
        self._over(self.exchange, ErrorCodes.CANCEL)

    def send_error(self, exchange: Exchange, error: PeerError) -> None:
        """See Carrier."""
        error = exchange.end_with_error(error)
        body = error.text.encode("ascii") + b"\n"
        fields = [
            (b":status", b"%d" % error.status),
            (b"content-type", b"text/plain; charset=utf-8"),
            (b"content-length", b"%d" % len(body)),
            *to_fields(error.lines.splitlines(keepends=True)),
            *self.connection.default_fields(0),
        ]
        self.connection.send_headers(self.number, fields, exchange.head_only)
        # The body is short. If even that exceeds the window, the stream is reset.
        sent = exchange.head_only or self.connection.send_data_at_once(
            self.number, body, True, though_paused=True
        )
        self._over(exchange, ErrorCodes.NO_ERROR if sent else ErrorCodes.ENHANCE_YOUR_CALM)

    def abort(self, exchange: Exchange) -> None:
        """See Carrier."""
        exchange.close()
        self._over(exchange, ErrorCodes.INTERNAL_ERROR)

    def close_without_response(self, exchange: Exchange) -> None:
        """See Carrier."""
        exchange.close()
        self._over(exchange, ErrorCodes.CANCEL)

    def upgrade(self, exchange: Exchange, lines: list[bytes], protocol: Any) -> None:
        """See Carrier; the response has status 200 instead of 101 (RFC 8441, 5)."""
        self.clear_timeout(Timeout.RESPONSE)
        fields = [
            (b":status", b"200"),
            *self.connection.default_fields(exchange.own_defaults),
            *to_fields(lines),
        ]
        self.connection.send_headers(self.number, fields)
        early, self._early = self._early, None
        self.tunnel = tunnel = Tunnel(self, protocol, early)
        tunnel.open()
        if self.half_closed:
            tunnel.ended()

    def _to_tunnel(self, data: bytes) -> None:
        if self.tunnel is None:
            if self._early is None:
                self._early = bytearray()
            self._early += data  # at most one window
        elif not self._arrived:
            self._arrived = data
        else:
            # Joined, because a protocol that gets octets one by one takes many times as long.
            if self._arrived.__class__ is bytes:
                self._arrived = bytearray(self._arrived)
            self._arrived += data

    def _to_protocol(self) -> int:
        """Deliver received octets to the tunnel; return the cost."""
        arrived, self._arrived = self._arrived, b""
        tunnel = self.tunnel
        if not arrived or tunnel is None:
            return 0
        if tunnel.data_received(bytes(arrived)):
            self._open_window()
            return len(arrived) >> 4
        return PAUSED_COST

    def tunnel_resumed(self) -> None:
        """Open the window: the protocol has read the received octets."""
        self._open_window()

    def send_pending(self, data: bytes) -> None:
        """Schedule octets of the tunnel for which there was no room."""
        self.pending = memoryview(data)
        self.connection.wants_to_send(self)

    def tunnel_over(self, code: ErrorCodes) -> None:
        """End the stream: the protocol has closed its connection."""
        if code is ErrorCodes.NO_ERROR:
            self.connection.end_stream(self.number)
        self._forget()
        self.connection.stream_over(self, code, reset=code != 0 or not self.half_closed)

    # The end of the stream.

    def refuse(self, error: PeerError) -> None:
        """Refuse the request, with an error response if nothing has been sent."""
        exchange = self.exchange
        self.context.refused(exchange.log_label(), error)
        exchange.peer_gone()
        exchange.refuse(error)

    def linger(self) -> None:
        """Discard the rest of the body for a while, after the complete response."""
        if self.length is not None:
            self._content_left = self.length - self.exchange.received
        self.set_timeout(Timeout.LINGER, STOP_SECONDS)
        if self._unread > 0:
            self.connection.open_window(self._unread, self.number)
            self._unread = 0

    def lost(self) -> None:
        """Handle a reset by the peer, or the loss of the connection."""
        exchange = self.exchange
        self._to_protocol()  # the application may still receive octets that arrived before
        tunnel, self.tunnel = self.tunnel, None
        if tunnel is not None:
            tunnel.lost()
        else:
            exchange.connection_lost()
        self._forget()

    def timed_out(self, timeout: Timeout) -> None:
        log.timer(self, "timed out waiting for %s", timeout.name)
        if timeout is Timeout.LINGER:
            if self._dropped > self._dropped_at_check or not self.connection.is_reading:
                self._dropped_at_check = self._dropped
                self.set_timeout(Timeout.LINGER, STOP_SECONDS)
            else:
                self.connection.stop_sending(self.number)
            return
        exchange = self.exchange
        if timeout is Timeout.REQUEST_BODY:
            self._check_body_rate()
        elif timeout is Timeout.RESPONSE:
            exchange.response_timed_out()
        else:  # WRITE
            self._check_write_rate()

    def _complete(self, exchange: Exchange) -> None:
        exchange.complete()
        self._over(exchange, ErrorCodes.NO_ERROR)
        # The connection has removed the stream. Without this reference, stream and exchange do not
        # form a cycle.
        del self.exchange

    def _over(self, exchange: Exchange, code: ErrorCodes) -> None:
        """End the stream after its exchange; reset it if a side has not ended it."""
        self._forget()
        self.connection.stream_over(self, code, reset=code != 0 or not self.half_closed)

    def _forget(self) -> None:
        """Clear all timeouts and discard stored octets."""
        self.clear_timeouts()
        self.pending = self._unqueued = self._early = None
        if self._room is not None and not self._room.done():
            self._room.set_result(None)
