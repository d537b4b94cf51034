"""The native reactor: Twisted's asyncio reactor, except that the event loop listens."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import threading
from typing import Any, cast

from twisted.internet import asyncioreactor, base, error
from twisted.internet.interfaces import IListeningPort, IProtocolFactory

from daphne_like.reactor.handle import AF_UNIX
from daphne_like.reactor.port import NativePort
from daphne_like.reactor.transport import NativeTransport

if os.name == "posix":
    from daphne_like.reactor.port import NativeUNIXPort
    from daphne_like.reactor.processes import ProcessEnds


log = logging.getLogger("daphne_like.server")

ACCEPT_FAILED = "socket.accept() out of system resource"
"""The message of asyncio's selector event loop (3.10 to 3.14) for EMFILE and similar errors."""
RETRY_FAILED = "._start_serving("
"""In its message if it accepts again, a second later, with a port that was paused meanwhile."""


class NativeReactor(asyncioreactor.AsyncioSelectorReactor):
    """Twisted's asyncio reactor whose stream ports accept through the loop's own transports.

    It replaces `listenTCP`, `listenUNIX` and `adoptStreamPort`. Endpoint strings, TLS wrappers,
    clients, datagrams, timers, threads and processes are Twisted's own: they use these three
    methods or the asyncio reactor.

    Args:
        loop: the event loop to run on; it must be able to watch file descriptors.
    Attributes:
        gathers_writes: the loop's `writelines` sends all parts in one call without copying them.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.gathers_writes = not isinstance(loop, asyncio.BaseEventLoop)
        if loop.get_exception_handler() is None:
            loop.set_exception_handler(report)
        super().__init__(loop)

    def listenTCP(
        self, port: int, factory: IProtocolFactory, backlog: int = 50, interface: str = ""
    ) -> IListeningPort:
        listening: Any = NativePort(port, factory, backlog, interface, self)
        listening.startListening()
        return cast(IListeningPort, listening)

    def listenUNIX(
        self,
        address: bytes,
        factory: IProtocolFactory,
        backlog: int = 50,
        mode: int = 0o666,
        wantPID: int = 0,
    ) -> IListeningPort:
        listening: Any = NativeUNIXPort(address, factory, backlog, mode, self, wantPID)
        listening.startListening()
        return cast(IListeningPort, listening)

    def adoptStreamPort(
        self, fileDescriptor: int, addressFamily: int, factory: IProtocolFactory
    ) -> IListeningPort:
        # `_fromListeningDescriptor` is how Twisted's own adoptStreamPort builds its ports
        # (posixbase.py, twisted 24.7 to 26.10); there is no public constructor for it.
        kind: Any
        if addressFamily in (socket.AF_INET, socket.AF_INET6):
            kind = NativePort
            port = kind._fromListeningDescriptor(self, fileDescriptor, addressFamily, factory)
        elif addressFamily == AF_UNIX:
            kind = NativeUNIXPort
            port = kind._fromListeningDescriptor(self, fileDescriptor, factory)
        else:
            raise error.UnsupportedAddressFamily(addressFamily)
        port.startListening()
        return cast(IListeningPort, port)

    def spawnProcess(self, *args: Any, **kwargs: Any) -> Any:
        """Start a process (IReactorProcess); notice its end even if SIGCHLD is taken by others."""
        transport = super().spawnProcess(*args, **kwargs)  # type: ignore[no-untyped-call] # not typed
        if os.name == "posix":
            ProcessEnds(self).watch(transport)
        return transport

    def release_threads(self) -> None:
        """Let the threads of `deferToThread` end, without waiting for the busy ones.

        Twisted joins them in the reactor's thread when the reactor stops, however long they take.
        New threads are started when there is something to do.
        """
        pool, self.threadpool = self.threadpool, None
        if pool is not None:
            trigger = self.threadpoolShutdownID
            assert trigger is not None
            self.removeSystemEventTrigger(trigger)
            threading.Thread(target=pool.stop, daemon=True).start()  # it joins them


class AdoptedReactor(NativeReactor):
    """A reactor on an event loop that the program itself runs and ends."""

    def run(self, installSignalHandlers: bool = True) -> None:
        raise error.ReactorAlreadyRunning()

    def crash(self) -> None:
        # Not the asyncio reactor's method, which stops the loop.
        base.ReactorBase.crash(self)


def report(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Handle exceptions of a loop that has no exception handler of its own.

    An exception of a Twisted protocol is left to the transport, which logs it through Twisted's
    log and ends the connection. When no file descriptor is left to accept a connection, asyncio
    reports that each second with a traceback; observe/descriptors.py warns of it instead.
    """
    message = context.get("message", "")
    if message == ACCEPT_FAILED or RETRY_FAILED in message:
        log.debug("! accepting failed: %s", context.get("exception"))
        return
    if not isinstance(context.get("protocol"), NativeTransport):
        loop.default_exception_handler(context)
