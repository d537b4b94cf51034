"""An entry of the access log: one request, before it is formatted as a line."""

from __future__ import annotations

from typing import Any, NamedTuple


class Entry(NamedTuple):
    """One line of the access log, before it is formatted.

    Attributes:
        time: seconds since 1970.
        client: "host:port" as text, or host and port; None on a UNIX socket.
        method: method of the request, or the event of a WebSocket in Daphne's lines.
        target: request target.
        status: status, or close code; None if there is none.
        size: octets of the response's body; None if there is no response.
        seconds: duration; None for an event that only begins something.
        is_cut: the response is incomplete.
        version: version of HTTP; "" if it is not known.
        scheme: "http" or "https"; "" if it is not known.
        fields: the request's fields, with names in lower case.
        lines: field lines of the response.
        identity: ids of the request; None if they are not wanted.
        close_code: of a WebSocket that was open.
        queue_time: seconds that the request waited in a proxy; None if that is unknown.
    """

    time: float
    client: Any
    method: str
    target: bytes | str
    status: int | None
    size: int | None
    seconds: float | None
    is_cut: bool
    version: str = ""
    scheme: str = ""
    fields: Any = ()
    lines: Any = ()
    identity: Any = None
    close_code: int | None = None
    queue_time: float | None = None

    @property
    def host(self) -> str:
        """The client's address without its port; a dash for a client without one."""
        client = self.client
        if not client:
            return "-"
        return client.rpartition(":")[0] if isinstance(client, str) else str(client[0])

    @property
    def target_text(self) -> str:
        """The request target as text."""
        target = self.target
        return target if isinstance(target, str) else target.decode("ascii", "backslashreplace")


def client_name(client: Any) -> str | None:
    """Return "host:port" of a client's address; None without one."""
    if isinstance(client, str):
        return client
    return f"{client[0]}:{client[1]}" if client else None
