"""Three carriers of the same rules, and a world to drive one of them in.

Reactor objects are made, never installed: pytest's process has no global reactor of ours.
"""

from __future__ import annotations

import asyncio
import gc
import socket
import struct
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest
from twisted.internet.asyncioreactor import AsyncioSelectorReactor
from twisted.internet.protocol import Factory, Protocol
from twisted.logger import LogEvent, globalLogPublisher

from daphne_like.reactor import new_event_loop
from daphne_like.reactor.core import NativeReactor

DEADLINE = 5.0
"""Seconds for one wait; no test comes near it."""


def stock() -> Any:
    """Twisted's own transports, on asyncio's own loop."""
    return AsyncioSelectorReactor(asyncio.SelectorEventLoop())


def native_uvloop() -> Any:
    """Ours, on uvloop."""
    return NativeReactor(new_event_loop())


def native_asyncio() -> Any:
    """Ours, where uvloop does not exist."""
    return NativeReactor(asyncio.SelectorEventLoop())


class RecordingProtocol(Protocol):
    """Writes down what happens to it; a test overrides what it wants to do itself."""

    factory: Any
    transport: Any

    def __init__(self) -> None:
        self.events: list[str] = []
        self.received = b""
        self.reason: Any = None

    def connectionMade(self) -> None:
        self.events.append("made")
        self.factory.made.append(self)
        self.on_made()

    def dataReceived(self, data: bytes) -> None:
        self.received += data
        self.on_data(data)

    def connectionLost(self, reason: Any = None) -> None:
        self.events.append("lost")
        self.reason = reason

    def on_made(self) -> None:
        pass

    def on_data(self, data: bytes) -> None:
        pass


class Recorders(Factory):
    """Builds the protocols of one test and remembers them, and what it was told itself."""

    noisy = False

    def __init__(self, protocol: Callable[[], Any]) -> None:
        self.protocol = protocol
        self.made: list[Any] = []
        self.addresses: list[Any] = []
        self.starts = 0
        self.stops = 0

    def startFactory(self) -> None:
        self.starts += 1

    def stopFactory(self) -> None:
        self.stops += 1

    def buildProtocol(self, address: Any) -> Any:
        self.addresses.append(address)
        return super().buildProtocol(address)


class World:
    """One reactor that is not installed, its ports, and peers that are plain sockets."""

    def __init__(self, reactor: Any) -> None:
        self.reactor = reactor
        self.loop: asyncio.AbstractEventLoop = reactor._asyncioEventloop
        self.ports: list[Any] = []
        self.sockets: list[socket.socket] = []
        self.factories: list[Recorders] = []
        self.logged: list[Any] = []
        observer: Any = self._log
        self.observer = observer
        globalLogPublisher.addObserver(observer)

    def _log(self, event: LogEvent) -> None:
        failure = event.get("log_failure") or event.get("failure")
        if failure is not None:
            self.logged.append(failure.value)

    def run(self, coroutine: Awaitable[Any]) -> Any:
        # pytest-twisted runs a test inside its own reactor's loop, which stands still meanwhile.
        outer = asyncio._get_running_loop()
        asyncio._set_running_loop(None)
        try:
            return self.loop.run_until_complete(asyncio.wait_for(coroutine, DEADLINE))
        finally:
            asyncio._set_running_loop(outer)

    async def until(self, condition: Callable[..., Any]) -> None:
        """Turn the loop until it is so."""
        while not condition():  # whatever makes it so has no event
            await asyncio.sleep(0)

    def wait(self, condition: Callable[..., Any]) -> None:
        self.run(self.until(condition))

    def settle(self, turns: int = 100) -> None:
        """Let everything happen that can happen without a peer's doing."""

        async def turn() -> None:
            for _ in range(turns):
                await asyncio.sleep(0)

        self.run(turn())

    def factory(self, protocol: Callable[[], Any]) -> Recorders:
        self.factories.append(Recorders(protocol))
        return self.factories[-1]

    def listen(self, factory: Any, interface: str = "127.0.0.1", port: int = 0) -> Any:
        self.ports.append(self.reactor.listenTCP(port, factory, interface=interface))
        return self.ports[-1]

    def listen_unix(self, factory: Any, path: Any, **how: Any) -> Any:
        self.ports.append(self.reactor.listenUNIX(str(path), factory, **how))
        return self.ports[-1]

    def adopt(self, sock: socket.socket, factory: Any) -> Any:
        sock.setblocking(False)
        self.ports.append(self.reactor.adoptStreamPort(sock.fileno(), sock.family, factory))
        return self.ports[-1]

    def new_socket(self, family: int = socket.AF_INET) -> socket.socket:
        sock = socket.socket(family, socket.SOCK_STREAM)
        self.sockets.append(sock)
        return sock

    def dial(self, family: int, address: Any) -> socket.socket:
        """A connected peer; the kernel completes it before anybody accepts."""
        peer = self.new_socket(family)
        peer.connect(address)
        peer.setblocking(False)
        return peer

    def pair(self, protocol: Callable[[], Any]) -> tuple[Any, socket.socket]:
        """A connected server protocol, and its peer."""
        factory = self.factory(protocol)
        port = self.listen(factory)
        peer = self.dial(socket.AF_INET, ("127.0.0.1", port.getHost().port))
        self.wait(lambda: factory.made)
        return factory.made[0], peer

    async def send_all(self, peer: socket.socket, data: bytes) -> None:
        """Send all of it, as fast as it is read."""
        await self.loop.sock_sendall(peer, data)

    async def receive(self, peer: socket.socket, octets: int) -> bytes:
        """That many octets, or all there are until the end."""
        got = bytearray()
        while len(got) < octets:
            data = await self.loop.sock_recv(peer, min(65536, octets - len(got)))
            if not data:
                break
            got += data
        return bytes(got)

    def read(self, peer: socket.socket, octets: int = 1 << 30) -> bytes:
        return bytes(self.run(self.receive(peer, octets)))

    def stop(self, port: Any) -> None:
        stopped: list[Any] = []
        self.ports.remove(port)
        port.stopListening().addCallback(stopped.append)
        self.wait(lambda: stopped)

    def close(self) -> None:
        for sock in self.sockets:
            sock.close()
        for port in list(self.ports):
            self.stop(port)
        for factory in self.factories:
            for protocol in factory.made:
                protocol.transport.abortConnection()
        self.settle()
        globalLogPublisher.removeObserver(self.observer)
        if self.reactor.waker is not None:
            self.reactor.removeReader(self.reactor.waker)
            self.reactor.waker.connectionLost(None)
        self.loop.close()


def reset(peer: socket.socket) -> None:
    """Close a peer's socket with RST."""
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    peer.close()


class Carried:
    """A class of rules; its subclasses name the carrier."""

    make_reactor: Callable[[], Any]

    @pytest.fixture
    def world(self) -> Iterator[World]:
        world = World(type(self).make_reactor())
        gc.freeze()  # what was there before is not walked below
        yield world
        world.close()
        gc.collect()
