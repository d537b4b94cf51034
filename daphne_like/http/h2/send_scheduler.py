"""The writing half of an HTTP/2 connection: whose turn it is, windows of both sides, octets out.

What the peer sends is in h2.py, what one stream has to say in h2/stream.py.
"""

from __future__ import annotations

from operator import attrgetter
from typing import TYPE_CHECKING

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
    from daphne_like.http.h2.stream import HTTP2Stream
    from daphne_like.runtime.context import ServerContext

MAX_EXTRA_WINDOW = 4194304
"""Octets by which the windows of all streams together may be wider than at first."""
WRITTEN_AT_ONCE = 65536
"""Octets after which the transport is asked whether the peer reads."""
LARGE_WRITE = 32768
"""Octets of bodies from which joining them takes longer than telling the transport of each part."""
WRITTEN_IN_A_TURN = 262144
"""Octets after which the event loop comes round: whoever takes all at once has a fair share."""

MAX_DRAIN_WINDOW = 67108864
"""Octets to which the window of all streams is opened for what will be dropped."""
MAX_DRAINING_STREAMS = 64
"""Streams whose answer is whole, and whose peer still sends a body that nobody reads."""

by_urgency = attrgetter("urgency")
by_number = attrgetter("number")


class SendScheduler(SendPacing):
    """What streams call to be written.

    Args:
        context: for the default fields and options.

    Attributes:
        streams: by number, as long as their exchanges are not over.
        budget: of the peer.
        sent_to_all: octets of bodies that went out in turns, on all streams.
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
        "sent_to_all",
        "streams",
    )

    def __init__(self, context: ServerContext) -> None:
        super().__init__(context)
        self.streams: dict[int, HTTP2Stream] = {}
        self.budget = Budget(context.clock)
        self.sent_to_all = 0
        self._h2 = StateMachine(context.options, self.budget)
        self._send_queue: dict[HTTP2Stream, None] = {}  # those with octets pending, in turn
        self._window_blocked: dict[HTTP2Stream, None] = {}  # those whose own window has no room
        self._draining: dict[int, HTTP2Stream] = {}  # whose peer still sends what nobody reads
        self._promised: set[int] = set()  # numbers of those that were promised, and are not over
        self._flushing = False
        self._pumping = False
        self._queued = 0
        self._closing = False
        self._extra_window = 0
        self._window_credit = 0  # octets that came, and that the window of all is to be opened by
        self._held: list[bytes] | None = None  # see HTTP2Connection

    def spend(self, cost: float = 1.0) -> None:
        """The peer has made work for nothing."""
        raise NotImplementedError

    def stream_is_over(self) -> None:
        """A stream has ended, or a body that nobody reads any more; perhaps it was the last one."""
        raise NotImplementedError

    def resume_reading(self) -> None:
        """Go on with the input that is held, in a turn of its own."""
        raise NotImplementedError

    @property
    def is_reading(self) -> bool:
        """Whether the peer is read, and all that it has sent is worked through."""
        return self._held is None and not (self._paused and self._h2.frames.settings_received)

    # What streams call.

    def default_fields(self, own_defaults: int) -> Fields:
        """Date and Server, as far as the application has not set them itself."""
        return to_default_fields(self.context.default_fields[own_defaults])

    def send_answer(self, stream: HTTP2Stream, block: bytes, body: bytes) -> bool:
        """Queue a short answer as a whole, if the windows and the transport allow.

        Args:
            stream: its peer has ended it.
            block: field section, encoded.
            body: all of it.
        Returns:
            Whether they do, and then the stream is over; else nothing is done.
        """
        if self._paused or not self._h2.send_answer(stream.number, block, body):
            return False
        self._queued += len(body)
        if self.budget.left != BURST:
            self.budget.earn(FRAME_SENT + RESPONSE_CREDIT if body else RESPONSE_CREDIT)
        if not self._flushing:
            self._flush_soon()
        self._forget_stream(stream)
        return True

    def send_head(self, number: int, block: bytes, ends: bool) -> None:
        """As send_headers, of an answer's head that is encoded."""
        self._h2.send_head(number, block, ends)
        self._flush_soon()

    def send_headers(self, number: int, fields: Fields, ends: bool = False) -> None:
        """Queue a field section; it goes out at the end of this turn."""
        self._h2.send_headers(number, fields, ends)
        self._flush_soon()

    def send_data_at_once(
        self, number: int, data: bytes, ends: bool, *, though_paused: bool = False
    ) -> bool:
        """Queue a short part of a body, if the windows and the transport allow.

        Returns:
            Whether they do; else nothing is done.
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
        """What an application waits for that writes on and on, though it need not wait.

        Else it would keep the event loop from everybody, and from the peer's window.
        """
        if self._queued < MAX_FRAME_SIZE:
            return None
        self._flush()
        return YIELD

    def end_stream(self, number: int) -> None:
        """End our side."""
        self._h2.end_stream(number)
        self._flush_soon()

    def wants_to_send(self, stream: HTTP2Stream) -> None:
        """A stream has octets pending."""
        self._send_queue[stream] = None
        self._pump()

    def open_window(self, size: int, number: int | None = None) -> None:
        """Let the peer send more: on a stream, or on all of them together."""
        self._h2.increment_flow_control_window(size, number)
        self._flush_soon()

    def open_for_rest(self, number: int, rest: int) -> int:
        """Let the peer send so much on a stream, though the windows are not opened any further.

        Returns:
            By how many octets the stream's window is wider now.
        """
        conn = self._h2
        room = conn.inbound_flow_control_window
        wider = min(rest, MAX_DRAIN_WINDOW - room)
        if wider > 0:
            # Beside what other streams are sending.
            self._window_credit -= wider
            self.open_window(wider)
        wider = rest - conn.streams[number].inbound_flow_control_window
        if wider <= 0:
            return 0
        self.open_window(wider, number)
        return wider

    def room_for_peer(self, number: int) -> int:
        """Octets that the peer may still send on a stream."""
        return self._h2.remote_flow_control_window(number)

    def widen(self, size: int) -> int:
        """As many octets, of so many more for one stream's window, as there is room for: or 0."""
        if self._extra_window + size > MAX_EXTRA_WINDOW:
            return 0
        self._extra_window += size
        return size

    def stream_over(self, stream: HTTP2Stream, code: ErrorCodes, *, reset: bool) -> None:
        """The exchange of a stream has ended.

        Args:
            stream: with that exchange.
            code: of the reset.
            reset: one of the sides has not ended the stream.
        """
        self._forget_stream(stream)
        if reset and code is ErrorCodes.NO_ERROR and len(self._draining) < MAX_DRAINING_STREAMS:
            # Not at once: a client that is told to stop before it has looked at the answer may
            # take it for lost (curl 7.88 does).
            self._draining[stream.number] = stream
            stream.linger()
        elif reset:
            self._reset(stream.number, code)
        if code is ErrorCodes.NO_ERROR:
            self.budget.earn(RESPONSE_CREDIT)
        else:
            self.spend()  # S15: what makes us reset is counted, too
        self.stream_is_over()

    def _forget_stream(self, stream: HTTP2Stream) -> None:
        self.streams.pop(stream.number, None)
        if self._send_queue:
            self._send_queue.pop(stream, None)
        if self._window_blocked:
            self._window_blocked.pop(stream, None)
        if stream.window != FIRST_WINDOW:
            self._extra_window -= stream.window - FIRST_WINDOW
        if self._promised:
            self._promised.discard(stream.number)

    def is_stuck(self, stream: HTTP2Stream) -> bool:
        """Whether only the peer can help it on, by opening a window."""
        return stream in self._window_blocked or (
            stream in self._send_queue and self._h2.outbound_flow_control_window <= 0
        )

    def waits_for_turn(self, stream: HTTP2Stream) -> bool:
        """Whether it has octets to send, for which its own window may have room."""
        return stream in self._send_queue

    @property
    def is_paused(self) -> bool:
        """Whether the transport wants no more octets for now."""
        return self._paused

    def stop_sending(self, number: int) -> None:
        """Ask the peer to send no more of a body whose answer it has (RFC 9113, 8.1)."""
        if self._draining.pop(number, None) is not None:
            self._reset(number, ErrorCodes.NO_ERROR)
            self.stream_is_over()

    def _reset(self, number: int, code: ErrorCodes) -> None:
        try:
            self._h2.reset_stream(number, code)
        except ProtocolError:
            pass  # it is closed already
        self._flush_soon()

    # Whose turn it is.

    def _window_opened(self, number: int) -> None:
        """The peer's window has room again: a stream's, that of all with 0."""
        if number:
            stream = self.streams.get(number)
            if stream is None or stream not in self._window_blocked:
                return
            del self._window_blocked[stream]
            self._send_queue[stream] = None
        self._pump()

    def _windows_changed(self) -> None:
        """So has that of every stream, perhaps."""
        self._send_queue.update(self._window_blocked)
        self._window_blocked.clear()
        self._pump()

    def _pump(self) -> None:
        """Send what is pending, urgent streams first, a frame of each in turn (RFC 9218)."""
        if self._pumping or not self._send_queue:
            return
        conn, ring = self._h2, self._send_queue
        self._pumping = True
        left = WRITTEN_IN_A_TURN
        while ring and not self._paused and not self._closing:
            room = conn.outbound_flow_control_window
            if room <= 0:
                break
            if left <= 0:
                self.context.loop.call_soon(self._pump)
                break
            stream = self._next()
            del ring[stream]
            # Frame by frame only where others wait for their share.
            most = MAX_FRAME_SIZE if ring else WRITTEN_IN_A_TURN
            room = min(room, conn.streams[stream.number].outbound_flow_control_window, most)
            if room <= 0:
                self._window_blocked[stream] = None
                continue
            part, ends = stream.take(room)
            size = len(part)
            conn.send_data(stream.number, part, ends)
            if stream.pending is not None:
                ring[stream] = None  # behind the others
            earned = FRAME_SENT * (-(-size // MAX_FRAME_SIZE) or 1)
            if stream.pending is not None:
                earned = min(earned, size / MIN_INCREMENT)
            self.budget.earn(earned)
            left -= size
            self._queued += size
            self.sent_to_all += size
            if self._queued >= WRITTEN_AT_ONCE:
                self._flush()
            stream.part_sent(size)
        self._pumping = False
        self._flush_soon()

    def _next(self) -> HTTP2Stream:
        """The stream whose turn it is.

        Of the most urgent ones each has its turn; those that are of no use in parts have theirs
        one after the other, in the order of their numbers (RFC 9218, 10).
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
            # Whoever does not read has no answers to frames that ask for some piled up (S13).
            # Before it has sent anything it may have to be read first: its TLS handshake.
            self.transport.pauseProducing()

    def resumeProducing(self) -> None:
        super().resumeProducing()
        if not self._closing:
            if self._held is None:
                self.transport.resumeProducing()
            else:
                self.resume_reading()
            self._pump()
