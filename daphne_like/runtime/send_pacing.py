"""How a connection lets those wait who write to a peer that does not read."""

from __future__ import annotations

from asyncio import Future
from collections.abc import Awaitable, Generator
from typing import TYPE_CHECKING, Any

from daphne_like.runtime.timeouts import Timeout, Timeouts

if TYPE_CHECKING:
    from daphne_like.runtime.context import ServerContext


class YieldToLoop:
    """Awaited, it lets the event loop come round once."""

    def __await__(self) -> Generator[None, None, None]:
        yield


YIELD = YieldToLoop()


class SendPacing(Timeouts):
    """The producer that a transport pauses: `send` waits, and the peer has its time limit.

    Args:
        context: for its event loop and options.
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
        """A future for one `send` that must wait until the peer has read."""
        writer: Future[None] = self.context.loop.create_future()
        if self._drain_waiters is None:
            self._drain_waiters = []
        self._drain_waiters.append(writer)
        return writer

    def drain(self) -> Awaitable[None]:
        """What a `send` awaits that may come again and again: room, or one turn of the loop."""
        return self._drain_waiter() if self._paused else YIELD

    def _wake_drain_waiters(self) -> None:
        writers, self._drain_waiters = self._drain_waiters, None
        for writer in writers or ():
            if not writer.done():
                writer.set_result(None)

    # IPushProducer, towards the transport.

    def pauseProducing(self) -> None:
        """The transport holds as much as it wants to.

        Twisted's own transports say so at each further write: the peer has no more time for it.
        """
        if not self._paused:
            self._paused = True
            self.set_timeout(Timeout.WRITE_STALL, self.context.options.write_timeout)

    def resumeProducing(self) -> None:
        """The peer has read what the transport held."""
        self._paused = False
        self.clear_timeout(Timeout.WRITE_STALL)
        self._wake_drain_waiters()

    def stopProducing(self) -> None:
        """The connection is lost: connectionLost tells it."""
