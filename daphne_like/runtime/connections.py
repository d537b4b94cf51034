"""The live connections of a server: counted, limited, handed over, found by the drain."""

from __future__ import annotations

from typing import Any, Protocol


class Connection(Protocol):
    """A live connection, of whatever protocol, as the drain sees it."""

    transport: Any

    def server_stops(self) -> None:
        """The server begins to stop: tell the peer, and serve requests that are on their way."""

    def close_when_idle(self) -> None:
        """The grace of the stop is over: finish what is in flight, and begin nothing."""

    def disconnect_application(self) -> None:
        """The server has waited long enough: tell the application."""


class Connections(set[Connection]):
    """A set of connections with a limit.

    Args:
        max_connections: None for no limit.
    """

    def __init__(self, max_connections: int | None) -> None:
        super().__init__()
        self.max_connections = max_connections

    def admit(self, connection: Connection) -> bool:
        """Add a connection; return whether there is room for it.

        One that has no room is added, too: it is answered before it is closed.
        """
        self.add(connection)
        return not self.max_connections or len(self) <= self.max_connections

    def replace(self, before: Connection, after: Connection) -> None:
        """Put a connection's new protocol in the place of the one before."""
        self.discard(before)
        self.add(after)
