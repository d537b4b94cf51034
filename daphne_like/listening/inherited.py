"""Sockets that a supervisor binds and its workers inherit.

Supervisor and worker parse the same endpoint strings. In the supervisor each `listen...` call binds
a socket, which is recorded. In a worker the n-th call adopts the n-th of these sockets instead of
binding. So every kind of endpoint works in a worker, third-party ones included.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterable
from typing import Any

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.error import CannotListenError

from daphne_like.exceptions import ConfigurationError
from daphne_like.listening.fd import listening_family
from daphne_like.listening.reactor_proxy import TWISTED_BACKLOG, ReactorProxy


class RecordingReactor(ReactorProxy):
    """A reactor that records the ports that it has bound, in the order of the calls.

    Args:
        reactor: the supervisor's reactor.
        reuse_port: reserve TCP addresses without listening on them (see ReservedPort).

    Attributes:
        ports: Twisted's ports.
        named: the port for each descriptor that an endpoint string names. Twisted's endpoint closes
            the descriptor itself, so the number may mean another file until `reopen_named`.
    """

    def __init__(self, reactor: Any, *, reuse_port: bool = False) -> None:
        super().__init__(reactor)
        self.ports: list[Any] = []
        self.named: dict[int, Any] = {}
        self._reuse_port = reuse_port

    def listenTCP(
        self, port: int, factory: Any, backlog: int = TWISTED_BACKLOG, interface: str = ""
    ) -> Any:
        if self._reuse_port:
            return self._record(ReservedPort(port, interface))
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
        port = super().adoptStreamPort(descriptor, family, factory)
        self.named[descriptor] = port
        return self._record(port)

    def reopen_named(self) -> None:
        """Open the named descriptors again, because a restart parses the strings again."""
        for descriptor, port in self.named.items():
            os.dup2(port.fileno(), descriptor, inheritable=False)

    def close_named(self) -> None:
        """Close the named descriptors."""
        for descriptor in self.named:
            try:
                os.close(descriptor)
            except OSError:
                pass  # two strings have named it
        self.named.clear()

    def _record(self, port: Any) -> Any:
        self.ports.append(port)
        return port


class ReservedPort:
    """A TCP address that is bound but does not listen, for `--reuse-port`.

    Each worker listens on a socket of its own with the same address. The system would also give
    connections to a socket of the supervisor, which accepts none, if that one listened.

    Args:
        port: TCP port; 0 for a free one.
        interface: address; "" for every IPv4 address.
    Raises:
        CannotListenError: the address cannot be bound.
    """

    def __init__(self, port: int, interface: str) -> None:
        family = socket.AF_INET6 if ":" in interface else socket.AF_INET
        self._socket = reusable_socket(family)
        try:
            self._socket.bind((interface, port))
        except OSError as error:
            self._socket.close()
            raise CannotListenError(interface, port, error) from error

    def fileno(self) -> int:
        """Return the descriptor."""
        return self._socket.fileno()

    def getHost(self) -> IPv4Address | IPv6Address:
        """Return the address, as of a listening port."""
        kind = IPv6Address if self._socket.family == socket.AF_INET6 else IPv4Address
        return kind("TCP", *self._socket.getsockname()[:2])

    def stopListening(self) -> None:
        """Release the address."""
        self._socket.close()


def reusable_socket(family: int) -> socket.socket:
    """Return a TCP socket whose address other processes of this user may bind as well."""
    made = socket.socket(family, socket.SOCK_STREAM)
    made.setblocking(False)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    return made


class InheritedReactor(ReactorProxy):
    """A reactor whose `listen...` calls adopt inherited sockets, in the order of the calls.

    Args:
        reactor: the worker's reactor.
        descriptors: listening sockets; each is closed when it has been adopted.
        on_file: called with the path of each UNIX socket that the supervisor has bound.
        reuse_port: bind a TCP socket of this process's own to the address of the inherited one.
    """

    def __init__(
        self,
        reactor: Any,
        descriptors: Iterable[int],
        on_file: Callable[[Any], None] | None = None,
        *,
        reuse_port: bool = False,
    ) -> None:
        super().__init__(reactor)
        self._on_file = on_file
        self._descriptors = list(descriptors)
        self._reuse_port = reuse_port

    def listenTCP(
        self, port: int, factory: Any, backlog: int = TWISTED_BACKLOG, interface: str = ""
    ) -> Any:
        if self._reuse_port:
            return self._listen_beside(factory, backlog)
        return self._adopt(factory, backlog)

    def listenUNIX(
        self,
        address: Any,
        factory: Any,
        backlog: int = TWISTED_BACKLOG,
        mode: int = 0o666,
        wantPID: int = 0,
    ) -> Any:
        if self._on_file is not None:
            self._on_file(address)
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
        descriptor = self._next_descriptor()
        family = listening_family(descriptor)
        port = self.reactor.adoptStreamPort(descriptor, family, factory)
        os.close(descriptor)
        if backlog is not None:
            port.backlog = backlog  # for later calls of `listen`
            with socket.socket(fileno=os.dup(port.fileno())) as listening:
                listening.listen(backlog)
        return port

    def _listen_beside(self, factory: Any, backlog: int) -> Any:
        """Listen on a socket of this process with the address of the next inherited one."""
        with socket.socket(fileno=self._next_descriptor()) as inherited:
            made = reusable_socket(inherited.family)
            made.bind(inherited.getsockname())
        with made:
            made.listen(backlog)
            port = self.reactor.adoptStreamPort(made.fileno(), made.family, factory)
        port.backlog = backlog
        return port

    def _next_descriptor(self) -> int:
        if not self._descriptors:
            raise ConfigurationError("this worker has inherited fewer sockets than it listens on")
        return self._descriptors.pop(0)
