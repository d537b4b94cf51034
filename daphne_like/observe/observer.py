"""The one place where a server tells what happens: an observer in the context of its connections.

Nobody listens by default; then the context has None, and a request pays one test. Metrics, access
logs and Daphne's action logger are observers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any


class Observer:
    """Receives the events of a server; a subclass overrides those that it needs.

    All methods run in the event loop's thread, within the work that they report. They must not
    raise, wait, or change what they get.

    `protocol_name` of a connection is "http/1.1", "http/2", "websocket" or "twisted.web"; a
    request that twisted.web passes on counts as a connection.
    """

    def connection_opened(self, connection: Any) -> None:
        """Note a new connection, within the limit of connections or over it."""

    def connection_switched(self, before: Any, after: Any) -> None:
        """Note that a connection speaks HTTP/2 or WebSocket now instead of HTTP/1.1."""

    def connection_closed(self, connection: Any) -> None:
        """Note that a connection was lost, or only lingers (http/lingering.py)."""

    def handshake_ended(self, seconds: float) -> None:
        """Note that a TLS handshake is complete."""

    def handshake_failed(self, reason: str) -> None:
        """Note a failed TLS handshake.

        Args:
            reason: "timeout", "closed" (by the peer), or OpenSSL's name in lower case.
        """

    def refused(self, reason: str) -> None:
        """Note a refused request, connection or PROXY header.

        Args:
            reason: see PeerError; the name of the error code, in lower case, for HTTP/2.
        """

    def request_queued(self, seconds: float) -> None:
        """Note how long a request has waited in a proxy, by its X-Request-Start."""

    def exchange_opened(self, exchange: Any) -> None:
        """Note a request whose head has arrived and is valid.

        The end is told of each exchange whose application has started. A request may be refused
        or lost before that.
        """

    def exchange_ended(self, exchange: Any) -> None:
        """Note that a response is complete, cut, or will never be sent.

        `exchange.ended` has the time. A WebSocket is such an exchange if it was never open.
        """

    def session_opening(self, session: Any) -> None:
        """Note that the application of a WebSocket has started."""

    def session_opened(self, session: Any) -> None:
        """Note that the application has accepted a WebSocket."""

    def session_closed(self, session: Any, code: int, by: str) -> None:
        """Note that an open WebSocket has begun to close.

        Args:
            session: the session.
            code: the close code.
            by: "peer", "application" or "server"; "lost" if the connection has ended without a
                close frame.
        """

    def message_received(self, size: int) -> None:
        """Note a message of a WebSocket's peer; its size is in octets, decompressed."""

    def message_sent(self, size: int) -> None:
        """Note a message of a WebSocket's application; octets before compression."""

    def sending_paused(self, connection: Any) -> None:
        """Note that an application must wait, because its peer does not read fast enough."""

    def sending_resumed(self, connection: Any) -> None:
        """Note that the application may go on: the peer has read, or the connection has ended."""

    def application_leaving(self, owner: Any) -> None:
        """Note that the peer of an application instance has gone, and the instance still runs."""

    def application_cancelled(self, owner: Any) -> None:
        """Note that an instance was cancelled, because it did not end after its peer had gone."""

    def application_left(self, owner: Any, seconds: float) -> None:
        """Note that an instance has ended; `seconds` have passed since its peer had gone."""


EVENTS = tuple(name for name in vars(Observer) if not name.startswith("_"))


class Observers(Observer):
    """Several observers as one; an event costs nothing for those that do not override it.

    Args:
        observers: the observers, in the order in which they are told.
    """

    def __init__(self, observers: Sequence[Observer]) -> None:
        self.observers = tuple(observers)
        for name in EVENTS:
            heard = [method for each in observers if (method := overridden(each, name)) is not None]
            if heard:
                setattr(self, name, heard[0] if len(heard) == 1 else _in_turn(heard))


def overridden(observer: Observer | None, name: str) -> Callable[..., None] | None:
    """Return the method of an observer for an event; None if it does nothing."""
    method: Callable[..., None] | None = getattr(observer, name, None)
    return None if getattr(method, "__func__", None) is getattr(Observer, name) else method


def combine(observers: Sequence[Observer]) -> Observer | None:
    """Return one observer that tells all of them; None for an empty sequence."""
    if len(observers) > 1:
        return Observers(observers)
    return observers[0] if observers else None


def _in_turn(methods: Sequence[Callable[..., None]]) -> Callable[..., None]:
    def tell(*args: Any) -> None:
        for method in methods:
            method(*args)

    return tell
