"""Creates the scope and the exchange of a checked request."""

from __future__ import annotations

from collections.abc import Callable
from time import time
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from daphne_like.http.exchange import Carrier, Exchange
from daphne_like.http.fields import Fields
from daphne_like.http.target import RequestLine
from daphne_like.runtime.request_start import queue_time

if TYPE_CHECKING:
    from daphne_like.http.addresses import ConnectionEnds
    from daphne_like.runtime.context import ServerContext


class RequestOrigin(Carrier, Protocol):
    """The interface of a carrier that `open_exchange` uses."""

    context: ServerContext

    @property
    def addresses(self) -> ConnectionEnds | None:
        """Both ends of the connection; None before they have been described."""

    def describe_ends(self) -> ConnectionEnds:
        """Describe both ends of the connection."""


ExchangeT = TypeVar("ExchangeT", bound=Exchange)
OriginT = TypeVar("OriginT", bound=RequestOrigin)


def open_exchange(
    connection: OriginT,
    line: RequestLine,
    fields: Fields,
    version: str,
    keep_alive: bool,
    kind: Callable[[ServerContext, OriginT, dict[str, Any], bool], ExchangeT],
) -> ExchangeT:
    """Return the exchange of a request; flat code because it runs for each request.

    Args:
        connection: the HTTP/1.1 connection, HTTP/2 stream or request of twisted.web that carries
            the request.
        line: the request line.
        fields: the fields that the application receives; copied.
        version: "1.0", "1.1" or "2".
        keep_alive: the peer allows another request.
        kind: the class of the exchange, which decides what the carrier must be able to write.
    """
    context = connection.context
    addresses = connection.addresses or connection.describe_ends()
    client, own = addresses.client, addresses.server
    scope: dict[str, Any] = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.5"},
        "http_version": version,
        "method": line.method,
        "scheme": addresses.scheme,
        "path": line.path,
        "raw_path": line.raw_path,
        "query_string": line.query_string,
        "root_path": context.options.root_path,
        "headers": fields.copy(),
        "client": client and client.copy(),
        "server": own and own.copy(),
        "state": context.lifespan_state.copy(),
        "extensions": addresses.extensions.copy(),
    }
    if context.proxy_headers is not None:
        request_start = context.proxy_headers.apply(scope)
    exchange = kind(context, connection, scope, keep_alive)
    if line.is_head:
        exchange.head_only = True
    if context.observer is not None:
        exchange.method = line.method
        exchange.target = line.target
        exchange.version = version
        if context.proxy_headers is None:
            exchange.client = client
            exchange.scheme = addresses.scheme
        else:
            exchange.client = scope["client"] and scope["client"].copy()
            exchange.scheme = scope["scheme"]
            if request_start is not None:
                exchange.queue_time = queue_time(request_start, time())
                if exchange.queue_time is not None:
                    context.observer.request_queued(exchange.queue_time)
        exchange.started = context.clock()
        if context.exchange_opened is not None:
            context.exchange_opened(exchange)
    return exchange
