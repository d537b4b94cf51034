"""Frames on a connection: a short path for the usual ones in front of autobahn's state machine.

Usual are whole, final and masked frames. All others go to autobahn, one at a time: fragments, parts
of frames, whatever is wrong. What a message means to the application is in session.py.
"""

from __future__ import annotations

import logging
from asyncio import Event
from collections.abc import Awaitable
from functools import cached_property
from typing import TYPE_CHECKING, Any

from autobahn.exception import PayloadCorruptError, PayloadExceededError
from autobahn.twisted.websocket import WebSocketServerProtocol
from autobahn.util import encode_truncate
from autobahn.websocket import protocol as autobahn
from autobahn.websocket.protocol import FrameHeader
from autobahn.websocket.utf8validator import Utf8Validator
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IPushProducer
from twisted.python.failure import Failure
from zope.interface import implementer

from daphne_like.asgi.queue import HIGH_WATER
from daphne_like.deadlines import TICK
from daphne_like.exceptions import ConnectionClosed
from daphne_like.http.pace import Paced
from daphne_like.http.waits import Wait
from daphne_like.websocket.masking import unmask

if TYPE_CHECKING:
    from daphne_like.websocket.factory import WebSocketFactory
    from daphne_like.websocket.session import Session

log = logging.getLogger("daphne_like.websocket")

OPEN = autobahn.WebSocketProtocol.STATE_OPEN
CLOSING = autobahn.WebSocketProtocol.STATE_CLOSING
CLOSED = autobahn.WebSocketProtocol.STATE_CLOSED

CONTINUATION, TEXT, BINARY, CLOSE = 0, 1, 2, 8
FINAL = 0x80
COMPRESSED = 0x40
MASKED = 0x80
FINAL_TEXT, FINAL_BINARY = FINAL | TEXT, FINAL | BINARY
USUAL = (FINAL_TEXT, FINAL_BINARY)
USUAL_COMPRESSED = (*USUAL, COMPRESSED | FINAL_TEXT, COMPRESSED | FINAL_BINARY)
CONTROL = range(FINAL | CLOSE, FINAL | 0x0B)
"""First octets of a close, ping or pong that is as it should be."""
LONGEST_REASON = 123

LARGEST_FRAME = 131072
"""Octets of a message in one frame and one write: progress of a slow peer can be seen, and control
frames go out in between."""
QUIET_SECONDS = 5
"""After which a compressor that has nothing to do is given up."""
MOST_AT_ONCE = 256
"""Frames that autobahn gets in one turn of the event loop: others have theirs, too."""


class Log:
    """autobahn's messages, as DEBUG of ours: most of them tell what a peer has done."""

    @staticmethod
    def debug(format: str = "", **values: Any) -> None:  # noqa: A002 # autobahn's name
        if log.isEnabledFor(logging.DEBUG):
            log.debug("= %s", format.format(**values))

    info = warn = error = debug


def frame_end(octets: bytes, start: int) -> int:
    """Where the frame ends that begins at `start`; the end of the octets if its head is not whole.

    Args:
        octets: at least one from `start` on.
        start: an index.
    """
    size = len(octets)
    if size - start < 2:
        return size
    second = octets[start + 1]
    head = start + (6 if second & MASKED else 2)
    length = second & 0x7F
    if length > 125:
        extended = 2 if length == 126 else 8
        if size - start < 2 + extended:
            return size
        length = int.from_bytes(octets[start + 2 : start + 2 + extended], "big")
        head += extended
    return head + length


SHORT_HEADS = {first: [bytes((first, size)) for size in range(126)] for first in USUAL_COMPRESSED}


def frame_head(first: int, size: int) -> bytes:
    """The head of an unmasked frame (RFC 6455, 5.2).

    Args:
        first: its first octet: FIN, RSV1, opcode.
        size: octets of payload.
    """
    if size < 126:
        return bytes((first, size))
    if size < 65536:
        return bytes((first, 126, size >> 8, size & 0xFF))
    return bytes((first, 127)) + size.to_bytes(8, "big")


@implementer(IPushProducer)
class WebSocketProtocol(Paced, WebSocketServerProtocol):  # type: ignore[misc] # untyped base
    """One open WebSocket; the opening handshake lies behind it.

    autobahn's constructor and its `_connectionMade`, which set some eighty attributes per
    connection, do not run: the factory's subclass holds what they set.

    Args:
        session: gets the messages.
        deflate: autobahn's PerMessageDeflate, or None.
    """

    log = Log
    factory: WebSocketFactory
    session: Session
    data: bytes
    state: int
    message_data: Any
    largest_frame: float
    """Octets of the largest frame on the short path."""
    compressed_at = 0.0
    """When a message was compressed last, in seconds of the wheel."""

    def __init__(self, session: Session, deflate: Any) -> None:
        Paced.__init__(self, session.server)
        self.session = session
        self._queue: Any = session.queue
        self._perMessageCompress = deflate
        self.usual = USUAL if deflate is None else USUAL_COMPRESSED
        self._held: bytes | None = None  # what was read, and the application has no room for
        self._owed_pong: bytes | None = None
        self._written: Event | None = None  # set when a message in parts is out

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
        self.wait(Wait.LIFETIME, self.server.options.websocket_timeout)
        if self.autoPingInterval:
            self._ping_later()

    def readConnectionLost(self) -> None:
        """The peer's FIN without a close frame: the connection is lost (RFC 6455, 7.1.5)."""
        self.dropConnection()

    def connectionLost(self, reason: Failure) -> None:
        self.connected = 0
        held, self._held = self._held, None
        if held:  # what came before the end is the application's to read
            self.dataReceived(held)
        # Not that of autobahn's Twisted protocol, which formats its arguments to log nothing.
        autobahn.WebSocketProtocol._connectionLost(self, reason)
        self.forget()
        self._held = None
        self._paused = False
        self._release_writers()
        self.server.connection_lost(self)
        self.session.connection_lost()

    def _onClose(self, wasClean: bool, code: int | None, reason: str | None) -> None:
        """The session has been told already."""

    # Reading.

    @property
    def is_reading(self) -> bool:
        """Whether the peer is read."""
        return self._held is None

    def dataReceived(self, data: bytes) -> None:
        if self._held is not None:
            self._held += data
            return
        if self.data:  # the beginning of a frame's head
            data, self.data = self.data + data, b""
        size = len(data)
        start = 0
        most = MOST_AT_ONCE
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
                            self._invalid_payload("The text is not UTF-8")
                            break
                        queue.put_sized({"type": "websocket.receive", "text": text}, len(text))
                    else:
                        event = {"type": "websocket.receive", "bytes": bytes(payload)}
                        queue.put_sized(event, len(payload))
                    if queue.unread >= HIGH_WATER and self._hold(data[start:]):
                        return
                if self.autoPingTimeoutCall is not None and start:
                    self._cancelAutoPingTimeoutCall()
                if start == size:
                    return
            start = self._read_frame(data, start)
            if self.state == CLOSED:
                return
            most -= 1
            is_full = queue.unread >= HIGH_WATER and self.state == OPEN
            if (is_full or not most) and self._hold(data[start:]):
                if not is_full:
                    self.server.loop.call_soon(self.read_on)
                return

    def _read_frame(self, data: bytes, start: int) -> int:
        """Let autobahn have one frame, or what there is of it; where it ends in `data`.

        autobahn cuts what it has read off the front of all it has: given whole reads, the time
        for many small frames would grow with their square.
        """
        frame = self.current_frame
        if frame is None:
            end = frame_end(data, start)
            if data[start] in CONTROL and 6 <= end - start <= 131 and end <= len(data):
                second = data[start + 1]
                if second & MASKED and (second != MASKED | 1 or data[start] != FINAL | CLOSE):
                    self._read_control(data[start] & 0x0F, data[start + 2 : end])
                    return end
        else:
            end = start + frame.length - self.current_frame_masker.pointer()
        self.data = data[start:end]
        self.consumeData()
        return end

    def _read_control(self, opcode: int, octets: bytes) -> None:
        """Let autobahn have a control frame without its masker and state machine (measured)."""
        payload = bytes(unmask(octets[4:], octets[:4]))
        self.control_frame_data = [payload]
        self.current_frame = FrameHeader(opcode, True, 0, len(payload), octets[:4])
        self.processControlFrame()
        self.current_frame = None

    def _inflated(self, payload: bytes | bytearray) -> bytes | None:
        """A whole message decompressed, as far as a message may be large (S28).

        Returns:
            None if it cannot be: the connection has failed.
        """
        deflate = self._perMessageCompress
        deflate.start_decompress_message()
        try:
            octets: bytes = deflate.decompress_message_data(
                payload, max_output_len=self.maxMessagePayloadSize or None
            )
            deflate.end_decompress_message()
        except PayloadExceededError:
            self._fail_connection(1009, "The message is too large when it is decompressed")
        except PayloadCorruptError:
            self._invalid_payload("The compressed message is damaged")
        else:
            return octets
        return None

    def _hold(self, data: bytes) -> bool:
        """Keep what was read, and read no more, until the application has caught up.

        Returns:
            False when the connection is gone: then what was read is all there will be.
        """
        if not self.connected:
            return False
        self._held = data
        self.transport.pauseProducing()
        return True

    def read_on(self) -> None:
        """The application has caught up, or others have had their turn."""
        held = self._held
        if held is None or self.state == CLOSED:
            return
        self._held = None
        self.dataReceived(held)
        if self._held is None and self.state != CLOSED:
            self.transport.resumeProducing()

    # What autobahn calls.

    def onMessageFrameData(self, payload: bytes) -> None:
        if payload:  # else empty fragments without end would fill a list
            super().onMessageFrameData(payload)

    def onMessageEnd(self) -> None:
        if not self.failedByMe:
            octets = b"".join(self.message_data)
            self._queue.put_nowait(
                {"type": "websocket.receive", "bytes": octets}
                if self.message_is_binary
                else {"type": "websocket.receive", "text": octets.decode()}
            )
        self.message_data = None

    def onPing(self, payload: bytes) -> None:
        if self._paused:  # one answer to the last of them is enough (RFC 6455, 5.5.3)
            self._owed_pong = payload
        else:
            self.sendPong(payload)

    def onCloseFrame(self, code: int | None, reasonRaw: bytes | None) -> bool | None:
        stop: bool | None = super().onCloseFrame(code, reasonRaw)
        if not self.failedByMe:
            self.session.closed(1005 if code is None else code, self.remoteCloseReason or "")
        return stop

    def onAutoPingTimeout(self) -> None:
        if self._held is None:
            super().onAutoPingTimeout()
        else:  # the answer may lie where nobody reads for now
            self.autoPingTimeoutCall = self.autoPingPending = None
            self._ping_later()

    def _ping_later(self) -> None:
        self.autoPingPendingCall = self.factory._batched_timer.call_later(
            self.autoPingInterval, self._sendAutoPing
        )

    def _fail_connection(self, code: int, reason: str) -> None:
        super()._fail_connection(code, reason)
        self.session.closed(code, reason)

    def dropConnection(self, abort: bool = False) -> None:
        if self.state == CLOSED:
            return
        self.state = CLOSED
        self.droppedByMe = True
        self.transport.unregisterProducer()
        if abort and not self.wasClean:
            log.debug("x cut: %s", self.wasNotCleanReason)
            self.transport.abortConnection()
        else:  # autobahn would cut off a peer that has just said goodbye
            self.transport.loseConnection()
            self.wait(Wait.WRITE, self.server.options.write_timeout)

    # Writing.

    def sendData(self, data: bytes, sync: bool = False, chopsize: int | None = None) -> None:
        self.transport.write(data)

    def send_message(self, payload: bytes, opcode: int) -> Awaitable[None] | None:
        """Send a message.

        Args:
            payload: the whole of it; UTF-8 for text.
            opcode: TEXT or BINARY.
        Returns:
            What to wait for when the peer does not read fast enough, else None.
        Raises:
            ConnectionClosed: it is closed, or closing.
        """
        if self.state != OPEN:
            raise ConnectionClosed("The WebSocket is closed")
        if self._written is not None:
            return self._after_parts(payload, opcode)
        first = FINAL | opcode
        if self._perMessageCompress is not None:
            first |= COMPRESSED
            payload = self._compressed(payload)
        size = len(payload)
        if size < 126:
            self.transport.write(SHORT_HEADS[first][size] + payload)
            return self._writer() if self._paused else None
        if size > LARGEST_FRAME:
            self._written = Event()
            return self._send_parts(payload, first & ~FINAL)
        self.transport.write(frame_head(first, size) + payload)
        return self._writer() if self._paused else None

    def _compressed(self, payload: bytes) -> bytes:
        deflate = self._perMessageCompress
        self.compressed_at = self._deadlines.now
        if deflate._compressor is None:
            self.wait(Wait.QUIET, QUIET_SECONDS)
        deflate.start_compress_message()
        octets: bytes = deflate.compress_message_data(payload) + deflate.end_compress_message()
        return octets

    def _give_up_compressor(self) -> None:
        """What it remembers is most of an idle connection's memory.

        The next one has nothing to refer to, which no peer can tell. autobahn (26.10) has no
        public way to reset it; it makes another when there is none.
        """
        if self._deadlines.now - self.compressed_at >= QUIET_SECONDS - TICK:
            self._perMessageCompress._compressor = None
        else:
            self.wait(Wait.QUIET, QUIET_SECONDS)

    async def _send_parts(self, payload: bytes, first: int) -> None:
        """Send a large message in fragments, as the peer reads them."""
        written = self._written
        assert written is not None
        last = (len(payload) - 1) // LARGEST_FRAME * LARGEST_FRAME
        try:
            for start in range(0, len(payload), LARGEST_FRAME):
                if self.state != OPEN:
                    raise ConnectionClosed("The WebSocket was closed while a message was sent")
                part = payload[start : start + LARGEST_FRAME]
                opcode = (CONTINUATION if start else first) | (FINAL if start == last else 0)
                self.transport.write(frame_head(opcode, len(part)) + part)
                if self._paused:
                    await self._writer()
        except BaseException:
            if self.state == OPEN:  # cancelled: what is out cannot be made whole
                self.close(1011, "")
            raise
        finally:
            self._written = None
            written.set()

    async def _after_parts(self, payload: bytes, opcode: int) -> None:
        """Another task's message is on its way in parts: nothing may come in between."""
        while self._written is not None:
            await self._written.wait()
        waiting = self.send_message(payload, opcode)
        if waiting is not None:
            await waiting

    def close(self, code: int, reason: str) -> None:
        """Begin the closing handshake; nothing if it has begun.

        Args:
            code: of the close frame.
            reason: of it; what is longer than 123 octets in UTF-8 is cut.
        """
        self.sendCloseFrame(code, encode_truncate(reason, LONGEST_REASON) or None)

    def close_when_idle(self) -> None:
        """The server stops."""
        self.session.server_stops()

    def disconnect_application(self) -> None:
        """The application has been told when the server began to stop."""

    def resumeProducing(self) -> None:
        super().resumeProducing()
        owed, self._owed_pong = self._owed_pong, None
        if owed is not None:
            self.sendPong(owed)

    def waited_too_long(self, wait: Wait) -> None:
        log.debug("%% waited too long for %s", wait.name)
        if wait is Wait.QUIET:
            self._give_up_compressor()
        elif wait is Wait.LIFETIME:
            self.session.begin_close(1001, "The time limit of the connection is over")
        else:
            self.transport.abortConnection()
