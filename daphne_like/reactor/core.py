"""The reactor itself: Twisted's asyncio reactor, with listening done by the event loop."""

from __future__ import annotations

import asyncio
import os
import socket
from typing import Any

from twisted.internet import asyncioreactor, process
from twisted.internet.interfaces import IListeningPort, IProtocolFactory
from twisted.python.runtime import platform

from daphne_like.reactor.port import NativePort

if platform.supportsINotify() or os.name == "posix":
    from daphne_like.reactor.port import NativeUNIXPort


class NativeReactor(asyncioreactor.AsyncioSelectorReactor):
    """Twisted's asyncio reactor whose stream ports accept through the loop's own transports.

    Only `listenTCP`, `listenUNIX` and `adoptStreamPort` differ: endpoint strings, TLS wrappers,
    clients, datagrams, timers, threads and processes are Twisted's own and end in those three
    calls or in the asyncio reactor below.

    Args:
        loop: the event loop to run on; it must be able to watch file descriptors.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        super().__init__(loop)

    def listenTCP(
        self, port: int, factory: IProtocolFactory, backlog: int = 50, interface: str = ""
    ) -> IListeningPort:
        listening = NativePort(port, factory, backlog, interface, self)
        listening.startListening()
        return listening

    def listenUNIX(
        self,
        address: bytes,
        factory: IProtocolFactory,
        backlog: int = 50,
        mode: int = 0o666,
        wantPID: int = 0,
    ) -> IListeningPort:
        listening = NativeUNIXPort(address, factory, backlog, mode, self, wantPID)
        listening.startListening()
        return listening

    def adoptStreamPort(
        self, fileDescriptor: int, addressFamily: int, factory: IProtocolFactory
    ) -> IListeningPort:
        # `_fromListeningDescriptor` is how Twisted's own adoptStreamPort builds its ports
        # (posixbase.py, twisted 24.7 to 26.10); there is no public constructor for it.
        if addressFamily in (socket.AF_INET, socket.AF_INET6):
            port: Any = NativePort._fromListeningDescriptor(
                self, fileDescriptor, addressFamily, factory
            )
            # Bound to an AF_INET6 socket, Twisted's port would still build IPv4 addresses.
            port.addressFamily = addressFamily
        elif addressFamily == getattr(socket, "AF_UNIX", None):
            port = NativeUNIXPort._fromListeningDescriptor(self, fileDescriptor, factory)
        else:
            raise NotImplementedError(f"address family {addressFamily} is not a stream's")
        port.startListening()
        return port

    def spawnProcess(self, *args: Any, **kwargs: Any) -> Any:
        """As IReactorProcess says; the end of the process is noticed through its pidfd.

        uvloop takes the wake-up descriptor that Twisted's SIGCHLD handling relies on, and
        asyncio's subprocesses take SIGCHLD itself: a pidfd depends on neither.
        """
        transport = super().spawnProcess(*args, **kwargs)
        pid = getattr(transport, "pid", None)
        if pid is not None and hasattr(os, "pidfd_open"):
            try:
                descriptor = os.pidfd_open(pid)
            except OSError:
                return transport  # ended and reaped already
            self.loop.add_reader(descriptor, self._process_ended, descriptor)
        return transport

    def _process_ended(self, descriptor: int) -> None:
        self.loop.remove_reader(descriptor)
        os.close(descriptor)
        process.reapAllProcesses()
