"""The sending half of a WebSocket: frames messages, and waits while the peer does not read."""

from __future__ import annotations

from asyncio import Future
from collections import deque
from collections.abc import Awaitable
from typing import TYPE_CHECKING, Any

from autobahn.twisted.websocket import WebSocketServerProtocol
from autobahn.util import encode_truncate
from autobahn.websocket import protocol as autobahn

from daphne_like.exceptions import ConnectionClosed
from daphne_like.observe.connection_log import ConnectionLog
from daphne_like.observe.wire import shows_octets, wire
from daphne_like.runtime.send_pacing import SendPacing
from daphne_like.runtime.timeouts import Timeout
from daphne_like.runtime.timer_wheel import TICK_SECONDS
from daphne_like.runtime.write_batch import WRITTEN_ALONE
from daphne_like.websocket.deflate import Deflate
from daphne_like.websocket.frames import (
    COMPRESSED,
    CONTINUATION,
    FINAL,
    MAX_CONTROL_PAYLOAD,
    SHORT_HEADS,
    frame_head,
)

if TYPE_CHECKING:
    from daphne_like.runtime.context import ServerContext
    from daphne_like.websocket.session import Session

log = ConnectionLog("daphne_like.websocket")

OPEN: int = autobahn.WebSocketProtocol.STATE_OPEN

MAX_FRAGMENT_SIZE = 131072
"""Maximum octets of a message in one frame and one write. Smaller frames show the progress of a
slow peer, and allow control frames in between."""
MESSAGE_COST = 64
"""Octets that count for each message, in addition to its size, until the sender yields."""
MAX_REASON_LENGTH = 123
QUIET_SECONDS = 5
"""Seconds without a message to compress after which the compressor is freed."""


class Log:
    """Passes autobahn's log messages to `daphne_like.websocket` at DEBUG; most are about peers."""

    def __init__(self, protocol: WebSocketOutput) -> None:
        self._protocol = protocol

    def debug(self, format: str = "", **values: Any) -> None:  # noqa: A002 # autobahn's name
        """Write a line of autobahn's."""
        # The protocol that is the factory's pattern has no session.
        if shows_octets() and "session" in vars(self._protocol):
            wire.state(self._protocol, "%s", format.format(**values))

    info = warn = error = debug


class WebSocketOutput(SendPacing, WebSocketServerProtocol):  # type: ignore[misc] # untyped base
    """Sends the frames of autobahn and the messages of the session.

    Args:
        context: provides the event loop and the options.
        deflate: compresses messages; None if compression was not negotiated.
    """

    session: Session
    state: int
    # Not an argument of send_message: defaults make every call slower (measured).
    _sends_in_turn = False
    """The message that is sent has waited for its turn."""
    compressed_at = 0.0
    """Time of the last compression, in seconds of the timer wheel."""

    def __init__(self, context: ServerContext, deflate: Deflate | None) -> None:
        SendPacing.__init__(self, context)
        self._perMessageCompress: Any = deflate
        # The queue of senders; the first one is sending. None until the first sender waits.
        self._senders: deque[Future[None]] | None = None
        self._owed_pong: bytes | None = None
        self._sent_since_yield = 0  # octets sent without yielding, plus MESSAGE_COST per message

    @property
    def can_send(self) -> bool:
        """True until one side starts to close."""
        return self.state == OPEN

    @property
    def log(self) -> Log:
        """See Log; autobahn asks for it each time that it has something to say."""
        return Log(self)

    def log_label(self, client: Any = None) -> str:
        """See SendPacing; over HTTP/2, the stream is named."""
        return self.session.log_label()

    def sendData(self, data: bytes, sync: bool = False, chopsize: int | None = None) -> None:
        # autobahn's method formats its arguments for a log that nobody reads.
        self.context.writes.flush()
        self.transport.write(data)

    def send_message(self, payload: bytes, opcode: int) -> Awaitable[None] | None:
        """Send a message, now or when the peer has read enough of the earlier messages.

        Messages are sent in the order of the calls. A message whose sender is cancelled while it
        is queued is not sent.

        Args:
            payload: the complete message; UTF-8 for text.
            opcode: TEXT or BINARY.
        Returns:
            An awaitable if the peer does not read fast enough, else None.
        Raises:
            ConnectionClosed: the WebSocket is closed, or closing.
        """
        if self.state != OPEN:
            raise ConnectionClosed("The WebSocket is closed")
        if (self._paused or self._senders) and not self._sends_in_turn:
            return self._send_in_turn(payload, opcode, self._new_sender())
        first = FINAL | opcode
        self._sent_since_yield += len(payload) + MESSAGE_COST
        if self._perMessageCompress is not None:
            first |= COMPRESSED
            payload = self._compressed(payload)
        size = len(payload)
        if size <= MAX_CONTROL_PAYLOAD:
            self.context.writes.write(self.transport, SHORT_HEADS[first][size] + payload)
        elif size <= MAX_FRAGMENT_SIZE:
            self.context.writes.write(self.transport, frame_head(first, size) + payload)
        else:
            sender = None if self._sends_in_turn else self._new_sender()
            return self._send_parts(payload, first & ~FINAL, sender)
        if self._sent_since_yield < WRITTEN_ALONE:
            return self._drain_waiter() if self._paused else None
        # Otherwise an application that never waits would block the event loop, which could not
        # serve others or notice that the peer has gone.
        self._sent_since_yield = 0
        self.context.writes.flush()  # so that a full transport pauses this producer
        return self.drain()

    async def _send_parts(self, payload: bytes, first: int, sender: Future[None] | None) -> None:
        """Send a large message in fragments, as fast as the peer reads.

        Args:
            payload: the payload, compressed if compression was negotiated.
            first: the first octet of the first frame.
            sender: removed from the queue at the end; None if the caller removes it.
        """
        last = (len(payload) - 1) // MAX_FRAGMENT_SIZE * MAX_FRAGMENT_SIZE
        start = 0
        try:
            self.context.writes.flush()
            if self._paused:
                await self._drain_waiter()
            for start in range(0, len(payload), MAX_FRAGMENT_SIZE):
                if self.state != OPEN:
                    raise ConnectionClosed("The WebSocket was closed while a message was sent")
                part = payload[start : start + MAX_FRAGMENT_SIZE]
                opcode = (CONTINUATION if start else first) | (FINAL if start == last else 0)
                self.transport.write(frame_head(opcode, len(part)) + part)
                await self.drain()
        except BaseException:
            if self.state == OPEN:  # cancelled: the message stays incomplete
                self.session.start_close(1011, "")
            raise
        finally:
            if sender is not None:
                self._remove_sender(sender)

    async def _send_in_turn(self, payload: bytes, opcode: int, sender: Future[None]) -> None:
        """Send a message after the earlier ones, when the peer has read enough of them."""
        assert self._senders is not None
        try:
            if self._senders[0] is not sender:
                await sender
            while self._paused and self.state == OPEN:
                await self._drain_waiter()
            self._sends_in_turn = True
            try:
                waiting = self.send_message(payload, opcode)
            finally:
                self._sends_in_turn = False
            if waiting is not None:
                await waiting
        finally:
            self._remove_sender(sender)

    def _new_sender(self) -> Future[None]:
        """Join the queue of senders; return a future that is done when this one is first."""
        sender: Future[None] = self.context.loop.create_future()
        if self._senders is None:
            self._senders = deque()
        self._senders.append(sender)
        return sender

    def _remove_sender(self, sender: Future[None]) -> None:
        """Remove a sender from the queue, and wake the next one."""
        senders = self._senders
        assert senders is not None
        senders.remove(sender)
        if senders and not senders[0].done():
            senders[0].set_result(None)

    def release_senders(self) -> None:
        """Wake all waiting senders, because nothing can be sent any more."""
        for sender in self._senders or ():
            if not sender.done():
                sender.set_result(None)
        self._wake_drain_waiters()

    def sendCloseFrame(
        self, code: int | None = None, reasonUtf8: bytes | None = None, isReply: bool = False
    ) -> None:
        log.sent(self, "close frame %s %r", code, reasonUtf8 or b"")
        super().sendCloseFrame(code, reasonUtf8, isReply)
        self.release_senders()

    def _compressed(self, payload: bytes) -> bytes:
        deflate = self._perMessageCompress
        self.compressed_at = self._timers.now
        if not deflate.has_compressor:
            self.set_timeout(Timeout.COMPRESSOR_IDLE, QUIET_SECONDS)
        octets: bytes = deflate.compress_message(payload)
        return octets

    def _give_up_compressor(self) -> None:
        """Free an idle compressor: its context is most of the memory of an idle connection."""
        if self._timers.now - self.compressed_at >= QUIET_SECONDS - TICK_SECONDS:
            self._perMessageCompress.forget_compressor()
        else:
            self.set_timeout(Timeout.COMPRESSOR_IDLE, QUIET_SECONDS)

    def close(self, code: int, reason: str) -> None:
        """Begin the closing handshake, unless it has begun.

        Args:
            code: the code of the close frame.
            reason: the reason of the close frame; cut to 123 octets of UTF-8.
        """
        self.sendCloseFrame(code, encode_truncate(reason, MAX_REASON_LENGTH) or None)

    def onPing(self, payload: bytes) -> None:
        if self._paused:  # one pong for the latest ping is enough (RFC 6455, 5.5.3)
            self._owed_pong = payload
        else:
            self.sendPong(payload)

    def resumeProducing(self) -> None:
        super().resumeProducing()
        owed, self._owed_pong = self._owed_pong, None
        if owed is not None:
            self.sendPong(owed)
