"""Addresses and options of one connection's socket; no reading or writing."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any

from twisted.python import log

if TYPE_CHECKING:
    from daphne_like.reactor.port import NativePortMixin

AF_UNIX = getattr(socket, "AF_UNIX", None)


class Handle:
    """The socket part of ITCPTransport and ISystemHandle.

    Args:
        port: the listening port, which provides factory, reactor and addresses.
    """

    __slots__ = ("__weakref__", "_peer", "_transport", "port")

    def __init__(self, port: NativePortMixin) -> None:
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
