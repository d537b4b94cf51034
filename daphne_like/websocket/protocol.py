"""Reads the frames of a connection, with a fast path in front of autobahn's state machine.

The fast path takes complete, final, masked frames. Everything else (fragments, partial frames,
errors) goes to autobahn, one frame at a time. session.py turns messages into ASGI events.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol

from autobahn.websocket import protocol as autobahn
from autobahn.websocket.protocol import FrameHeader
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IPushProducer, ITCPTransport
from twisted.protocols.tls import TLSMemoryBIOProtocol
from twisted.python.failure import Failure
from zope.interface import implementer

from daphne_like.asgi.queue import HIGH_WATER
from daphne_like.exceptions import FrameError
from daphne_like.observe.connection_log import ConnectionLog
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
    from daphne_like.websocket.session import Session
    from daphne_like.websocket.timers import Timers

log = ConnectionLog("daphne_like.websocket")

CLOSED = autobahn.WebSocketProtocol.STATE_CLOSED

MAX_FRAMES_PER_TURN = 256
"""Frames that autobahn gets in one iteration of the event loop, so that others are served too."""
MAX_SKIPPED = 1 << 24
"""Octets read and discarded after a failure, so that the peer can read the close frame."""
SKIPPED_FRAME_COST = 256
"""Octets that count for each skipped frame, in addition to its size: finding its end takes time."""
MAX_SKIPPED_AT_ONCE = 1024
"""Frames that are skipped in one iteration of the event loop."""
MAX_UNREAD_AFTER_LOSS = 1 << 20
"""Unread octets, as the queue counts them, from which the remaining input of a lost connection is
dropped: back-pressure has no effect any more, and small messages take many times their size."""
MAX_FRAMES_AFTER_LOSS = 2048
"""Frames for autobahn from which the remaining input of a lost connection is dropped: all of it is
read in one iteration of the event loop."""


class HasTimers(Protocol):
    """The factory of the protocols, by autobahn's name for its timers."""

    _batched_timer: Timers


@implementer(IPushProducer)
class WebSocketProtocol(WebSocketOutput):
    """One open WebSocket, after the opening handshake.

    autobahn's constructor and its `_connectionMade`, which set some sixty attributes per
    connection, do not run: the factory's subclass has these attributes.

    Args:
        session: receives the messages.
        deflate: compresses messages; None if compression was not negotiated.
    """

    protocol_name = "websocket"
    factory: HasTimers
    data: bytes
    message_data: Any
    largest_frame: float
    """Maximum octets of a frame on the fast path."""
    _has_ended_writing = False

    def __init__(self, session: Session, deflate: Deflate | None) -> None:
        super().__init__(session.context, deflate)
        self.session = session
        self.usual = USUAL if deflate is None else USUAL_COMPRESSED
        self._queue: Any = session.queue
        self._yielded = False
        self._frames_left = MAX_FRAMES_PER_TURN  # for autobahn, until the protocol yields
        self._skipped = 0  # octets still to arrive of a frame that is skipped
        self._may_skip = MAX_SKIPPED
        # Reads that wait until the queue has room; None while the protocol reads.
        self._unprocessed: list[bytes] | None = None

    # autobahn creates these for each connection; most connections need neither.

    @cached_property
    def utf8validator(self) -> Any:
        """A validator for text that arrives in parts."""
        return Utf8Validator()

    @property
    def is_closed(self) -> Any:
        """A Deferred that autobahn fires and nobody waits for."""
        return Deferred()

    # Called by Twisted, or by the HTTP connection on its behalf.

    def connectionMade(self) -> None:
        self.transport.registerProducer(self, True)
        self.set_timeout(Timeout.LIFETIME, self.context.options.websocket_timeout)
        if self.autoPingInterval:
            self._ping_later()

    def readConnectionLost(self) -> None:
        """Drop the connection: the peer has sent FIN without a close frame (RFC 6455, 7.1.5)."""
        self.dropConnection()

    def connectionLost(self, reason: Failure) -> None:
        log.closed(self, "%s", reason.value)
        self.connected = 0
        held, self._unprocessed = self._unprocessed, None
        if held:  # the application may still receive messages that arrived before the end
            self.dataReceived(b"".join(held))
        # autobahn's Twisted protocol formats its arguments for a log that nobody reads.
        autobahn.WebSocketProtocol._connectionLost(self, reason)
        self.clear_timeouts()
        self._unprocessed = None
        self._end_pause()
        self.release_senders()
        self.context.disconnected(self)
        self.session.connection_lost()

    def _onClose(self, wasClean: bool, code: int | None, reason: str | None) -> None:
        """Do nothing: the session has been informed already."""

    # Reading.

    @property
    def is_reading(self) -> bool:
        """True unless reading is paused."""
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
        if self.autoPingTimeoutCall is not None:  # any data shows that the peer is alive
            self._cancelAutoPingTimeoutCall()
        if self.data:  # the beginning of a frame's head
            data, self.data = self.data + data, b""
        size = len(data)
        start = 0
        queue = self._queue
        while start < size:
            # Flat on purpose: this loop runs for every message.
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
                if start > size:  # the frame's end is known
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
        """Tell whether to yield to the application before a frame that may be invalid.

        The application can then respond to the earlier messages before the close frame is sent,
        as the Autobahn suite expects.

        Args:
            first: the first octet of the frame.
        """
        if first in self.usual or first in CONTROL:
            return False
        had_it, self._yielded = self._yielded, False
        return not had_it and self.current_frame is None and not self._queue.empty()

    def _after_yield(self) -> None:
        self._yielded = True
        self.resume_reading()

    def _read_frame(self, data: bytes, start: int) -> int:
        """Pass one frame, complete or partial, to autobahn; return its end in `data`.

        autobahn removes each frame from the front of its buffer. If it were given whole reads, the
        time for many small frames would be quadratic.
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
            if end is not None:  # otherwise the partial head is needed to find the end
                self.data = b""
            self._fail_connection(error.close_code, error.reason)
            if opcode == CLOSE:  # even an invalid close frame is the last frame
                self.dropConnection()
        return len(data) if end is None else end

    def _skip(self, data: bytes, start: int) -> None:
        """Discard all frames up to the peer's close frame: the connection has failed (7.1.7).

        Closing the connection earlier would reset it, and the reset may overtake the close frame of
        this server. If a frame is too long to skip, the server closes its sending side instead.

        Args:
            data: the received octets.
            start: the index of the next frame, which may lie after `data`.
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
        """Send FIN after the close frame, and read on, so that no reset overtakes them."""
        transport = self.transport
        # Twisted's TLS has no half-close; an HTTP/2 stream can be closed without losing data.
        has_half_close = ITCPTransport.providedBy(transport)
        if isinstance(transport, TLSMemoryBIOProtocol) or not has_half_close:
            self.dropConnection()
        elif not self._has_ended_writing:
            self._has_ended_writing = True
            self.context.writes.flush()
            transport.unregisterProducer()  # a transport waits for its producer otherwise
            transport.loseWriteConnection()

    def _read_control(self, opcode: int, octets: bytes) -> None:
        """Pass a control frame to autobahn, around its masker and state machine (measured)."""
        payload = bytes(unmask(octets[4:], octets[:4]))
        self.control_frame_data = [payload]
        self.current_frame = FrameHeader(opcode, True, 0, len(payload), octets[:4])
        self.processControlFrame()
        self.current_frame = None

    def _inflated(self, payload: bytes | bytearray) -> bytes | None:
        """Return a decompressed message; None if that failed, and with it the connection."""
        try:
            octets: bytes = self._perMessageCompress.decompress_message(payload)
        except FrameError as error:
            self._fail_connection(error.close_code, error.reason)
            return None
        return octets

    def _pause_with(self, data: bytes) -> bool:
        """Store unprocessed data and pause reading until the application has caught up.

        After the connection is lost nothing is stored: the caller continues or drops the rest.

        Returns:
            True to stop processing `data`; False, only after the connection is lost, to continue.
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
        """Process the stored data, and read on if the queue still has room."""
        held = self._unprocessed
        if held is None or self.state == CLOSED:
            return
        self._unprocessed = None
        self._frames_left = MAX_FRAMES_PER_TURN
        self.dataReceived(b"".join(held))
        if self._unprocessed is None and self.state != CLOSED:
            self.transport.resumeProducing()

    # Called by autobahn.

    def onFrameBegin(self) -> None:
        frame = self.current_frame
        if frame.length and frame.mask:
            self.current_frame_masker = Masker(frame.mask)
        super().onFrameBegin()

    def onMessageBegin(self, isBinary: bool) -> None:
        self.message_is_binary = isBinary
        # autobahn's list of parts takes fifty bytes of memory for a part of one octet.
        self.message_data = bytearray()
        self.message_data_total_length = 0

    def onMessageFrameData(self, payload: bytes) -> None:
        if not self.failedByMe:
            self.message_data += payload

    def onMessageFrameEnd(self) -> None:
        """Do nothing: the message has its octets already."""

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
        """Stop autobahn at the first violation; it would continue otherwise."""
        raise FrameError(1002, reason)

    def _invalid_payload(self, reason: str) -> bool:
        """Stop autobahn at the first violation, as `_protocol_violation` does."""
        raise FrameError(1007, reason)

    def onCloseFrame(self, code: int | None, reasonRaw: bytes | None) -> bool | None:
        log.received(self, "close frame %s %r", code, reasonRaw or b"")
        stop: bool | None = super().onCloseFrame(code, reasonRaw)
        if not self.failedByMe:
            code = 1005 if code is None else code
            self.session.closed(code, self.remoteCloseReason or "", "peer")
        return stop

    def onAutoPingTimeout(self) -> None:
        if self._unprocessed is None:
            super().onAutoPingTimeout()
        else:  # the pong may be in data that is not read yet
            self.autoPingTimeoutCall = self.autoPingPending = None
            self._ping_later()

    def _sendAutoPing(self) -> None:
        super()._sendAutoPing()
        if not self.autoPingTimeout:  # autobahn would wait for the pong for ever
            self.autoPingPending = None
            self._ping_later()

    def _ping_later(self) -> None:
        self.autoPingPendingCall = self.factory._batched_timer.call_later(
            self.autoPingInterval, self._sendAutoPing
        )

    def _fail_connection(self, code: int, reason: str) -> None:
        super()._fail_connection(code, reason)
        log.error(self, "failed with %d: %s", code, reason)
        self.session.closed(code, reason, "server")

    def close(self, code: int, reason: str) -> None:
        super().close(code, reason)
        self.resume_reading()  # to reach the peer's close frame

    def dropConnection(self, abort: bool = False) -> None:
        if self.state == CLOSED:
            return
        self.state = CLOSED
        self.droppedByMe = True
        self.context.writes.flush()
        self.transport.unregisterProducer()
        if abort and not self.wasClean:
            log.closed(self, "aborting: %s", self.wasNotCleanReason)
            self.transport.abortConnection()
        else:  # autobahn would abort a connection whose peer has just sent its close frame
            self.transport.loseConnection()
            self.set_timeout(Timeout.WRITE_STALL, self.context.options.write_timeout)

    def server_stops(self) -> None:
        """Do nothing: the session is told when its turn has come (runtime/stop_notices.py)."""

    def close_when_idle(self, lingers: bool = False) -> None:
        """Do nothing, as in `server_stops`."""

    def disconnect_application(self) -> None:
        """Abort the connection if it still waits for the peer's close frame."""
        if self.state != OPEN:
            self.transport.abortConnection()

    def timed_out(self, timeout: Timeout) -> None:
        log.timer(self, "timed out waiting for %s", timeout.name)
        if timeout is Timeout.COMPRESSOR_IDLE:
            self._give_up_compressor()
        elif timeout is Timeout.LIFETIME:
            self.session.start_close(1001, "The time limit of the connection is over")
        else:
            self.transport.abortConnection()
