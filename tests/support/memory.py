"""A server in memory: a transport that records, a clock that a test moves, no reactor."""

from __future__ import annotations

import asyncio
from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IConsumer, ITCPTransport
from twisted.python.failure import Failure
from zope.interface import implementer

from daphne_like.runtime.drain_plan import DrainPlan
from daphne_like.server import Server

TURNS = 50
"""The most turns of the event loop that `settle` takes: an application may never come to rest."""


@implementer(ITCPTransport, IConsumer)
class Wire:
    """One connection as its transport sees it, and what a test does at the other end.

    Args:
        memory: its server.
        factory: of the protocol; the server's HTTP by default.
        peer: the client's address.

    Attributes:
        written: octets that the server has written.
        half_closed, closing, aborted: what it asked for, closing for any of them; `lost` when
            it is over.
        paused: it does not want to be given octets.
    """

    def __init__(self, memory: Memory, factory: Any = None, peer: Any = None) -> None:
        self.memory = memory
        self.written = b""
        self.writes: list[bytes] = []
        self.half_closed = self.closing = self.aborted = self.lost = self.paused = False
        self.producer: Any = None
        self.peer: Any = peer or IPv4Address("TCP", "192.0.2.1", 50000)
        self.host: Any = IPv4Address("TCP", "192.0.2.2", 80)
        self.protocol: Any = (factory or memory.server.http_factory).buildProtocol(self.peer)
        self.protocol.makeConnection(self)

    # The other end.

    def sends(self, *data: bytes) -> Wire:
        """The peer sends; then everything that can happen happens."""
        for part in data:
            self.protocol.dataReceived(part)
            self.memory.settle()
        return self

    def gets(self, *data: bytes) -> Wire:
        """The peer sends, all of it before anything else happens."""
        for part in data:
            self.protocol.dataReceived(part)
        self.memory.settle()
        return self

    def fin(self) -> None:
        """The peer closes its sending side."""
        self.protocol.readConnectionLost()
        self.memory.settle()

    def vanishes(self) -> None:
        """The connection is lost."""
        self._lose(ConnectionLost())
        self.memory.settle()

    def stops_reading(self) -> None:
        """The transport's buffer is full."""
        self.producer.pauseProducing()

    def reads_on(self) -> None:
        """The transport's buffer is empty again."""
        self.producer.resumeProducing()
        self.memory.settle()

    def take(self) -> bytes:
        """What was written since the last call."""
        written, self.written = self.written, b""
        return written

    def _lose(self, reason: Exception) -> None:
        if not self.lost:
            self.lost = True
            self.protocol.connectionLost(Failure(reason))

    # ITransport, as far as connections use it.

    def write(self, data: bytes) -> None:
        assert isinstance(data, bytes)
        if not self.lost and not self.half_closed:
            self.written += data
            self.writes.append(data)

    def writeSequence(self, data: Any) -> None:
        self.write(b"".join(data))

    def loseConnection(self) -> None:
        self.closing = True
        if self.producer is None:
            self.memory.loop.call_soon(self._lose, ConnectionDone())

    def abortConnection(self) -> None:
        self.aborted = self.closing = True
        self.memory.loop.call_soon(self._lose, ConnectionAborted())

    def loseWriteConnection(self) -> None:
        assert self.producer is None, "a transport lets its producer finish first"
        self.half_closed = self.closing = True
        self.memory.loop.call_soon(self._write_side_closed)

    def _write_side_closed(self) -> None:
        if not self.lost:
            self.protocol.writeConnectionLost()

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        assert streaming
        assert self.producer is None
        self.producer = producer

    def unregisterProducer(self) -> None:
        self.producer = None

    def pauseProducing(self) -> None:
        self.paused = True

    def resumeProducing(self) -> None:
        self.paused = False

    def getPeer(self) -> Any:
        return self.peer

    def getHost(self) -> Any:
        return self.host


class Loop(asyncio.SelectorEventLoop):
    """An event loop that a test may run from inside of another one's turn.

    pytest-twisted runs tests inside of its reactor's loop. The two functions are the ones that
    event loops call to say which one runs.
    """

    def run_until_complete(self, future: Any) -> Any:
        outer = asyncio._get_running_loop()
        asyncio._set_running_loop(None)
        try:
            return super().run_until_complete(future)
        finally:
            asyncio._set_running_loop(outer)

    def has_work(self) -> bool:
        """Whether the next turn would run anything that is known of now."""
        timers = self._scheduled  # type: ignore[attr-defined]
        return bool(self._ready) or bool(timers and timers[0].when() <= self.time())  # type: ignore[attr-defined]

    def run_once(self) -> None:
        """Run one turn."""
        outer = asyncio._get_running_loop()
        asyncio._set_running_loop(None)
        try:
            self.call_soon(self.stop)
            self.run_forever()
        finally:
            asyncio._set_running_loop(outer)


class Memory:
    """A server that serves wires.

    Args:
        application: ASGI.
        settings: options and arguments of Server.
    """

    def __init__(self, application: Any, **settings: Any) -> None:
        self.loop = Loop()
        self.now = 1000.0
        self.server = Server(application, **settings)
        self.server.use_loop(self.loop, lambda: self.now)

    def connect(self, factory: Any = None, peer: Any = None) -> Wire:
        """A new connection, from an address."""
        return Wire(self, factory, peer)

    def settle(self) -> None:
        """Let everything happen that does not wait for time or for the peer."""

        async def turns() -> None:
            for _ in range(TURNS):
                await asyncio.sleep(0)
                if not self.loop.has_work():
                    break

        self.loop.run_until_complete(turns())

    def passes(self, seconds: float) -> None:
        """Time passes, and the checkers run."""
        self.now += seconds
        self.server.timeout_checker()
        self.server.application_checker()
        self.settle()

    def stops(self, plan: DrainPlan | None = None) -> asyncio.Task[None]:
        """Begin a graceful stop; `passes` moves it on, step by step, to its end."""
        self.server.drainer.check_interval = 0.0  # a wait is one turn; the clock is the test's
        stopping = self.loop.create_task(self.server.drain(plan))
        self.settle()
        return stopping

    def close(self) -> None:
        """End what still runs."""
        for task in asyncio.all_tasks(self.loop):
            task.cancel()
        self.settle()
        self.loop.close()
