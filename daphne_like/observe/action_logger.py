"""Reports exchanges and sessions to an action logger like Daphne's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from daphne_like.observe.access_entry import client_name
from daphne_like.observe.observer import Observer


class ActionLogger(Observer):
    """Calls an action logger with a dict of details.

    The details are: path, client ("host:port" or None) and time_taken. Also: status and size of a
    response (status None if the client left before it began); method for HTTP; code of a
    disconnected WebSocket; time_to_head of a response sent in several parts; cut (True) for an
    incomplete response.

    Args:
        tell: called with protocol, action and details: ("http", "complete", details), or
            "websocket" with "connecting", "connected", "rejected" or "disconnected".
    """

    def __init__(self, tell: Callable[[str, str, dict[str, Any]], None]) -> None:
        self._tell = tell

    def exchange_ended(self, exchange: Any) -> None:
        """Report an exchange with a complete, partial or missing response (then status None)."""
        details: dict[str, Any] = {
            "path": exchange.target.decode("ascii", "backslashreplace"),
            "status": exchange.status or None,
            "method": exchange.method,
            "client": client_name(exchange.client),
            "time_taken": exchange.ended - exchange.started,
            "size": exchange.body_octets_sent,
        }
        if exchange.head_sent is not None:
            details["time_to_head"] = exchange.head_sent - exchange.started
        if exchange.is_cut:
            details["cut"] = True
        if exchange.is_upgrade:
            self._tell("websocket", "rejected", details)
        else:
            self._tell("http", "complete", details)

    def session_opening(self, session: Any) -> None:
        self._session(session, "connecting")

    def session_opened(self, session: Any) -> None:
        self._session(session, "connected")

    def session_closed(self, session: Any, code: int, by: str) -> None:
        self._session(session, "disconnected", code=code)

    def _session(self, session: Any, action: str, **more: Any) -> None:
        details = {
            "path": session.target.decode("ascii", "backslashreplace"),
            "client": client_name(session.client),
            "time_taken": session.context.clock() - session.started,
            **more,
        }
        self._tell("websocket", action, details)
