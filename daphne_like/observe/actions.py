"""Told when an exchange or session begins and ends; tells Daphne's action logger."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class Actions:
    """Turns the end of an exchange into a call of an action logger.

    Args:
        tell: called with protocol, action and details (see observe/access.py).
        clock: seconds, monotonic.
    """

    def __init__(
        self, tell: Callable[[str, str, dict[str, Any]], None], clock: Callable[[], float]
    ) -> None:
        self.tell = tell
        self._clock = clock

    def finished(self, exchange: Any) -> None:
        """Report an exchange that has a whole response, a part of one, or none (status None)."""
        exchange.logged = True
        client = exchange.client
        target = exchange.target.decode("ascii", "backslashreplace")
        details: dict[str, Any] = {
            "path": target,
            "status": exchange.status or None,
            "method": exchange.method,
            "client": f"{client[0]}:{client[1]}" if client else None,
            "time_taken": self._clock() - exchange.started,
            "size": exchange.body_octets_sent,
        }
        if exchange.head_sent is not None:
            details["time_to_head"] = exchange.head_sent - exchange.started
        if exchange.is_cut:
            details["cut"] = True
        protocol, action = exchange.action
        self.tell(protocol, action, details)
