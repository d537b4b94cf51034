"""The limits of a request body on every carrier: its size and the rate at which it arrives."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from daphne_like.exceptions import PeerError
from daphne_like.runtime.timeouts import Timeout

if TYPE_CHECKING:
    from daphne_like.http.exchange import Exchange
    from daphne_like.options import Options
    from daphne_like.runtime.context import ServerContext

MAX_DISCARDED_BODY = 262144
"""Octets of an unread request body that are read and discarded to keep a connection."""
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
"""The request for a body that the peer holds back, over HTTP/1.1 (RFC 9110, 10.1.1)."""
TOO_SLOW = PeerError(408, "The request body came too slowly.", reason="min_request_body_data_rate")
"""The response to a body that arrives below the minimum rate; never raised."""


class ReceivesBody(Protocol):
    """The carrier of a request whose body has not arrived completely."""

    context: ServerContext

    def set_timeout(self, timeout: Timeout, seconds: float | None) -> None:
        """See Timeouts."""


def check_body_size(size: int | None, options: Options) -> None:
    """Hold a body, or what has arrived of it, to --max-body-size.

    Args:
        size: octets; None if they are not known beforehand.
        options: of the server.
    Raises:
        PeerError: 413.
    """
    most = options.max_body_size
    if most and size is not None and size > most:
        raise PeerError(413, "The body is too large.")


def may_discard_rest(exchange: Exchange, left: int | None) -> bool:
    """Tell whether the rest of a body may be discarded after the response, to keep the connection.

    Args:
        exchange: the request.
        left: octets of the body that have not arrived; None if they are not known beforehand.
    """
    return exchange.request_complete or (
        not exchange.expects_continue and left is not None and left <= MAX_DISCARDED_BODY
    )


def has_long_rest(exchange: Exchange) -> bool:
    """Tell whether more octets have arrived after the response than the server discards."""
    return exchange.received - exchange.received_at_end > MAX_DISCARDED_BODY


def expect_body(carrier: ReceivesBody, exchange: Exchange) -> None:
    """Start a period of --body-timeout, at the end of which the rate is checked."""
    exchange.received_at_check = exchange.received
    carrier.set_timeout(Timeout.REQUEST_BODY, carrier.context.options.body_timeout)


def keeps_minimum_rate(carrier: ReceivesBody, exchange: Exchange, *, is_held: bool) -> bool:
    """Return whether the body has come at --body-minimum-rate in the last period (S35).

    Args:
        carrier: receives the body.
        exchange: the request.
        is_held: the server keeps the peer from sending, so the rate is not the peer's.
    """
    options = carrier.context.options
    arrived = exchange.received - exchange.received_at_check
    return (
        is_held
        or exchange.expects_continue
        or arrived >= options.body_minimum_rate * options.body_timeout
    )
