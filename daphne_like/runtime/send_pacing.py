"""How a connection lets those wait who write to a peer that does not read."""

from __future__ import annotations

from asyncio import Future
from collections.abc import Awaitable, Generator
from typing import TYPE_CHECKING, Any

from daphne_like.runtime.timeouts import Wait, Waits

if TYPE_CHECKING:
    from daphne_like.server import Server


class Turn:
    """Awaited, it lets the event loop come round once."""

    def __await__(self) -> Generator[None, None, None]:
        yield


TURN = Turn()


class Paced(Waits):
    """The producer that a transport pauses: `send` waits, and the peer has its time limit.

    Args:
        server: for its event loop and options.
    """

    __slots__ = ("_paused", "_writers", "server", "transport")

    transport: Any

    def __init__(self, server: Server) -> None:
        super().__init__(server.deadlines)
        self.server = server
        self.transport = None
        self._paused = False
        self._writers: list[Future[None]] | None = None

    def _writer(self) -> Future[None]:
        """A future for one `send` that must wait until the peer has read."""
        writer: Future[None] = self.server.loop.create_future()
        if self._writers is None:
            self._writers = []
        self._writers.append(writer)
        return writer

    def turn(self) -> Awaitable[None]:
        """What a `send` awaits that may come again and again: room, or one turn of the loop."""
        return self._writer() if self._paused else TURN

    def _release_writers(self) -> None:
        writers, self._writers = self._writers, None
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
            self.wait(Wait.WRITE, self.server.options.write_timeout)

    def resumeProducing(self) -> None:
        """The peer has read what the transport held."""
        self._paused = False
        self.arrived(Wait.WRITE)
        self._release_writers()

    def stopProducing(self) -> None:
        """The connection is lost: connectionLost tells it."""
