"""Back-pressure on `send`: callers wait while the peer does not read."""

from __future__ import annotations

from asyncio import Future
from collections.abc import Awaitable, Generator
from typing import TYPE_CHECKING, Any

from daphne_like.observe.connection_log import label
from daphne_like.runtime.timeouts import Timeout, Timeouts

if TYPE_CHECKING:
    from daphne_like.runtime.context import ServerContext


class YieldToLoop:
    """An awaitable that yields to the event loop once."""

    def __await__(self) -> Generator[None, None, None]:
        yield


YIELD = YieldToLoop()


class SendPacing(Timeouts):
    """The producer that a transport pauses; `send` waits meanwhile, up to the write timeout.

    Args:
        context: provides the event loop and the options.
    """

    __slots__ = ("_drain_waiters", "_paused", "context", "transport")

    transport: Any

    def __init__(self, context: ServerContext) -> None:
        super().__init__(context.timers)
        self.context = context
        self.transport = None
        self._paused = False
        self._drain_waiters: list[Future[None]] | None = None

    def _drain_waiter(self) -> Future[None]:
        """Return a future for one `send`, which is done when the peer has read."""
        writer: Future[None] = self.context.loop.create_future()
        if self._drain_waiters is None:
            self._drain_waiters = []
        self._drain_waiters.append(writer)
        return writer

    def drain(self) -> Awaitable[None]:
        """Return an awaitable: until the transport has room, or one iteration of the loop.

        An application that calls `send` in a loop awaits it, so that the event loop can run.
        """
        return self._drain_waiter() if self._paused else YIELD

    def _wake_drain_waiters(self) -> None:
        writers, self._drain_waiters = self._drain_waiters, None
        for writer in writers or ():
            if not writer.done():
                writer.set_result(None)

    def log_label(self, client: Any = None) -> str:
        """Return how log lines about this connection begin; see observe/connection_log.py."""
        return label(self.transport, client)

    # The handshake of Twisted's own TLS, which connects the protocol before it.

    def tell_handshake_ended(self) -> None:
        """Tell the observer that the TLS handshake is complete, while its timeout is still set."""
        observer, limit = self.context.observer, self.context.options.tls_handshake_timeout
        due = (self._due or {}).get(Timeout.TLS_HANDSHAKE)
        if observer is not None and limit is not None and due is not None:
            observer.handshake_ended(self._timers.clock() - (due - limit))

    def tell_handshake_lost(self) -> None:
        """Tell the observer if the connection was lost in its TLS handshake."""
        if self.context.observer is not None and self.has_timeout(Timeout.TLS_HANDSHAKE):
            self.context.observer.handshake_failed("closed")

    # IPushProducer, towards the transport.

    def pauseProducing(self) -> None:
        """Make callers of `send` wait, because the buffer of the transport is full.

        Twisted's own transports call this again at each further write; the write timeout is not
        restarted then.
        """
        if not self._paused:
            self._paused = True
            self.set_timeout(Timeout.WRITE_STALL, self.context.options.write_timeout)
            if self.context.observer is not None:
                self.context.observer.sending_paused(self)

    def resumeProducing(self) -> None:
        """Wake waiting callers of `send`: the transport has sent its buffer."""
        self._end_pause()
        self.clear_timeout(Timeout.WRITE_STALL)
        self._wake_drain_waiters()

    def _end_pause(self) -> None:
        """Note that callers of `send` need not wait: the peer reads, or nothing can be sent."""
        if self._paused:
            self._paused = False
            if self.context.observer is not None:
                self.context.observer.sending_resumed(self)

    def stopProducing(self) -> None:
        """Do nothing: the connection is lost, and `connectionLost` handles that."""
