"""The Date and Server lines of responses, refreshed periodically."""

from __future__ import annotations

from collections.abc import Callable
from email.utils import formatdate

from daphne_like.asgi.response_fields import DATE, SERVER


class DefaultFields:
    """Keeps a table of default lines up to date.

    Args:
        server_name: value of the Server field; empty or None to send no Server field.
        wall_clock: returns seconds since 1970.
        table: receives the lines, keyed by the bits of those that the application sets itself.
    """

    def __init__(
        self, server_name: str | None, wall_clock: Callable[[], float], table: dict[int, bytes]
    ) -> None:
        self._server = f"Server: {server_name}\r\n".encode("latin-1") if server_name else b""
        self._wall_clock = wall_clock
        self._table = table

    def use_clock(self, wall_clock: Callable[[], float]) -> None:
        """Take the date from another clock, and update the table."""
        self._wall_clock = wall_clock
        self.refresh()

    def refresh(self) -> None:
        """Update the table to the current date."""
        date = date_line(self._wall_clock())
        own_date, own_server = 1 << DATE, 1 << SERVER
        self._table.update(
            {
                0: date + self._server,
                own_date: self._server,
                own_server: date,
                own_date | own_server: b"",
            }
        )


def date_line(seconds: float) -> bytes:
    """Return the Date line for a time (RFC 9110, 6.6.1)."""
    return b"Date: %b\r\n" % formatdate(seconds, usegmt=True).encode("ascii")
