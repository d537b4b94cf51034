"""The ports of a server: bound, opened, told where they listen, reloaded, drained, closed."""

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
from daphne_like.listening.parse import endpoints_from
from daphne_like.listening.strings import speaks_tls
from daphne_like.options import Options
from daphne_like.transport_interfaces import IDrainsQueue, IHandshakes

log = logging.getLogger("daphne_like.server")

CANNOT_LISTEN_STATUS = 1
"""Of the process, when a port cannot be had."""
MAX_STOCK_READS = 256
"""Calls of `doRead` on a port of Twisted's stock reactor; each accepts several connections."""

Address = tuple[str, "int | None"]


class Ports:
    """The ports of one factory.

    Args:
        strings: Twisted endpoint strings.
        options: for parsing them.

    Attributes:
        listeners: Twisted's ports, while they are bound.
        addresses: (host, port) or (path, None) of each.
    """

    def __init__(self, strings: list[str], options: Options) -> None:
        self.strings = strings
        self.listeners: list[Any] = []
        self.addresses: list[Address] = []
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
            factory: of connections.
            bound: is given each port; it calls `add`.
        Returns:
            A Deferred that has fired already with all of Twisted's endpoints and ours.
        Raises:
            ConfigurationError: one of them cannot be had; the others are given back.
        """
        for string, endpoint in zip(self.strings, self._endpoints, strict=True):
            try:
                port = yield endpoint.listen(factory)
            except Exception as error:
                self.addresses.clear()
                yield self.close()
                # An OverflowError comes of a port above 65535.
                if not isinstance(error, (CannotListenError, OSError, OverflowError)):
                    raise
                raise ConfigurationError(
                    cannot_listen(string, self._options, error), exit_status=CANNOT_LISTEN_STATUS
                )
            if IPushProducer.providedBy(port):  # it pushes connections
                port.pauseProducing()
            bound(port)

    def add(self, port: Any) -> None:
        """Register a port that listens."""
        self.listeners.append(port)
        self.addresses.append(address_of(port))

    def open(self) -> None:
        """Accept connections."""
        for port in self.listeners:
            if IPushProducer.providedBy(port):
                port.resumeProducing()

    def find_tls_port(self) -> int | None:
        """Return the first TCP port that speaks TLS."""
        for string, (_, port) in zip(self.strings, self.addresses, strict=True):
            if port is not None and speaks_tls(string):
                return port
        return None

    @property
    def can_reload(self) -> bool:
        """Whether an endpoint has read files that `reload` reads again."""
        return any(IReloadable.providedBy(endpoint) for endpoint in self._endpoints)

    def reload(self) -> None:
        """Read the certificates of all endpoints anew; connections keep those they have."""
        for endpoint in self._endpoints:
            if IReloadable.providedBy(endpoint):
                endpoint.reload()

    def handshakes(self) -> list[Any]:
        """Return the factories whose connections may have no protocol yet (see IHandshakes)."""
        return [factory for port in self.listeners for factory in _handshakes_of(port)]

    async def drain(self) -> None:
        """Accept every connection that the kernel has accepted (RFC 9112, 9.6)."""
        await asyncio.gather(*map(_drain_port, list(self.listeners)))

    @inlineCallbacks
    def close(self) -> Generator[Deferred[Any], Any, None]:
        """Stop listening. Who asks later still learns where the ports have been."""
        listeners, self.listeners[:] = self.listeners[:], []
        for port in listeners:
            try:
                yield maybeDeferred(port.stopListening)
            except Exception:
                log.exception("A port did not stop listening")


def address_of(port: Any) -> Address:
    """Return (host, port) or (path, None) of a port that listens."""
    address = port.getHost()
    host = getattr(address, "host", None)
    if host is not None:
        return host, address.port
    name = address.name.decode("utf-8", "replace") if address.name else ""
    return re.sub("^\0", "@", name), None


def _handshakes_of(port: Any) -> Iterator[Any]:
    factory = getattr(port, "factory", None)
    while factory is not None:
        if IHandshakes.providedBy(factory):
            yield factory
        factory = getattr(factory, "wrapped", None) or getattr(factory, "wrappedFactory", None)


async def _drain_port(port: Any) -> None:
    """Accept the listen queue of a port: closing it would reset every connection in it."""
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
