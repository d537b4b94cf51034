"""A row of the table of connections and instances: its fields, their limits, its check as input."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

MAX_ROWS = 200
"""Rows of one process, at most."""
MAX_TEXT = 400
"""Characters of a text in a row."""
MAX_STACK = 24
"""Places of a stack in a row; of a deeper one the innermost."""
MAX_MESSAGE = 900_000
"""Octets of all rows of one process, so that a message of the control channel has room for them."""
TEXTS = ("kind", "id", "peer", "protocol", "method", "path", "state", "mood", "where")
NUMBERS = ("age", "received", "sent", "queue")
KINDS = ("http", "websocket", "connection")
MOODS = ("", "slow", "paused", "lingers")
SORTS = ("age", "bytes", "queue")

Row = dict[str, Any]
"""One connection or instance.

kind: see KINDS; a connection is one without an instance. id: number of the connection in its
process, and of its stream. peer, protocol, method, path. age: seconds; None if not known. state: in
words. mood: see MOODS. received, sent: octets; None where they are not counted. queue: octets that
the application has not received yet. where: the place where the application waits; stack: all
places, outermost first.
"""


class Query:
    """A question for rows.

    Args:
        sort: see SORTS; rows with a mood first, among them the largest.
        match: text that a row must contain.
        limit: number of rows of each process.
    """

    def __init__(self, sort: str = "age", match: str = "", limit: int = MAX_ROWS) -> None:
        self.sort = sort if sort in SORTS else "age"
        self.match = match[:MAX_TEXT].lower()
        self.limit = max(1, min(limit, MAX_ROWS))

    @classmethod
    def from_message(cls, message: Mapping[str, Any]) -> Query:
        """Return the query of a message, with defaults for values of a wrong type."""
        sort, match, limit = (message.get(name) for name in ("sort", "match", "limit"))
        return cls(
            sort if isinstance(sort, str) else "age",
            match if isinstance(match, str) else "",
            limit if type(limit) is int else MAX_ROWS,
        )

    def to_message(self) -> dict[str, Any]:
        """Return the query in a form that JSON has."""
        return {"sort": self.sort, "match": self.match, "limit": self.limit}

    def matches(self, row: Row) -> bool:
        """Tell whether a row contains the text."""
        if not self.match:
            return True
        return any(self.match in row[name].lower() for name in TEXTS)

    def key(self, row: Row) -> tuple[bool, float]:
        """Return what rows are sorted by: those with a mood come before others."""
        has_mood = bool(row["mood"])
        if self.sort == "bytes":
            return has_mood, float((row["received"] or 0) + (row["sent"] or 0))
        return has_mood, float(row[self.sort] or 0)


def checked(found: object) -> list[Row]:
    """Return the rows of a message from another process; wrong values are left out.

    Args:
        found: the rows; an application may have written anything to any descriptor.
    """
    rows = found if isinstance(found, list) else []
    return [_checked(row) for row in rows[:MAX_ROWS] if isinstance(row, dict)]


def _checked(found: Mapping[str, Any]) -> Row:
    row: Row = {name: _text(found.get(name)) for name in TEXTS}
    row["kind"] = row["kind"] if row["kind"] in KINDS else "connection"
    row["mood"] = row["mood"] if row["mood"] in MOODS else ""
    for name in NUMBERS:
        row[name] = _number(found.get(name))
    stack = found.get("stack")
    lines = stack if isinstance(stack, list) else []
    row["stack"] = [_text(line) for line in lines[:MAX_STACK]]
    return row


def _text(value: object) -> str:
    return value[:MAX_TEXT] if isinstance(value, str) else ""


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return value if math.isfinite(value) and value >= 0 else None
