"""Addresses and options of one connection's socket; no reading or writing."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Any, Protocol

from twisted.python import log

AF_UNIX = getattr(socket, "AF_UNIX", None)


class LoopReactor(Protocol):
    """The reactor, as its ports, transports and processes see it.

    Attributes:
        loop: the event loop on which it runs.
        gathers_writes: the loop's `writelines` sends all parts in one call without copying them.
    """

    loop: asyncio.AbstractEventLoop
    gathers_writes: bool


class AcceptingPort(Protocol):
    """A listening port, as the connections that it has accepted see it.

    Attributes:
        connected: the port listens.
        factory: builds the protocol of each connection.
        accepted: called after each accepted connection.
    """

    connected: Any
    factory: Any
    accepted: Callable[[], None]
    reactor: LoopReactor

    def build_address(self, address: Any) -> Any:
        """Build the Twisted address of a peer or host from an address of the socket module."""


class Handle:
    """The socket part of ITCPTransport and ISystemHandle.

    Args:
        port: the listening port, which provides factory, reactor and addresses.
    """

    __slots__ = ("__weakref__", "_peer", "_transport", "port")

    def __init__(self, port: AcceptingPort) -> None:
        self.port = port
        self._transport: Any = None
        self._peer: Any = None

    def getPeer(self) -> Any:
        return self._peer

    def getHost(self) -> Any:
        return self.port.build_address(self._transport.get_extra_info("sockname"))

    def getHandle(self) -> Any:
        """Return the socket as the event loop exposes it: options and addresses, no I/O."""
        return self._socket()

    def _socket(self) -> Any:
        return self._transport.get_extra_info("socket")

    def getTcpNoDelay(self) -> bool:
        return self._is_tcp() and bool(
            self._socket().getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        )

    def setTcpNoDelay(self, enabled: bool) -> None:
        if not self._is_tcp():
            return
        try:
            self._socket().setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, int(enabled))
        except OSError as error:  # macOS: the peer is gone already
            log.msg(f"TCP_NODELAY could not be set: {error}")

    def getTcpKeepAlive(self) -> bool:
        return bool(self._socket().getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE))

    def setTcpKeepAlive(self, enabled: bool) -> None:
        self._socket().setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, int(enabled))

    def _is_tcp(self) -> bool:
        return bool(self._socket().family != AF_UNIX)
