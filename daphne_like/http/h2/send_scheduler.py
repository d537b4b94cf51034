"""The sending half of an HTTP/2 connection: schedules streams, manages windows, writes octets.

connection.py processes input from the peer; stream.py provides the content of each stream.
"""

from __future__ import annotations

from operator import attrgetter
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

from h2.errors import ErrorCodes
from h2.exceptions import ProtocolError

from daphne_like.http.fields import Fields
from daphne_like.http.h2.flood_budget import (
    BURST,
    FRAME_SENT,
    MIN_INCREMENT,
    RESPONSE_CREDIT,
    Budget,
)
from daphne_like.http.h2.frame_reader import MAX_FRAME_SIZE
from daphne_like.http.h2.hpack_cache import to_default_fields
from daphne_like.http.h2.state_machine import FIRST_WINDOW, StateMachine
from daphne_like.runtime.send_pacing import YIELD, SendPacing, YieldToLoop
from daphne_like.transport_interfaces import IMemoryviewTransport

if TYPE_CHECKING:
    from daphne_like.runtime.context import ServerContext

MAX_EXTRA_WINDOW = 4194304
"""Octets by which all streams together may exceed their initial windows."""
WRITTEN_AT_ONCE = 65536
"""Octets after which data is written, so that a full transport can pause the connection."""
LARGE_WRITE = 32768
"""Octets of bodies from which joining takes longer than passing each part to the transport."""
WRITTEN_IN_A_TURN = 262144
"""Octets sent in one iteration of the event loop, so that others are served too."""

MAX_DRAIN_WINDOW = 67108864
"""Maximum octets of the connection's window when it is opened for discarded bodies."""
MAX_DRAINING_STREAMS = 64
"""Number of streams with a complete response whose peer still sends a body, which is discarded."""

by_urgency = attrgetter("urgency")
by_number = attrgetter("number")


class Sending(Protocol):
    """The interface of a stream that the scheduler uses.

    Attributes:
        number: the identifier of the stream.
        pending: octets of body that wait to be sent.
        urgency, incremental: the priority of the stream (RFC 9218).
        window: octets of a body that the peer may send at once.
    """

    number: int
    pending: memoryview | None
    urgency: int
    incremental: bool
    window: int

    def take(self, most: int) -> tuple[memoryview, bool]:
        """Return the next pending octets, and whether the stream ends with them."""

    def part_sent(self, size: int) -> None:
        """Learn that octets have been sent."""

    def linger(self) -> None:
        """Wait a while for the peer to end its side."""


StreamT = TypeVar("StreamT", bound=Sending)


class SendScheduler(SendPacing, Generic[StreamT]):
    """Sends the data of all streams of a connection.

    Args:
        context: provides the default fields, the event loop and the options.

    Attributes:
        streams: the streams by number, until their exchanges end.
        budget: the flood budget of the peer.
        sent_to_all: octets of bodies that were sent by the scheduler, on all streams.
        sent_at: the time at which the latest of them was sent.
    """

    __slots__ = (
        "_closing",
        "_draining",
        "_extra_window",
        "_flushing",
        "_h2",
        "_held",
        "_promised",
        "_pumping",
        "_queued",
        "_send_queue",
        "_window_blocked",
        "_window_credit",
        "budget",
        "sent_at",
        "sent_to_all",
        "streams",
    )

    def __init__(self, context: ServerContext) -> None:
        super().__init__(context)
        self.streams: dict[int, StreamT] = {}
        self.budget = Budget(context.clock)
        self.sent_to_all = 0
        self.sent_at = 0.0
        self._h2 = StateMachine(context.options, self.budget)
        self._send_queue: dict[StreamT, None] = {}  # streams with pending octets, in order
        self._window_blocked: dict[StreamT, None] = {}  # streams whose own window is full
        self._draining: dict[int, StreamT] = {}  # streams whose body is discarded
        self._promised: set[int] = set()  # numbers of open promised streams
        self._flushing = False
        self._pumping = False
        self._queued = 0
        self._closing = False
        self._extra_window = 0
        self._window_credit = 0  # octets by which to open the connection's window
        self._held: list[bytes] | None = None  # see HTTP2Connection

    def spend(self, cost: float = 1.0) -> None:
        """Charge the peer's budget for work without a request."""
        raise NotImplementedError

    def stream_is_over(self) -> None:
        """Handle the end of a stream or of a discarded body; it may be the last one."""
        raise NotImplementedError

    def resume_reading(self) -> None:
        """Process the stored input in the next iteration of the event loop."""
        raise NotImplementedError

    @property
    def is_reading(self) -> bool:
        """True unless reading is paused or input is stored."""
        return self._held is None and not (self._paused and self._h2.frames.settings_received)

    # Called by streams.

    def default_fields(self, own_defaults: int) -> Fields:
        """Return Date and Server, unless the application has set them itself."""
        return to_default_fields(self.context.default_fields[own_defaults])

    def send_response(self, stream: StreamT, block: bytes, body: bytes) -> bool:
        """Queue a complete short response, if the windows and the transport have room.

        Args:
            stream: a stream that the peer has ended.
            block: the encoded field section.
            body: the complete body.
        Returns:
            True if the response is queued and the stream is over; False if nothing was done.
        """
        if self._paused or not self._h2.send_response(stream.number, block, body):
            return False
        self._queued += len(body)
        if self.budget.left != BURST:
            self.budget.earn(FRAME_SENT + RESPONSE_CREDIT if body else RESPONSE_CREDIT)
        if not self._flushing:
            self._flush_soon()
        self._forget_stream(stream)
        return True

    def send_head(self, number: int, block: bytes, ends: bool) -> None:
        """Queue the encoded head of a response; see `send_headers`."""
        self._h2.send_head(number, block, ends)
        self._flush_soon()

    def send_headers(self, number: int, fields: Fields, ends: bool = False) -> None:
        """Queue a field section; it is written in the next iteration of the event loop."""
        self._h2.send_headers(number, fields, ends)
        self._flush_soon()

    def send_data_at_once(
        self, number: int, data: bytes, ends: bool, *, though_paused: bool = False
    ) -> bool:
        """Queue a short part of a body, if the windows and the transport have room.

        Returns:
            True if the part is queued; False if nothing was done.
        """
        size = len(data)
        if (
            (self._paused and not though_paused)
            or size > MAX_FRAME_SIZE
            or (size and size > self._h2.local_flow_control_window(number))
        ):
            return False
        self._h2.send_data(number, data, ends)
        self._queued += size
        self.budget.earn(FRAME_SENT)
        self._flush_soon()
        return True

    def yield_if_due(self) -> YieldToLoop | None:
        """Return an awaitable if the application has sent so much that it should yield.

        Otherwise an application that never waits would block the event loop, which could not serve
        others or process window updates.
        """
        if self._queued < MAX_FRAME_SIZE:
            return None
        self._flush()
        return YIELD

    def end_stream(self, number: int) -> None:
        """End the server's side of a stream."""
        self._h2.end_stream(number)
        self._flush_soon()

    def wants_to_send(self, stream: StreamT) -> None:
        """Schedule a stream that has octets to send."""
        self._send_queue[stream] = None
        self._pump()

    def withdraw(self, stream: StreamT) -> None:
        """Take a stream off the queue: its pending octets are not to be sent."""
        self._send_queue.pop(stream, None)
        self._window_blocked.pop(stream, None)

    def open_window(self, size: int, number: int | None = None) -> None:
        """Grant the peer more window, on a stream or on the connection."""
        self._h2.increment_flow_control_window(size, number)
        self._flush_soon()

    def open_for_rest(self, number: int, rest: int) -> int:
        """Grant the peer enough window to send the rest of this body; no updates will follow.

        Returns:
            The number of octets by which the stream's window has grown.
        """
        conn = self._h2
        room = conn.inbound_flow_control_window
        wider = min(rest, MAX_DRAIN_WINDOW - room)
        if wider > 0:
            # In addition to the window that other streams use.
            self._window_credit -= wider
            self.open_window(wider)
        wider = rest - conn.streams[number].inbound_flow_control_window
        if wider <= 0:
            return 0
        self.open_window(wider, number)
        return wider

    def room_for_peer(self, number: int) -> int:
        """Return the number of octets that the peer may still send on a stream."""
        return self._h2.remote_flow_control_window(number)

    def widen(self, size: int) -> int:
        """Return the granted part of a window increase: all of it, or 0 at the total limit."""
        if self._extra_window + size > MAX_EXTRA_WINDOW:
            return 0
        self._extra_window += size
        return size

    def stream_over(self, stream: StreamT, code: ErrorCodes, *, reset: bool) -> None:
        """End a stream after its exchange.

        Args:
            stream: the stream.
            code: the error code of a reset.
            reset: one of the sides has not ended the stream.
        """
        self._forget_stream(stream)
        if reset and code is ErrorCodes.NO_ERROR and len(self._draining) < MAX_DRAINING_STREAMS:
            # The reset is delayed, because a client that receives it before it has read the
            # response may discard the response (curl 7.88 does).
            self._draining[stream.number] = stream
            stream.linger()
        elif reset:
            self._reset(stream.number, code)
        if code is ErrorCodes.NO_ERROR:
            self.budget.earn(RESPONSE_CREDIT)
        else:
            self.spend()  # S15: resets that the peer provokes count, too
        self.stream_is_over()

    def _forget_stream(self, stream: StreamT) -> None:
        self.streams.pop(stream.number, None)
        if self._send_queue:
            self._send_queue.pop(stream, None)
        if self._window_blocked:
            self._window_blocked.pop(stream, None)
        if stream.window != FIRST_WINDOW:
            self._extra_window -= stream.window - FIRST_WINDOW
        if self._promised:
            self._promised.discard(stream.number)

    def is_stuck(self, stream: StreamT) -> bool:
        """Tell whether a stream can send only after the peer has opened a window."""
        return stream in self._window_blocked or (
            stream in self._send_queue and self._h2.outbound_flow_control_window <= 0
        )

    def waits_for_turn(self, stream: StreamT) -> bool:
        """Tell whether a stream has octets to send, and is not blocked by its own window."""
        return stream in self._send_queue

    @property
    def is_paused(self) -> bool:
        """True while the transport is full."""
        return self._paused

    def stop_sending(self, number: int) -> None:
        """Ask the peer to stop sending a body, after the complete response (RFC 9113, 8.1)."""
        if self._draining.pop(number, None) is not None:
            self._reset(number, ErrorCodes.NO_ERROR)
            self.stream_is_over()

    def _reset(self, number: int, code: ErrorCodes) -> None:
        try:
            self._h2.reset_stream(number, code)
        except ProtocolError:
            pass  # it is closed already
        self._flush_soon()

    # Scheduling.

    def _window_opened(self, number: int) -> None:
        """Send more: the peer has opened the window of a stream, or of the connection with 0."""
        if number:
            stream = self.streams.get(number)
            if stream is None or stream not in self._window_blocked:
                return
            del self._window_blocked[stream]
            self._send_queue[stream] = None
        self._pump()

    def _windows_changed(self) -> None:
        """Try all streams again: the peer's SETTINGS may have changed their windows."""
        self._send_queue.update(self._window_blocked)
        self._window_blocked.clear()
        self._pump()

    def _pump(self) -> None:
        """Send pending octets, urgent streams first, one frame of each at a time (RFC 9218)."""
        if self._pumping or not self._send_queue:
            return
        conn, ring = self._h2, self._send_queue
        self._pumping = True
        left = WRITTEN_IN_A_TURN
        now = self.context.clock()
        while ring and not self._paused and not self._closing:
            room = conn.outbound_flow_control_window
            if room <= 0:
                break
            if left <= 0:
                self.context.loop.call_soon(self._pump)
                break
            stream = self._next()
            del ring[stream]
            # One frame at a time only if other streams wait.
            most = MAX_FRAME_SIZE if ring else WRITTEN_IN_A_TURN
            room = min(room, conn.streams[stream.number].outbound_flow_control_window, most)
            if room <= 0:
                self._window_blocked[stream] = None
                continue
            part, ends = stream.take(room)
            size = len(part)
            conn.send_data(stream.number, part, ends)
            if stream.pending is not None:
                ring[stream] = None  # at the end of the queue
            earned = FRAME_SENT * (-(-size // MAX_FRAME_SIZE) or 1)
            if stream.pending is not None:
                earned = min(earned, size / MIN_INCREMENT)
            self.budget.earn(earned)
            left -= size
            self._queued += size
            self.sent_to_all += size
            self.sent_at = now
            if self._queued >= WRITTEN_AT_ONCE:
                self._flush()
            stream.part_sent(size)
        self._pumping = False
        self._flush_soon()

    def _next(self) -> StreamT:
        """Return the next stream to send.

        Streams of the highest urgency take turns; non-incremental ones are sent one after the
        other, in the order of their numbers (RFC 9218, 10).
        """
        ring = self._send_queue
        if len(ring) == 1:
            return next(iter(ring))
        first = min(ring, key=by_urgency)
        if first.incremental:
            return first
        return min(
            (
                stream
                for stream in ring
                if not stream.incremental and stream.urgency == first.urgency
            ),
            key=by_number,
        )

    # Octets.

    def _flush_soon(self) -> None:
        if not self._flushing:
            self._flushing = True
            self.context.loop.call_soon(self._flush_now)

    def _flush_now(self) -> None:
        self._flushing = False
        self._flush()

    def _flush(self) -> None:
        large, self._queued = self._queued >= LARGE_WRITE, 0
        transport = self.transport
        if large and not self._closing and IMemoryviewTransport.implementedBy(type(transport)):
            transport.writeSequence(self._h2.parts_to_send())
            return
        data = self._h2.data_to_send()
        if data and not self._closing:
            transport.write(data)

    def pauseProducing(self) -> None:
        super().pauseProducing()
        if self._h2.frames.settings_received:
            # Stop reading, so that a peer that does not read cannot make responses pile up (S13).
            # Not before its first SETTINGS, because a TLS handshake may need to read.
            self.transport.pauseProducing()

    def resumeProducing(self) -> None:
        super().resumeProducing()
        if not self._closing:
            if self._held is None:
                self.transport.resumeProducing()
            else:
                self.resume_reading()
            self._pump()
