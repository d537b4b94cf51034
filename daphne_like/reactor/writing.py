"""The writing side of a connection: writing, producers, closing and aborting."""

from __future__ import annotations

import enum
import socket
import struct
from collections.abc import Iterable
from typing import Any

from twisted.internet import interfaces
from twisted.python import log
from twisted.python.failure import Failure

from daphne_like.reactor.handle import AF_UNIX, AcceptingPort, Handle

RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class Sending(enum.Enum):
    """States of the writing side, apart from closing the whole connection."""

    OPEN = enum.auto()
    ENDING = enum.auto()
    """A half-close was requested; writes of this turn and of the producer are still sent."""
    ENDED = enum.auto()


def discard(_: object) -> None:
    """Ignore data: replaces `write` and `data_received` once the connection is over."""


class WritingSide(Handle):
    """The writing half of ITCPTransport, and IConsumer.

    `write` is an instance attribute that holds the `write` of the loop's transport.
    """

    __slots__ = (
        "_aborted",
        "_backlog",
        "_failure",
        "_producer",
        "_pulling",
        "_sending",
        "_streaming",
        "connected",
        "disconnected",
        "disconnecting",
        "protocol",
        "write",
    )

    def __init__(self, port: AcceptingPort) -> None:
        super().__init__(port)
        self.protocol: Any = None
        self.write: Any = discard
        self.connected = False
        self.disconnecting = False
        self.disconnected = False
        self._producer: Any = None
        self._streaming = False
        self._pulling = False  # `_pull` was scheduled
        self._backlog = False  # the loop's write buffer is above its high-water mark
        self._sending = Sending.OPEN
        self._aborted = False
        self._failure: Failure | None = None  # the exception that ended the connection, if any

    def _soon(self, callable_: Any) -> None:
        self.port.reactor.loop.call_soon(callable_)

    def _guard(self, callable_: Any, *args: Any) -> None:
        """Call a protocol or producer; an exception ends this connection, as in Twisted."""
        try:
            callable_(*args)
        except Exception:  # noqa: BLE001
            failure = Failure()
            log.err(failure, "Unhandled error in a protocol")
            if self.connected:
                self._failure = failure
                self.disconnecting = True
                self.write = discard
                self._transport.abort()

    # ITransport and ITCPTransport.

    def writeSequence(self, iovec: Iterable[bytes | memoryview]) -> None:
        if self.write is discard:
            return
        # asyncio's writelines never pauses the producer (3.12 to 3.13.1, gh-127529).
        if self.port.reactor.gathers_writes:
            self._transport.writelines(iovec)
            if self._producer is not None and not self._streaming:
                self._pull_soon()
        else:
            self.write(b"".join(iovec))

    def loseConnection(self, _reason: object = None) -> None:
        if not self.connected or self.disconnecting:
            return
        self.disconnecting = True
        self._transport.pause_reading()
        self._soon(self._close)  # so that writes of this turn are still sent

    def _close(self) -> None:
        if self.connected and not self._producer_holds():
            self._transport.close()

    def _producer_holds(self) -> bool:
        """Tell whether a producer must finish before the close: a pull producer or a paused one.

        Other producers do not delay the close of Twisted's transports, although the documentation
        of ITransport.loseConnection says so. Wrappers such as the PROXY protocol's close while
        their protocol is registered.
        """
        return self._producer is not None and (not self._streaming or self._backlog)

    def abortConnection(self) -> None:
        if not self.connected or self._aborted:
            return
        self.disconnecting = self._aborted = True
        self.write = discard
        sock = self._socket()  # called once, because uvloop creates a new object each time
        if sock.family != AF_UNIX:
            try:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
            except OSError:
                pass  # the connection is gone already
        self._transport.abort()

    def loseWriteConnection(self) -> None:
        if self.connected and not self.disconnecting and self._sending is Sending.OPEN:
            self._sending = Sending.ENDING
            self._soon(self._end_writing)

    def _end_writing(self) -> None:
        if not self.connected or self.disconnecting or self._producer_holds():
            return
        self._sending = Sending.ENDED
        self.write = discard
        try:
            self._transport.write_eof()
        except OSError:
            pass  # the peer has reset the connection, which reading will report
        if self._transport.get_write_buffer_size() == 0:
            self._write_side_closed()
        else:
            self._transport.set_write_buffer_limits(0)  # resume_writing when empty

    def _write_side_closed(self) -> None:
        protocol = interfaces.IHalfCloseableProtocol(self.protocol, None)
        if self.connected and protocol is not None:
            self._guard(protocol.writeConnectionLost)

    # IConsumer.

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        if self._producer is not None:
            raise RuntimeError(
                f"Cannot register producer {producer}, because producer {self._producer} "
                "was never unregistered."
            )
        if self.disconnected:
            producer.stopProducing()
            return
        self._producer = producer
        self._streaming = streaming
        if streaming:
            if self._backlog:
                producer.pauseProducing()
        else:
            if self.write is not discard:
                self.write = self._write_and_pull
            producer.resumeProducing()

    def unregisterProducer(self) -> None:
        pulled = self._producer is not None and not self._streaming
        self._producer = None
        if not self.connected:
            return
        if pulled and self.write is not discard:
            self.write = self._transport.write
            self._transport.set_write_buffer_limits()
        if self.disconnecting:
            self._soon(self._close)
        elif self._sending is Sending.ENDING:
            self._soon(self._end_writing)

    def _write_and_pull(self, data: bytes) -> None:
        """Write, then ask a pull producer for more; replaces `write` while one is registered."""
        self._transport.write(data)
        if data:
            self._pull_soon()

    def _pull_soon(self) -> None:
        if not self._pulling:
            self._pulling = True
            self._soon(self._pull)

    def _pull(self) -> None:
        self._pulling = False
        if self._producer is None or self._streaming or not self.connected:
            return
        if self._transport.get_write_buffer_size():
            self._transport.set_write_buffer_limits(0)  # resume_writing when empty
        else:
            self._guard(self._producer.resumeProducing)

    # Called by the event loop.

    def pause_writing(self) -> None:
        self._backlog = True
        if self._producer is not None and self._streaming:
            self._guard(self._producer.pauseProducing)

    def resume_writing(self) -> None:
        self._backlog = False
        if self._sending is Sending.ENDED:
            self._soon(self._write_side_closed)
        elif self._producer is not None:
            if self._streaming:
                self._guard(self._producer.resumeProducing)
            else:
                self._pull()
