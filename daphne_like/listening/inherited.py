"""Sockets that a supervisor binds and its workers inherit.

Supervisor and worker parse the same endpoint strings. In the supervisor each `listen...` call binds
a socket, which is recorded. In a worker the n-th call adopts the n-th of these sockets instead of
binding. So every kind of endpoint works in a worker, third-party ones included.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterable
from typing import Any

from daphne_like.exceptions import ConfigurationError
from daphne_like.listening.fd import listening_family
from daphne_like.listening.reactor_proxy import TWISTED_BACKLOG, ReactorProxy


class RecordingReactor(ReactorProxy):
    """A reactor that records the ports that it has bound, in the order of the calls.

    Attributes:
        ports: Twisted's ports.
        named: descriptors that endpoint strings name, and from which ports have been made.
    """

    def __init__(self, reactor: Any) -> None:
        super().__init__(reactor)
        self.ports: list[Any] = []
        self.named: list[int] = []

    def listenTCP(
        self, port: int, factory: Any, backlog: int = TWISTED_BACKLOG, interface: str = ""
    ) -> Any:
        return self._record(super().listenTCP(port, factory, backlog, interface))

    def listenUNIX(
        self,
        address: Any,
        factory: Any,
        backlog: int = TWISTED_BACKLOG,
        mode: int = 0o666,
        wantPID: int = 0,
    ) -> Any:
        return self._record(super().listenUNIX(address, factory, backlog, mode, wantPID))

    def adoptStreamPort(self, descriptor: int, family: int, factory: Any) -> Any:
        self.named.append(descriptor)
        return self._record(super().adoptStreamPort(descriptor, family, factory))

    def _record(self, port: Any) -> Any:
        self.ports.append(port)
        return port


class InheritedReactor(ReactorProxy):
    """A reactor whose `listen...` calls adopt inherited sockets, in the order of the calls.

    Args:
        reactor: the worker's reactor.
        descriptors: listening sockets; each is closed when it has been adopted.
        reuse_port: bind a TCP socket of this process's own to the address of the inherited one.
    """

    def __init__(
        self, reactor: Any, descriptors: Iterable[int], *, reuse_port: bool = False
    ) -> None:
        super().__init__(reactor)
        self._descriptors = list(descriptors)
        self._reuse_port = reuse_port

    def listenTCP(
        self, port: int, factory: Any, backlog: int = TWISTED_BACKLOG, interface: str = ""
    ) -> Any:
        return self._adopt(factory, backlog)

    def listenUNIX(
        self,
        address: Any,
        factory: Any,
        backlog: int = TWISTED_BACKLOG,
        mode: int = 0o666,
        wantPID: int = 0,
    ) -> Any:
        return self._adopt(factory, backlog)

    def adoptStreamPort(self, descriptor: int, family: int, factory: Any) -> Any:
        return self._adopt(factory, None)

    def _adopt(self, factory: Any, backlog: int | None) -> Any:
        """Listen on the next socket.

        Args:
            factory: factory of connections.
            backlog: set again, because an adopted socket would get the system's maximum; None
                for a socket whose backlog its owner has set.
        """
        if not self._descriptors:
            raise ConfigurationError("this worker has inherited fewer sockets than it listens on")
        descriptor = self._descriptors.pop(0)
        family = listening_family(descriptor)
        port = self.reactor.adoptStreamPort(descriptor, family, factory)
        os.close(descriptor)
        if backlog is not None:
            port.backlog = backlog  # for later calls of `listen`
            with socket.socket(fileno=os.dup(port.fileno())) as listening:
                listening.listen(backlog)
        return port
