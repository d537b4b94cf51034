"""Limits the connections of one client's address: --max-connections-per-ip.

A connection counts for the address of its peer. Those of trusted proxies do not count. Instead,
each request that a proxy forwards counts for the client that the proxy names, because the proxy
shares its connections between clients. UNIX sockets have no addresses and are exempt.

Without the option nothing of this runs.
"""

from __future__ import annotations

import ipaddress
from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from daphne_like.asgi.queue import InputQueue
from daphne_like.exceptions import PeerError
from daphne_like.runtime.trusted_proxies import TrustedProxies

if TYPE_CHECKING:
    from daphne_like.runtime.context import ServerContext

IPV6_PREFIX = 64
"""The bits of an IPv6 address that count: a client can usually choose all others."""


def too_many_of_client() -> PeerError:
    """Return the error of a forwarded request of a client that has too many of them."""
    reason = "max_connections_per_ip_exceeded"
    return PeerError(503, "Too many connections from this address; try again.", reason=reason)


def client_key(host: str) -> str:
    """Return what counts as one client: an IPv4 address, or a network of IPv6 addresses."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return host  # an obfuscated identifier of a proxy
    if isinstance(address, ipaddress.IPv4Address):
        return str(address)
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ipaddress.IPv6Network((address, IPV6_PREFIX), strict=False))


class PerAddress:
    """Counts connections and forwarded requests by address.

    Args:
        context: of the server's connections. Its `connected`, `disconnected`, `switched` and
            `create_application` are replaced.
    Raises:
        ConfigurationError: `--trusted-proxies` contains an invalid entry.
    """

    def __init__(self, context: ServerContext) -> None:
        options = context.options
        assert options.max_connections_per_ip is not None
        self._most = options.max_connections_per_ip
        self._context = context
        self._proxies = TrustedProxies(options.trusted_proxies)
        self._clients: dict[Any, str] = {}
        """Connection -> its client."""
        self._connections: Counter[str] = Counter()
        self._requests: Counter[str] = Counter()
        self._connected = context.connected
        self._disconnected = context.disconnected
        self._switched = context.switched
        self._create: Callable[..., InputQueue] = context.create_application
        context.connected = self.connected
        context.disconnected = self.disconnected
        context.switched = self.switched
        context.create_application = self.create

    def connected(self, connection: Any) -> bool:
        """Register a connection; return False if its client, or the server, has too many."""
        is_within_limit = self._connected(connection)
        host = getattr(connection.transport.getPeer(), "host", None)  # a UNIXAddress has none
        if connection in self._clients or host is None or self._proxies.trusts(host):
            return is_within_limit
        client = self._clients[connection] = client_key(host)
        self._connections[client] += 1
        return is_within_limit and self._connections[client] <= self._most

    def disconnected(self, connection: Any) -> None:
        """Remove a connection, unless it has been removed."""
        self._disconnected(connection)
        client = self._clients.pop(connection, None)
        if client is not None:
            _decrease(self._connections, client)

    def switched(self, before: Any, after: Any) -> None:
        """Replace the protocol of a connection after an upgrade."""
        self._switched(before, after)
        client = self._clients.pop(before, None)
        if client is not None:
            self._clients[after] = client

    def create(
        self,
        exchange: Any,
        scope: dict[str, Any],
        input_type: Callable[[], InputQueue] = InputQueue,
    ) -> InputQueue:
        """Start an application, unless its client has too many; see Applications.create."""
        client = self._forwarded_client(exchange, scope)
        if client is None:
            return self._create(exchange, scope, input_type)
        if self._requests[client] >= self._most:
            # Not now: the caller has not stored the queue yet.
            self._context.loop.call_soon(self._refuse, exchange)
            return input_type()
        queue = self._create(exchange, scope, input_type)
        task = self._context.applications.running.get(exchange)
        if task is not None:  # a subclass of the server may run it elsewhere
            self._requests[client] += 1
            task.add_done_callback(partial(self._ended, client))
        return queue

    def _forwarded_client(self, exchange: Any, scope: dict[str, Any]) -> str | None:
        """Return the client of a request that a proxy has forwarded; None for another request."""
        given, peer = scope["client"], exchange.carrier.client
        if not given:
            return None
        client = client_key(given[0])
        if given == peer and (client in self._connections or self._proxies.trusts(peer[0])):
            return None  # its own connection counts, or it is a proxy's own request
        return client

    def _ended(self, client: str, _task: object) -> None:
        _decrease(self._requests, client)

    def _refuse(self, exchange: Any) -> None:
        if exchange.is_waiting_for_response:
            error = too_many_of_client()
            self._context.refused(exchange.carrier.log_label(exchange.scope["client"]), error)
            exchange.refuse(error)


def _decrease(counter: Counter[str], client: str) -> None:
    counter[client] -= 1
    if counter[client] <= 0:
        del counter[client]
