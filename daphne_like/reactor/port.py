"""Listening ports: Twisted binds, locks and names them; the event loop accepts connections."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

from twisted.internet import tcp
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.protocol import connectionDone
from zope.interface import implementer

from daphne_like.reactor.transport import NativeTransport
from daphne_like.transport_interfaces import IDrainsQueue, ITellsAccepted

if os.name == "posix":
    from twisted.internet import unix
    from twisted.internet.address import UNIXAddress

    from daphne_like.reactor import unix_path


Socket = socket.socket
"""The class under another name, because ports have an attribute `socket`."""

DRAIN_ROUNDS = 8
"""Maximum passes over the listen queue before it closes; clients may keep connecting."""
ACCEPT_TURNS = 4
"""Turns of the event loop in which it completes a connection that it has accepted."""
ACCEPTED_AT_ONCE = 8
"""Connections that asyncio's own event loop accepts in one turn; uvloop accepts one. Two turns pass
until a protocol knows of the connection and may pause the port."""
MAX_QUEUED = 4096
"""Connections accepted in one pass."""


def run_to_end(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Run a coroutine that at most yields to the loop, without running the loop.

    `create_server` for a bound socket is such a coroutine. It must be complete when `listenTCP`
    returns, because the port must listen by then.
    """
    try:
        while True:
            awaited = coroutine.send(None)
            if awaited is not None:
                coroutine.close()
                raise RuntimeError(f"create_server waits for {awaited!r}")
    except StopIteration as stop:
        return stop.value


@implementer(IDrainsQueue, ITellsAccepted)
class NativePortMixin(tcp.Port):
    """Accepts connections through the event loop, for TCP and UNIX ports."""

    factory: Any
    reactor: Any  # a LoopReactor, which Twisted types as IReactorFDSet
    socket: socket.socket
    _server: asyncio.AbstractServer | None = None
    accepted: Callable[[], None] = staticmethod(lambda: None)

    def startReading(self) -> None:
        # The loop closes its socket, and Twisted closes its own, so each gets one.
        sock = self.socket.dup()
        sock.setblocking(False)
        # The event loop calls `listen` again, and the kernel uses the latest backlog. Twisted does
        # not know the backlog of an adopted socket, which must not shrink: so use the maximum.
        backlog = self.backlog or socket.SOMAXCONN
        is_asyncio = isinstance(self.reactor.loop, asyncio.BaseEventLoop)
        at_once = min(backlog, ACCEPTED_AT_ONCE) if is_asyncio else backlog
        # An asyncio protocol by its methods, without inheritance.
        protocol: Any = partial(NativeTransport, self)
        self._server = run_to_end(
            self.reactor.loop.create_server(protocol, sock=sock, backlog=at_once)
        )
        if at_once < backlog:  # asyncio has one number for both
            self.socket.listen(backlog)

    def stopReading(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None

    def pauseProducing(self) -> None:
        server, self._server = self._server, None
        if isinstance(server, asyncio.base_events.Server):
            for sock in server.sockets:
                self.reactor.loop.remove_reader(sock.fileno())
            # asyncio creates the transport of an accepted socket in the next turn, and fails if the
            # server has been closed by then.
            self.reactor.loop.call_soon(server.close)
        elif server is not None:
            server.close()

    async def close_when_drained(self) -> None:
        """Accept the queued connections, which a close would reset, then close (IDrainsQueue)."""
        await self._stop_accepting()
        for _ in range(DRAIN_ROUNDS):
            accepted = self._accept_queued()
            if not accepted:
                break
            await asyncio.gather(*map(self._connect, accepted), return_exceptions=True)
        if self.connected:
            # Not `stopListening`, which closes in a later turn. The queue is empty now.
            self.disconnecting = True
            self.connectionLost(connectionDone)  # type: ignore[no-untyped-call] # not typed

    async def _stop_accepting(self) -> None:
        """Stop the event loop from accepting, after it has completed accepted connections."""
        server, loop = self._server, self.reactor.loop
        # Both loops complete an accepted connection in a later turn, when this port must still be
        # connected; asyncio's transport also needs the server then.
        if isinstance(server, asyncio.base_events.Server):
            for sock in server.sockets:
                loop.remove_reader(sock.fileno())
        else:
            self.stopReading()
        for _ in range(ACCEPT_TURNS):
            await asyncio.sleep(0)
        self.stopReading()

    def _accept_queued(self) -> list[Socket]:
        accepted: list[Socket] = []
        try:
            while self.connected and len(accepted) < MAX_QUEUED:
                accepted.append(self.socket.accept()[0])
        except OSError:
            pass  # the queue is empty, or no descriptor is left
        return accepted

    async def _connect(self, accepted: Socket) -> None:
        accepted.setblocking(False)
        protocol: Any = partial(NativeTransport, self)
        await self.reactor.loop.connect_accepted_socket(protocol, accepted)

    def build_address(self, address: Any) -> Any:
        """Build the Twisted address of a peer or host from an address of the socket module."""
        raise NotImplementedError


class NativePort(NativePortMixin):
    """A TCP port, IPv4 or IPv6."""

    def startReading(self) -> None:
        # Accepted sockets inherit the option; loops set it only on some sockets.
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        super().startReading()

    def build_address(self, address: tuple[Any, ...]) -> Any:
        """Build an IPv4Address, or an IPv6Address with the scope in the host, as Twisted does."""
        if len(address) == 2:
            return IPv4Address("TCP", *address)
        if address[3]:  # a scope: fe80::1%eth0
            host = socket.getnameinfo(address, socket.NI_NUMERICHOST | socket.NI_NUMERICSERV)[0]
            address = (host, *address[1:])
        return IPv6Address("TCP", *address)


if os.name == "posix":

    class NativeUNIXPort(NativePortMixin, unix.Port):
        """A UNIX port; Twisted's port handles path, mode and lock.

        Twisted judges a lock by the process id in it, which is not enough: see unix_path.py.
        """

        _bindPath: bytes  # noqa: N815 # Twisted's name
        _file: tuple[int, int] | None = None
        """Identity of the socket's file if this port has created it, None for an adopted socket."""

        def startListening(self) -> None:
            if self._preexistingSocket is not None:
                self._adopt(self._preexistingSocket)
                return
            if self._bindPath[:1] in (b"", b"\0"):  # not a file
                super().startListening()  # type: ignore[no-untyped-call] # not typed
                return
            with unix_path.directory_lock(self._bindPath):
                if self.wantPID:
                    unix_path.remove_stale(self._bindPath)
                super().startListening()  # type: ignore[no-untyped-call] # not typed
            self._file = unix_path.file_identity(self._bindPath)

        def _adopt(self, sock: Socket) -> None:
            """Accept from a socket that somebody else has opened.

            Not unix.Port's method: it sets the mode of the socket's file to 666. The file belongs
            to the one who made it, and so does its mode.
            """
            self._preexistingSocket = None
            # As in Twisted's TCP ports: the owner of the socket may continue to listen with it
            # (systemd does, for the next start).
            self._shouldShutdown = False
            # The constructor has set the default of 50.
            self.backlog = 0
            self.factory.doStart()
            self.connected = True
            self.socket = sock
            self.fileno = sock.fileno  # type: ignore[method-assign] # as unix.Port does
            self.startReading()

        def connectionLost(self, reason: Any) -> None:
            # Not unix.Port's method: it removes any file at the path, even the socket of another
            # server or of systemd.
            if self._file is not None and unix_path.file_identity(self._bindPath) == self._file:
                os.unlink(self._bindPath)
            lock, self.lockFile = self.lockFile, None
            if lock is not None:
                try:
                    lock.unlock()
                except (OSError, ValueError):
                    pass  # it is gone, or belongs to another server now
            tcp.Port.connectionLost(self, reason)

        def build_address(self, address: str | bytes) -> Any:
            """Build a UNIXAddress; its name is None for a peer that has not bound its socket."""
            return UNIXAddress(address or None)
