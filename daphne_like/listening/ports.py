"""The ports of a server: binds, opens, reloads, drains and closes them."""

from __future__ import annotations

import asyncio
import logging
import re
import select
from collections.abc import Callable, Generator, Iterator
from typing import Any

from twisted.internet import tcp
from twisted.internet.defer import Deferred, inlineCallbacks, maybeDeferred
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IPushProducer

from daphne_like.exceptions import ConfigurationError
from daphne_like.listening.errors import cannot_listen
from daphne_like.listening.https import IReloadable
from daphne_like.listening.keepalive import keep_alive
from daphne_like.listening.parse import endpoints_from
from daphne_like.listening.strings import speaks_tls
from daphne_like.options import Options
from daphne_like.transport_interfaces import IDrainsQueue, IHandshakes, ITellsAccepted

log = logging.getLogger("daphne_like.server")

CANNOT_LISTEN_STATUS = 1
"""Exit status of the process when a port cannot be bound."""
MAX_STOCK_READS = 256
"""Maximum calls of `doRead` per port of Twisted's stock reactor; each accepts several connections.
"""

Address = tuple[str, "int | None"]


class Ports:
    """The ports of one factory.

    Args:
        strings: Twisted endpoint strings.
        options: options for parsing the strings.

    Attributes:
        listeners: Twisted's ports, while they are bound.
        addresses: (host, port) or (path, None) of each port.
        accepted: called after each accepted connection; None if nobody needs to know.
    """

    def __init__(self, strings: list[str], options: Options) -> None:
        self.strings = strings
        self.listeners: list[Any] = []
        self.addresses: list[Address] = []
        self.accepted: Callable[[], None] | None = None
        self._draining = False
        self._options = options
        self._endpoints: list[Any] = []

    def parse(self, reactor: Any) -> None:
        """Parse the endpoint strings, once.

        Raises:
            ConfigurationError: one of them is unusable.
        """
        if not self._endpoints:
            self._endpoints = endpoints_from(self.strings, reactor, options=self._options)

    @inlineCallbacks
    def bind(
        self, factory: Any, bound: Callable[[Any], None]
    ) -> Generator[Deferred[Any], Any, None]:
        """Listen on every endpoint; clients wait in the listen queue until `open`.

        Args:
            factory: factory of connections.
            bound: called with each port; must call `add`.
        Returns:
            A Deferred, which has already fired for the endpoints of Twisted and of this package.
        Raises:
            ConfigurationError: an endpoint cannot be bound; the ports bound before are closed.
        """
        for string, endpoint in zip(self.strings, self._endpoints, strict=True):
            try:
                port = yield endpoint.listen(factory)
            except Exception as error:
                yield self.unbind()
                # A port above 65535 raises OverflowError.
                if not isinstance(error, (CannotListenError, OSError, OverflowError)):
                    raise
                raise ConfigurationError(
                    cannot_listen(string, self._options, error), exit_status=CANNOT_LISTEN_STATUS
                )
            if IPushProducer.providedBy(port):  # a port produces connections
                port.pauseProducing()
            bound(port)

    def add(self, port: Any) -> None:
        """Register a listening port."""
        if isinstance(port, tcp.Port) and self._options.tcp_keepalive is not None:
            keep_alive(port.socket, self._options.tcp_keepalive)
        if self.accepted is not None and ITellsAccepted.providedBy(port):
            port.accepted = self.accepted
        self.listeners.append(port)
        self.addresses.append(get_listening_address(port))

    def open(self) -> None:
        """Accept connections, unless the ports drain."""
        for port in self._pausable():
            port.resumeProducing()

    def pause(self) -> None:
        """Accept no connections for the present; clients wait in the listen queue."""
        for port in self._pausable():
            port.pauseProducing()

    def _pausable(self) -> list[Any]:
        if self._draining:
            return []
        return [port for port in self.listeners if IPushProducer.providedBy(port)]

    def find_tls_port(self) -> int | None:
        """Return the first TCP port that speaks TLS."""
        for string, (_, port) in zip(self.strings, self.addresses, strict=True):
            if port is not None and speaks_tls(string):
                return port
        return None

    @property
    def can_reload(self) -> bool:
        """True if any endpoint has files that `reload` reads again."""
        return any(IReloadable.providedBy(endpoint) for endpoint in self._endpoints)

    def reload(self) -> None:
        """Reload the certificates of all endpoints; open connections keep their certificates."""
        for endpoint in self._endpoints:
            if IReloadable.providedBy(endpoint):
                endpoint.reload()

    def handshakes(self) -> list[Any]:
        """Return the factories that may hold connections without a protocol (see IHandshakes)."""
        return [factory for port in self.listeners for factory in _find_handshake_factories(port)]

    async def drain(self) -> None:
        """Accept every connection that the kernel has already completed (RFC 9112, 9.6)."""
        self._draining = True
        await asyncio.gather(*map(_drain_port, list(self.listeners)))

    def unbind(self) -> Deferred[Any]:
        """Stop listening after a start that failed, and forget the addresses."""
        self.addresses.clear()
        return self.close()

    @inlineCallbacks
    def close(self) -> Generator[Deferred[Any], Any, None]:
        """Stop listening; `addresses` stays available afterwards."""
        listeners, self.listeners[:] = self.listeners[:], []
        for port in listeners:
            try:
                yield maybeDeferred(port.stopListening)
            except Exception:
                log.exception("A port did not stop listening")


def get_listening_address(port: Any) -> Address:
    """Return (host, port) or (path, None) of a listening port."""
    address = port.getHost()
    host = getattr(address, "host", None)
    if host is not None:
        return host, address.port
    name = address.name.decode("utf-8", "replace") if address.name else ""
    return re.sub("^\0", "@", name), None


def _find_handshake_factories(port: Any) -> Iterator[Any]:
    factory = getattr(port, "factory", None)
    while factory is not None:
        if IHandshakes.providedBy(factory):
            yield factory
        factory = getattr(factory, "wrapped", None) or getattr(factory, "wrappedFactory", None)


async def _drain_port(port: Any) -> None:
    """Accept all connections in a port's listen queue, because closing the port resets them."""
    try:
        if IDrainsQueue.providedBy(port):
            await port.close_when_drained()
        elif isinstance(port, tcp.Port):  # of Twisted's stock reactor
            for _ in range(MAX_STOCK_READS):
                if not select.select([port], [], [], 0)[0]:
                    break
                port.doRead()
    except Exception:
        log.exception("The listen queue of a port was not drained")
