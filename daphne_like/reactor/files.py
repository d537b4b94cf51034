"""Sends files with os.sendfile directly to the socket, past the event loop's buffer."""

from __future__ import annotations

import os
from errno import ECONNABORTED, ECONNRESET, ENOTCONN, EOPNOTSUPP, EPIPE, ETIMEDOUT
from typing import Any

from twisted.internet import error
from twisted.python.failure import Failure

from daphne_like.reactor.handle import AcceptingPort
from daphne_like.reactor.reading import ReadingSide

SOCKET_ERRORS = frozenset((ECONNABORTED, ECONNRESET, ENOTCONN, EPIPE, ETIMEDOUT))
"""Errors of os.sendfile that mean that the connection is gone; other errors concern the file."""

can_send = hasattr(os, "sendfile")


class SendfileTransport(ReadingSide):
    """ISendfileTransport on the descriptor of the loop's transport.

    uvloop has no `loop.sendfile` for its transports (0.23), and a loop refuses to watch the
    descriptor of one of its transports. To keep the order, a file is sent only while the
    transport's buffer is empty. When the socket is full, a duplicate of the descriptor is watched:
    it has another number for the loop and is the same socket for the kernel.
    """

    __slots__ = ("_drains", "_watched")

    def __init__(self, port: AcceptingPort) -> None:
        super().__init__(port)
        self._drains = False  # the transport calls `resume_writing` only when its buffer is empty
        self._watched: int | None = None  # the duplicate

    def send_file(self, descriptor: int, offset: int, count: int) -> int | None:
        """See ISendfileTransport."""
        transport: Any = self._transport
        if not self.connected or self.disconnecting or self._watched is not None:
            return None
        if transport.get_extra_info("ssl_object") is not None:
            raise OSError(EOPNOTSUPP, "a file would go past the TLS layer")
        if transport.get_write_buffer_size():
            self._drains = True
            transport.set_write_buffer_limits(0)  # pauses the producer until the buffer is empty
            return None
        if self._drains:
            self._drains = False
            transport.set_write_buffer_limits()
        try:
            return os.sendfile(self._socket().fileno(), descriptor, offset, count)
        except (BlockingIOError, InterruptedError):
            self._watch()
        except OSError as problem:
            if problem.errno not in SOCKET_ERRORS:
                raise
            self.pause_writing()
            self._failure = Failure(error.ConnectionLost(str(problem)))
            self.disconnecting = True
            transport.abort()
        return None

    def _watch(self) -> None:
        self._watched = os.dup(self._socket().fileno())
        self.port.reactor.loop.add_writer(self._watched, self._writable)
        self.pause_writing()

    def _writable(self) -> None:
        self._unwatch()
        self.resume_writing()

    def _unwatch(self) -> None:
        watched, self._watched = self._watched, None
        if watched is not None:
            # Remove it from the loop before closing it, because epoll still reports the socket
            # under the closed descriptor.
            self.port.reactor.loop.remove_writer(watched)
            os.close(watched)

    def abortConnection(self) -> None:
        self._unwatch()
        super().abortConnection()

    def connection_lost(self, exception: BaseException | None) -> None:
        """Stop watching; the event loop calls this."""
        self._unwatch()
