"""Reports exchanges and sessions to an action logger like Daphne's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class Actions:
    """Calls an action logger when an exchange ends.

    Args:
        tell: called with protocol, action and details (see observe/access.py).
        clock: returns monotonic seconds.
    """

    def __init__(
        self, tell: Callable[[str, str, dict[str, Any]], None], clock: Callable[[], float]
    ) -> None:
        self.tell = tell
        self._clock = clock

    def finished(self, exchange: Any) -> None:
        """Report an exchange with a complete, partial or missing response (then status None)."""
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
