"""The writing half of a WebSocket: messages into frames, at the pace of the peer."""

from __future__ import annotations

import logging
from asyncio import Future
from collections import deque
from collections.abc import Awaitable
from typing import TYPE_CHECKING, Any

from autobahn.twisted.websocket import WebSocketServerProtocol
from autobahn.util import encode_truncate
from autobahn.websocket import protocol as autobahn

from daphne_like.exceptions import ConnectionClosed
from daphne_like.http.h1.response_writer import WRITTEN_ALONE
from daphne_like.runtime.send_pacing import SendPacing
from daphne_like.runtime.timeouts import Timeout
from daphne_like.runtime.timer_wheel import TICK_SECONDS
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

log = logging.getLogger("daphne_like.websocket")

OPEN = autobahn.WebSocketProtocol.STATE_OPEN

MAX_FRAGMENT_SIZE = 131072
"""Octets of a message in one frame and one write: progress of a slow peer can be seen, and control
frames go out in between."""
MESSAGE_COST = 64
"""Octets that a message counts beside its own towards the turn that others have: it takes time."""
MAX_REASON_LENGTH = 123
QUIET_SECONDS = 5
"""After which a compressor that has nothing to do is given up."""


class Log:
    """What autobahn logs, as DEBUG of ours: most of it tells what a peer has done."""

    @staticmethod
    def debug(format: str = "", **values: Any) -> None:  # noqa: A002 # autobahn's name
        if log.isEnabledFor(logging.DEBUG):
            log.debug("= %s", format.format(**values))

    info = warn = error = debug


class WebSocketOutput(SendPacing, WebSocketServerProtocol):  # type: ignore[misc] # untyped base
    """Sends what autobahn and the session want to be sent.

    Args:
        context: for its event loop and options.
        deflate: for messages, if it was agreed on.
    """

    log = Log
    session: Session
    state: int
    compressed_at = 0.0
    """When a message was compressed last, in seconds of the wheel."""

    def __init__(self, context: ServerContext, deflate: Deflate | None) -> None:
        SendPacing.__init__(self, context)
        self._perMessageCompress: Any = deflate
        # Senders that wait for their turn, the one that is sending first; None for none so far.
        self._senders: deque[Future[None]] | None = None
        self._owed_pong: bytes | None = None
        self._sent_since_yield = 0  # octets sent in a row, with something for each message

    def sendData(self, data: bytes, sync: bool = False, chopsize: int | None = None) -> None:
        # autobahn's formats its arguments for a log that nobody reads.
        self.context.writes.flush()
        self.transport.write(data)

    def send_message(
        self, payload: bytes, opcode: int, in_turn: bool = False
    ) -> Awaitable[None] | None:
        """Send a message, or wait until the peer has read what was sent before it.

        Args:
            payload: the whole of it; UTF-8 for text.
            opcode: TEXT or BINARY.
            in_turn: it has waited for its turn.
        Returns:
            What to wait for when the peer does not read fast enough, else None. Messages go out
            in the order of the calls. One whose sender is cancelled before its turn is not sent.
        Raises:
            ConnectionClosed: it is closed, or closing.
        """
        if self.state != OPEN:
            raise ConnectionClosed("The WebSocket is closed")
        if (self._paused or self._senders) and not in_turn:
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
            return self._send_parts(
                payload, first & ~FINAL, None if in_turn else self._new_sender()
            )
        if self._sent_since_yield < WRITTEN_ALONE:
            return self._drain_waiter() if self._paused else None
        # An application that never waits would keep the loop from telling that the peer has
        # gone, and everybody else from their turn.
        self._sent_since_yield = 0
        self.context.writes.flush()  # and see whether the transport has room for more
        return self.drain()

    async def _send_parts(self, payload: bytes, first: int, sender: Future[None] | None) -> None:
        """Send a large message in fragments, as the peer reads them.

        Args:
            payload: compressed already where that was agreed on.
            first: the first octet of the first frame.
            sender: to be removed in the end; None if the caller does that.
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
            if self.state == OPEN:  # cancelled: what is out cannot be made whole
                self.session.start_close(1011, "")
            raise
        finally:
            if sender is not None:
                self._remove_sender(sender)

    async def _send_in_turn(self, payload: bytes, opcode: int, sender: Future[None]) -> None:
        """Send a message when those before it are out and the peer has read enough of them."""
        assert self._senders is not None
        try:
            if self._senders[0] is not sender:
                await sender
            while self._paused and self.state == OPEN:
                await self._drain_waiter()
            waiting = self.send_message(payload, opcode, in_turn=True)
            if waiting is not None:
                await waiting
        finally:
            self._remove_sender(sender)

    def _new_sender(self) -> Future[None]:
        """Queue up for sending; the future is done when all before it have gone."""
        sender: Future[None] = self.context.loop.create_future()
        if self._senders is None:
            self._senders = deque()
        self._senders.append(sender)
        return sender

    def _remove_sender(self, sender: Future[None]) -> None:
        """Let the next one send."""
        senders = self._senders
        assert senders is not None
        senders.remove(sender)
        if senders and not senders[0].done():
            senders[0].set_result(None)

    def release_senders(self) -> None:
        """Wake all that wait: nothing can be sent any more."""
        for sender in self._senders or ():
            if not sender.done():
                sender.set_result(None)
        self._wake_drain_waiters()

    def sendCloseFrame(
        self, code: int | None = None, reasonUtf8: bytes | None = None, isReply: bool = False
    ) -> None:
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
        """What it remembers is most of an idle connection's memory."""
        if self._timers.now - self.compressed_at >= QUIET_SECONDS - TICK_SECONDS:
            self._perMessageCompress.forget_compressor()
        else:
            self.set_timeout(Timeout.COMPRESSOR_IDLE, QUIET_SECONDS)

    def close(self, code: int, reason: str) -> None:
        """Begin the closing handshake; nothing if it has begun.

        Args:
            code: of the close frame.
            reason: of it; what is longer than 123 octets in UTF-8 is cut.
        """
        self.sendCloseFrame(code, encode_truncate(reason, MAX_REASON_LENGTH) or None)

    def onPing(self, payload: bytes) -> None:
        if self._paused:  # one answer to the last of them is enough (RFC 6455, 5.5.3)
            self._owed_pong = payload
        else:
            self.sendPong(payload)

    def resumeProducing(self) -> None:
        super().resumeProducing()
        owed, self._owed_pong = self._owed_pong, None
        if owed is not None:
            self.sendPong(owed)
