"""Listening ports: Twisted's own binding, locks and addresses; accepting by the event loop."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Coroutine
from functools import partial
from typing import TYPE_CHECKING, Any

from twisted.internet import tcp
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.protocol import connectionDone
from zope.interface import implementer

from daphne_like.reactor.transport import NativeTransport
from daphne_like.transport_interfaces import IDrainsQueue

if TYPE_CHECKING:
    from daphne_like.reactor.core import NativeReactor

if os.name == "posix":
    from twisted.internet import unix
    from twisted.internet.address import UNIXAddress

    from daphne_like.reactor import unix_path


Socket = socket.socket
"""For ports, which have an attribute `socket`."""

DRAIN_ROUNDS = 8
"""Passes over the listen queue before it closes: clients may connect without end."""
ACCEPT_TURNS = 4
"""Turns in which asyncio makes the transport of a socket that it has accepted."""
MAX_QUEUED = 4096
"""Connections accepted in one pass."""


def run_to_end(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Drive a coroutine that yields at most bare turns of the loop, without running the loop.

    `create_server` for a bound socket is one: `listenTCP` must be listening when it returns.
    """
    try:
        while True:
            awaited = coroutine.send(None)
            if awaited is not None:
                coroutine.close()
                raise RuntimeError(f"create_server waits for {awaited!r}")
    except StopIteration as stop:
        return stop.value


@implementer(IDrainsQueue)
class NativePortMixin(tcp.Port):
    """What both kinds of port do instead of watching the listening socket."""

    factory: Any
    reactor: NativeReactor
    socket: socket.socket
    _server: asyncio.AbstractServer | None = None

    def startReading(self) -> None:
        # The loop closes the socket it is given, Twisted closes its own: each has one.
        sock = self.socket.dup()
        sock.setblocking(False)
        # The event loop listens again, and the kernel uses the latest backlog. For an adopted
        # socket Twisted knows none: it must not become smaller than its owner made it.
        backlog = self.backlog or socket.SOMAXCONN
        # An asyncio protocol by its methods, not by inheritance.
        protocol: Any = partial(NativeTransport, self)
        self._server = run_to_end(
            self.reactor.loop.create_server(protocol, sock=sock, backlog=backlog)
        )

    def stopReading(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None

    async def close_when_drained(self) -> None:
        """See IDrainsQueue: closing a listening socket resets every connection in its queue."""
        await self._stop_accepting()
        for _ in range(DRAIN_ROUNDS):
            accepted = self._accept_queued()
            if not accepted:
                break
            await asyncio.gather(*map(self._connect, accepted), return_exceptions=True)
        if self.connected:
            # Not `stopListening`, which closes in a later turn: the queue is empty now.
            self.disconnecting = True
            self.connectionLost(connectionDone)  # type: ignore[no-untyped-call] # not typed

    async def _stop_accepting(self) -> None:
        """Take the listening socket from the event loop, which first completes what it accepted."""
        server, loop = self._server, self.reactor.loop
        if isinstance(server, asyncio.base_events.Server):
            # asyncio makes the transport of an accepted socket in a later turn, and cannot when
            # the server is closed by then.
            for sock in server.sockets:
                loop.remove_reader(sock.fileno())
            for _ in range(ACCEPT_TURNS):
                await asyncio.sleep(0)
        self.stopReading()

    def _accept_queued(self) -> list[Socket]:
        accepted: list[Socket] = []
        try:
            while self.connected and len(accepted) < MAX_QUEUED:
                accepted.append(self.socket.accept()[0])
        except OSError:
            pass  # the queue is empty, or there is no descriptor left
        return accepted

    async def _connect(self, accepted: Socket) -> None:
        accepted.setblocking(False)
        protocol: Any = partial(NativeTransport, self)
        await self.reactor.loop.connect_accepted_socket(protocol, accepted)

    def build_address(self, address: Any) -> Any:
        """The Twisted address of a peer or host, from what the socket module gives."""
        raise NotImplementedError


class NativePort(NativePortMixin):
    """A TCP port, IPv4 or IPv6."""

    def startReading(self) -> None:
        # Accepted sockets inherit it; loops set it on some of them only.
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        super().startReading()

    def build_address(self, address: tuple[Any, ...]) -> Any:
        """IPv4Address or IPv6Address (scope in the host, as Twisted's own ports write it)."""
        if len(address) == 2:
            return IPv4Address("TCP", *address)
        if address[3]:  # a scope: fe80::1%eth0
            host = socket.getnameinfo(address, socket.NI_NUMERICHOST | socket.NI_NUMERICSERV)[0]
            address = (host, *address[1:])
        return IPv6Address("TCP", *address)


if os.name == "posix":

    class NativeUNIXPort(NativePortMixin, unix.Port):
        """A UNIX port; path, mode and lock are handled by Twisted's port.

        What Twisted's makes of the process number in a lock is not enough: unix_path.py says why.
        """

        _bindPath: bytes  # noqa: N815 # Twisted's name
        _file: tuple[int, int] | None = None
        """The socket's file, if this port has made it; one that was adopted is its owner's."""

        def startListening(self) -> None:
            is_file = self._bindPath[:1] not in (b"", b"\0")
            if self._preexistingSocket is not None:
                # As Twisted's TCP ports have it: the socket is its owner's, who may go on
                # listening with it (systemd does, for the next start).
                self._shouldShutdown = False
                # Not the default of 50 that the constructor has set.
                self.backlog = 0
            if self._preexistingSocket is not None or not is_file:
                super().startListening()  # type: ignore[no-untyped-call] # not typed
                return
            with unix_path.alone(self._bindPath):
                if self.wantPID:
                    unix_path.take_over(self._bindPath)
                super().startListening()  # type: ignore[no-untyped-call] # not typed
            self._file = unix_path.identity(self._bindPath)

        def connectionLost(self, reason: Any) -> None:
            # Not unix.Port's: it removes whatever is at the path, another server's socket too,
            # and systemd's.
            if self._file is not None and unix_path.identity(self._bindPath) == self._file:
                os.unlink(self._bindPath)
            lock, self.lockFile = self.lockFile, None
            if lock is not None:
                try:
                    lock.unlock()
                except (OSError, ValueError):
                    pass  # it has gone, or is another server's by now
            tcp.Port.connectionLost(self, reason)

        def build_address(self, address: str | bytes) -> Any:
            """UNIXAddress, its name None for a peer that has not bound its socket."""
            return UNIXAddress(address or None)
