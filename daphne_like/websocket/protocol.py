"""Frames on a connection: a short path for the usual ones in front of autobahn's state machine.

Usual are whole, final and masked frames. All others go to autobahn, one at a time: fragments, parts
of frames, whatever is wrong. What a message means to the application is in session.py.
"""

from __future__ import annotations

import logging
from functools import cached_property
from typing import TYPE_CHECKING, Any

from autobahn.websocket import protocol as autobahn
from autobahn.websocket.protocol import FrameHeader
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IPushProducer, ITCPTransport
from twisted.protocols.tls import TLSMemoryBIOProtocol
from twisted.python.failure import Failure
from zope.interface import implementer

from daphne_like.asgi.queue import HIGH_WATER
from daphne_like.exceptions import FrameError
from daphne_like.runtime.timeouts import Timeout
from daphne_like.websocket.deflate import Deflate
from daphne_like.websocket.frames import (
    CLOSE,
    COMPRESSED,
    CONTROL,
    FINAL,
    MASKED,
    MAX_CONTROL_PAYLOAD,
    TEXT,
    USUAL,
    USUAL_COMPRESSED,
    frame_end,
)
from daphne_like.websocket.masking import Masker, unmask
from daphne_like.websocket.output import OPEN, WebSocketOutput
from daphne_like.websocket.utf8 import Utf8Validator

if TYPE_CHECKING:
    from daphne_like.websocket.factory import WebSocketFactory
    from daphne_like.websocket.session import Session

log = logging.getLogger("daphne_like.websocket")

CLOSED = autobahn.WebSocketProtocol.STATE_CLOSED

MAX_FRAMES_PER_TURN = 256
"""Frames that autobahn gets in one turn of the event loop: others have theirs, too."""
MAX_SKIPPED = 1 << 24
"""Octets of a failed connection that are read on, so that the peer comes to our close frame."""
SKIPPED_FRAME_COST = 256
"""Octets that each skipped frame counts beside its own: finding its end takes time."""
MAX_SKIPPED_AT_ONCE = 1024
"""Frames that are skipped in one turn of the event loop."""
MAX_UNREAD_AFTER_LOSS = 1 << 20
"""Unread octets, as the queue counts them, from which what a lost connection has left is dropped:
the application cannot hold up the peer any more, and small messages take many times their size."""
MAX_FRAMES_AFTER_LOSS = 2048
"""Frames for autobahn from which what a lost connection has left is dropped: there is no further
turn in which to read it."""


@implementer(IPushProducer)
class WebSocketProtocol(WebSocketOutput):
    """One open WebSocket; the opening handshake lies behind it.

    autobahn's constructor and its `_connectionMade`, which set some sixty attributes per
    connection, do not run: the factory's subclass holds what they set.

    Args:
        session: gets the messages.
        deflate: for messages, if it was agreed on.
    """

    factory: WebSocketFactory
    data: bytes
    message_data: Any
    largest_frame: float
    """Octets of the largest frame on the short path."""
    _has_ended_writing = False

    def __init__(self, session: Session, deflate: Deflate | None) -> None:
        super().__init__(session.context, deflate)
        self.session = session
        self.usual = USUAL if deflate is None else USUAL_COMPRESSED
        self._queue: Any = session.queue
        self._yielded = False
        self._frames_left = MAX_FRAMES_PER_TURN  # for autobahn, until others have their turn
        self._skipped = 0  # octets that are to come of a frame that does not count
        self._may_skip = MAX_SKIPPED
        # What was read, and the application has no room for: reads, joined when there is room.
        self._unprocessed: list[bytes] | None = None

    # autobahn makes these for each connection; most need none.

    @cached_property
    def utf8validator(self) -> Any:
        """For text that comes in parts."""
        return Utf8Validator()

    @property
    def is_closed(self) -> Any:
        """Fired by autobahn; nobody waits for it."""
        return Deferred()

    # What Twisted calls, or the HTTP connection in its place.

    def connectionMade(self) -> None:
        self.transport.registerProducer(self, True)
        self.set_timeout(Timeout.LIFETIME, self.context.options.websocket_timeout)
        if self.autoPingInterval:
            self._ping_later()

    def readConnectionLost(self) -> None:
        """The peer's FIN without a close frame: the connection is lost (RFC 6455, 7.1.5)."""
        self.dropConnection()

    def connectionLost(self, reason: Failure) -> None:
        self.connected = 0
        held, self._unprocessed = self._unprocessed, None
        if held:  # what came before the end is the application's to read
            self.dataReceived(b"".join(held))
        # Not that of autobahn's Twisted protocol, which formats its arguments to log nothing.
        autobahn.WebSocketProtocol._connectionLost(self, reason)
        self.clear_timeouts()
        self._unprocessed = None
        self._paused = False
        self.release_senders()
        self.context.disconnected(self)
        self.session.connection_lost()

    def _onClose(self, wasClean: bool, code: int | None, reason: str | None) -> None:
        """The session has been told already."""

    # Reading.

    @property
    def is_reading(self) -> bool:
        """Whether the peer is read."""
        return self._unprocessed is None

    def dataReceived(self, data: bytes) -> None:
        if self._unprocessed is not None:
            self._unprocessed.append(data)
            return
        if self.state != OPEN:
            if self.state == CLOSED:
                return
            if self.failedByMe:
                data, self.data = self.data + data, b""
                self._skip(data, self._skipped)
                return
        if self.autoPingTimeoutCall is not None:  # whoever sends anything is there
            self._cancelAutoPingTimeoutCall()
        if self.data:  # the beginning of a frame's head
            data, self.data = self.data + data, b""
        size = len(data)
        start = 0
        queue = self._queue
        while start < size:
            # Flat on purpose: this is the way of every message.
            if self.current_frame is None and not self.inside_message and self.state == OPEN:
                while size - start > 5:
                    first = data[start]
                    if first not in self.usual:
                        break
                    length = data[start + 1] - MASKED
                    body = start + 6
                    if length > 125:
                        if length != 126 or size - start < 8:
                            break
                        length = data[start + 2] << 8 | data[start + 3]
                        if length < 126:
                            break
                        body = start + 8
                    end = body + length
                    if length < 0 or end > size or length > self.largest_frame:
                        break
                    start = end
                    payload = unmask(data[body:end], data[body - 4 : body])
                    if first & COMPRESSED:
                        inflated = self._inflated(payload)
                        if inflated is None:
                            break
                        payload = inflated
                    if first & TEXT:
                        try:
                            text = payload.decode()
                        except UnicodeDecodeError:
                            self._fail_connection(1007, "The text is not UTF-8")
                            break
                        queue.put_sized({"type": "websocket.receive", "text": text}, len(text))
                    else:
                        event = {"type": "websocket.receive", "bytes": bytes(payload)}
                        queue.put_sized(event, len(payload))
                    if queue.unread >= HIGH_WATER and self._pause_with(data[start:]):
                        return
                if start == size:
                    return
            if self._should_yield(data[start]) and self._pause_with(data[start:]):
                self.context.loop.call_soon(self._after_yield)
                return
            start = self._read_frame(data, start)
            if self.state == CLOSED:
                return
            if self.failedByMe:
                if start > size:  # how much of the frame is to come is known
                    self.data = b""
                self._skip(data, start)
                return
            self._frames_left -= 1
            is_full = queue.unread >= HIGH_WATER and self.state == OPEN
            if (is_full or self._frames_left <= 0) and self._pause_with(data[start:]):
                if not is_full:
                    self.context.loop.call_soon(self.resume_reading)
                return

    def _should_yield(self, first: int) -> bool:
        """Whether the application should have its turn before a frame that may break the rules.

        So its answer to the messages before, if it has one at once, goes before the close frame,
        as the Autobahn suite would have it.

        Args:
            first: octet of the frame.
        """
        if first in self.usual or first in CONTROL:
            return False
        had_it, self._yielded = self._yielded, False
        return not had_it and self.current_frame is None and not self._queue.empty()

    def _after_yield(self) -> None:
        self._yielded = True
        self.resume_reading()

    def _read_frame(self, data: bytes, start: int) -> int:
        """Let autobahn have one frame, or what there is of it; where it ends in `data`.

        autobahn cuts what it has read off the front of all it has: given whole reads, the time
        for many small frames would grow with their square.
        """
        frame = self.current_frame
        opcode = data[start] & 0x0F if frame is None else frame.opcode
        end = None
        try:
            if frame is not None:
                end = start + frame.length - self.current_frame_masker.pointer()
            else:
                end = frame_end(data, start)
                if data[start] in CONTROL and end is not None and end <= len(data):
                    second = data[start + 1]
                    is_short = second & MASKED and second & 0x7F <= MAX_CONTROL_PAYLOAD
                    if is_short and (second != MASKED | 1 or data[start] != FINAL | CLOSE):
                        self._read_control(opcode, data[start + 2 : end])
                        return end
            self.data = data[start:end]
            self.consumeData()
        except FrameError as error:
            if end is not None:  # else what came of the head is needed to find it
                self.data = b""
            self._fail_connection(error.close_code, error.reason)
            if opcode == CLOSE:  # however wrong: nothing comes behind it
                self.dropConnection()
        return len(data) if end is None else end

    def _skip(self, data: bytes, start: int) -> None:
        """Drop all frames but the peer's close frame: the connection has failed (7.1.7).

        Closing before it comes would be a reset, which may overtake our close frame. Where a frame
        is too long to be skipped, the peer is told by the end of our side.

        Args:
            data: octets that have come.
            start: where the next frame begins, or will.
        """
        size = len(data)
        self._may_skip -= min(start, size)
        for _ in range(MAX_SKIPPED_AT_ONCE):
            if start >= size or self._may_skip < 0:
                break
            end = frame_end(data, start)
            if end is None:
                self.data = data[start:]
                self._skipped = 0
                return
            if data[start] & 0x0F == CLOSE:
                self.dropConnection()
                return
            self._may_skip -= min(end, size) - start + SKIPPED_FRAME_COST
            start = end
        if self._may_skip < 0:
            self.dropConnection()
        elif start < size:
            self._skipped = 0
            if self._pause_with(data[start:]):
                self.context.loop.call_soon(self.resume_reading)
        else:
            self._skipped = start - size
            if self._skipped > self._may_skip:
                self._end_writing()

    def _end_writing(self) -> None:
        """Send FIN behind our close frame, and read on, so that no reset overtakes the two."""
        transport = self.transport
        # Twisted's TLS knows no half-close; a stream of HTTP/2 can end without losing anything.
        has_half_close = ITCPTransport.providedBy(transport)
        if isinstance(transport, TLSMemoryBIOProtocol) or not has_half_close:
            self.dropConnection()
        elif not self._has_ended_writing:
            self._has_ended_writing = True
            self.context.writes.flush()
            transport.unregisterProducer()  # a transport lets its producer finish first
            transport.loseWriteConnection()

    def _read_control(self, opcode: int, octets: bytes) -> None:
        """Let autobahn have a control frame without its masker and state machine (measured)."""
        payload = bytes(unmask(octets[4:], octets[:4]))
        self.control_frame_data = [payload]
        self.current_frame = FrameHeader(opcode, True, 0, len(payload), octets[:4])
        self.processControlFrame()
        self.current_frame = None

    def _inflated(self, payload: bytes | bytearray) -> bytes | None:
        """A whole message decompressed, or None if it cannot be: the connection has failed."""
        try:
            octets: bytes = self._perMessageCompress.decompress_message(payload)
        except FrameError as error:
            self._fail_connection(error.close_code, error.reason)
            return None
        return octets

    def _pause_with(self, data: bytes) -> bool:
        """Keep what was read, and read no more, until the application has caught up.

        Returns:
            False when the connection is gone and there is room for more: what was read is all
            there will be. What there is no room for then is dropped.
        """
        if not self.connected:
            return (
                self._queue.unread >= MAX_UNREAD_AFTER_LOSS
                or self._frames_left <= -MAX_FRAMES_AFTER_LOSS
            )
        self._unprocessed = [data]
        self.transport.pauseProducing()
        return True

    def resume_reading(self) -> None:
        """The application has caught up, or others have had their turn."""
        held = self._unprocessed
        if held is None or self.state == CLOSED:
            return
        self._unprocessed = None
        self._frames_left = MAX_FRAMES_PER_TURN
        self.dataReceived(b"".join(held))
        if self._unprocessed is None and self.state != CLOSED:
            self.transport.resumeProducing()

    # What autobahn calls.

    def onFrameBegin(self) -> None:
        frame = self.current_frame
        if frame.length and frame.mask:
            self.current_frame_masker = Masker(frame.mask)
        super().onFrameBegin()

    def onMessageBegin(self, isBinary: bool) -> None:
        self.message_is_binary = isBinary
        # autobahn's list of parts takes fifty octets of memory for a part of one octet.
        self.message_data = bytearray()
        self.message_data_total_length = 0

    def onMessageFrameData(self, payload: bytes) -> None:
        if not self.failedByMe:
            self.message_data += payload

    def onMessageFrameEnd(self) -> None:
        """The message has its octets already."""

    def onMessageEnd(self) -> None:
        if not self.failedByMe:
            octets = self.message_data
            self._queue.put_nowait(
                {"type": "websocket.receive", "bytes": bytes(octets)}
                if self.message_is_binary
                else {"type": "websocket.receive", "text": octets.decode()}
            )
        self.message_data = None

    def _protocol_violation(self, reason: str) -> bool:
        """Stop autobahn at the first rule that is broken; it would look for others."""
        raise FrameError(1002, reason)

    def _invalid_payload(self, reason: str) -> bool:
        """See _protocol_violation."""
        raise FrameError(1007, reason)

    def onCloseFrame(self, code: int | None, reasonRaw: bytes | None) -> bool | None:
        stop: bool | None = super().onCloseFrame(code, reasonRaw)
        if not self.failedByMe:
            self.session.closed(1005 if code is None else code, self.remoteCloseReason or "")
        return stop

    def onAutoPingTimeout(self) -> None:
        if self._unprocessed is None:
            super().onAutoPingTimeout()
        else:  # the answer may lie where nobody reads for now
            self.autoPingTimeoutCall = self.autoPingPending = None
            self._ping_later()

    def _sendAutoPing(self) -> None:
        super()._sendAutoPing()
        if not self.autoPingTimeout:  # autobahn would wait for the answer for ever
            self.autoPingPending = None
            self._ping_later()

    def _ping_later(self) -> None:
        self.autoPingPendingCall = self.factory._batched_timer.call_later(
            self.autoPingInterval, self._sendAutoPing
        )

    def _fail_connection(self, code: int, reason: str) -> None:
        super()._fail_connection(code, reason)
        self.session.closed(code, reason)

    def close(self, code: int, reason: str) -> None:
        super().close(code, reason)
        self.resume_reading()  # as far as the peer's answer

    def dropConnection(self, abort: bool = False) -> None:
        if self.state == CLOSED:
            return
        self.state = CLOSED
        self.droppedByMe = True
        self.context.writes.flush()
        self.transport.unregisterProducer()
        if abort and not self.wasClean:
            log.debug("x cut: %s", self.wasNotCleanReason)
            self.transport.abortConnection()
        else:  # autobahn would cut off a peer that has just said goodbye
            self.transport.loseConnection()
            self.set_timeout(Timeout.WRITE_STALL, self.context.options.write_timeout)

    def server_stops(self) -> None:
        """The server begins to stop: nobody waits for the end of a WebSocket."""
        self.session.server_stops()

    def close_when_idle(self) -> None:
        """The grace of a stop is over."""
        self.session.server_stops()

    def disconnect_application(self) -> None:
        """The server has waited long enough for the peer's close frame."""
        if self.state != OPEN:
            self.transport.abortConnection()

    def timed_out(self, timeout: Timeout) -> None:
        log.debug("%% waited too long for %s", timeout.name)
        if timeout is Timeout.COMPRESSOR_IDLE:
            self._give_up_compressor()
        elif timeout is Timeout.LIFETIME:
            self.session.start_close(1001, "The time limit of the connection is over")
        else:
            self.transport.abortConnection()
