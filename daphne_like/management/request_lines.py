"""Formats requests and WebSockets as log lines of runserver."""

from __future__ import annotations

import logging
from typing import Any

from daphne_like.wording import escaped

log = logging.getLogger("django.channels.server")

SLOW_SECONDS = 1.0
"""A response that begins later than this is marked as slow."""

WEBSOCKET = {
    "connecting": ("HANDSHAKING", "WARNING"),
    "connected": ("CONNECT", "WARNING"),
    "disconnected": ("DISCONNECT", "WARNING"),
    "rejected": ("REJECT", "HTTP_NOT_FOUND"),
}
"""Action -> (word in the line, name of the style)."""

STATUS_STYLES = {304: "HTTP_NOT_MODIFIED", 404: "HTTP_NOT_FOUND"}
CLASS_STYLES = {1: "HTTP_INFO", 2: "HTTP_SUCCESS", 3: "HTTP_REDIRECT", 4: "HTTP_BAD_REQUEST"}


class RequestLines:
    """An action logger (`server.log_action`) for developers.

    Args:
        style: Django's colour style or its plain style.
    """

    def __init__(self, style: Any) -> None:
        self._style = style

    def __call__(self, protocol: str, action: str, details: dict[str, Any]) -> None:
        """Log one action (arguments as for AccessLog)."""
        if protocol == "http":
            log.info("%s", self._http(details))
        elif action in WEBSOCKET:
            log.info("%s", self._websocket(action, details))

    def _http(self, details: dict[str, Any]) -> str:
        status, seconds = details["status"], details["time_taken"]
        line = self._coloured(
            _status_style(status),
            f"HTTP {details['method']} {details['path']} {status or '-'} "
            f"[{seconds:.2f}, {details['client']}]",
        )
        if details.get("cut"):
            line = f"{line} {self._style.WARNING('cut')}"
        # A streamed response may take any time: an event stream, a large file.
        waited = details.get("time_to_head", seconds)
        return f"{line} {self._style.WARNING('slow')}" if waited > SLOW_SECONDS else line

    def _websocket(self, action: str, details: dict[str, Any]) -> str:
        word, style = WEBSOCKET[action]
        code = details.get("code")
        where = details["path"] if code is None else f"{details['path']} {code}"
        return self._coloured(style, f"WebSocket {word} {where} [{details['client']}]")

    def _coloured(self, style: str, line: str) -> str:
        # Escape before adding colours, so that a peer's data cannot contain any (S06).
        return str(getattr(self._style, style)(escaped(line)))


def _status_style(status: Any) -> str:
    if status is None:  # the client left before the response
        return "HTTP_SUCCESS"
    if not isinstance(status, int):
        return "HTTP_SERVER_ERROR"
    return STATUS_STYLES.get(status) or CLASS_STYLES.get(status // 100, "HTTP_SERVER_ERROR")
