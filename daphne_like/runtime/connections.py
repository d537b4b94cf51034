"""Keeps the set of live connections, which is limited and which the drain closes."""

from __future__ import annotations

from typing import Any, Protocol


class Connection(Protocol):
    """The interface of a live connection that the drain uses; the same for every protocol."""

    transport: Any

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
    """

    def __init__(self, max_connections: int | None) -> None:
        super().__init__()
        self.max_connections = max_connections

    def admit(self, connection: Connection) -> bool:
        """Add a connection, and tell whether it is within the limit.

        A connection over the limit is added, too, because it gets a response before it is closed.
        """
        self.add(connection)
        return not self.max_connections or len(self) <= self.max_connections

    def replace(self, before: Connection, after: Connection) -> None:
        """Replace the protocol of a connection after an upgrade."""
        self.discard(before)
        self.add(after)
