"""Keeps the set of live connections, which is limited and which the drain closes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from daphne_like.observe.observer import Observer


class Connection(Protocol):
    """The interface of a live connection that the drain uses; the same for every protocol."""

    transport: Any
    protocol_name: str

    def server_stops(self) -> None:
        """Tell the peer that the server is stopping; still serve requests on their way."""

    def close_when_idle(self, lingers: bool = False) -> None:
        """Finish requests in flight and start no others; the idle grace of the stop is over.

        Args:
            lingers: read on for a moment after FIN, so that no reset overtakes a response.
        """

    def disconnect_application(self) -> None:
        """Send the disconnect event to the application; the graceful timeout is over."""


class Connections(set[Connection]):
    """A set of connections with a limit.

    Args:
        max_connections: None for no limit.

    Attributes:
        observer: see ServerContext.
    """

    def __init__(self, max_connections: int | None) -> None:
        super().__init__()
        self.max_connections = max_connections
        self.observer: Observer | None = None

    def admit(self, connection: Connection) -> bool:
        """Add a connection, and tell whether it is within the limit.

        A connection over the limit is added, too, because it gets a response before it is closed.
        """
        if self.observer is not None and connection not in self:
            self.observer.connection_opened(connection)
        self.add(connection)
        return not self.max_connections or len(self) <= self.max_connections

    def replace(self, before: Connection, after: Connection) -> None:
        """Replace the protocol of a connection after an upgrade."""
        was_known = before in self  # not if ALPN has chosen HTTP/2
        super().discard(before)
        self.add(after)
        if self.observer is None:
            return
        if was_known:
            self.observer.connection_switched(before, after)
        else:
            self.observer.connection_opened(after)

    def discard(self, connection: object) -> None:
        """Remove a connection, unless it has been removed."""
        if connection in self:
            super().discard(connection)
            if self.observer is not None:
                self.observer.connection_closed(connection)
