"""The access log: one line per request in NCSA's format, written in batches."""

from __future__ import annotations

import asyncio
import datetime
import logging
import time
from typing import Any, TextIO

from daphne_like.observe.handlers import FileHandler

log = logging.getLogger("daphne_like.access")

MAX_BATCHED_LINES = 512
HOLD_SECONDS = 0.25

ACTIONS = {"connecting": "WSCONNECTING", "rejected": "WSREJECT", "connected": "WSCONNECT",
           "disconnected": "WSDISCONNECT"}  # fmt: skip


class AccessLog:
    """An action logger (`server.log_action`) that writes lines through `logging`.

    Entries are collected for a quarter of a second and written together, so that no request
    waits for formatting and output.

    Args:
        logger: receives one INFO record per entry.
    """

    def __init__(self, logger: logging.Logger = log) -> None:
        self._logger = logger
        self._held: list[tuple[float, str, str, dict[str, Any]]] = []

    def __call__(self, protocol: str, action: str, details: dict[str, Any]) -> None:
        """Log one action.

        Args:
            protocol: "http" or "websocket".
            action: "complete" for HTTP; a key of ACTIONS for WebSocket.
            details: path, client ("host:port" or None) and time_taken. Also: status and size of a
                response (status None if the client left before it began); method for HTTP; code
                of a disconnected WebSocket; time_to_head of a response sent in several parts;
                cut (True) for an incomplete response.
        """
        held = self._held
        held.append((time.time(), protocol, action, details))
        if len(held) == 1:
            try:
                asyncio.get_running_loop().call_later(HOLD_SECONDS, self.flush)
            except RuntimeError:  # no event loop is running, so nothing would wait
                self.flush()
        elif len(held) >= MAX_BATCHED_LINES:
            self.flush()

    def flush(self) -> None:
        """Write the collected entries."""
        held, self._held = self._held, []
        second, stamp = 0, ""
        for moment, protocol, action, details in held:
            if int(moment) != second:
                second = int(moment)
                stamp = time.strftime("%d/%b/%Y:%H:%M:%S", time.localtime(second))
            http = protocol == "http"
            code = details.get("code")
            status = details.get("status") if code is None else code
            # An action that only begins something has no duration.
            is_over = http or code is not None or status is not None
            self._logger.info(
                '%s - - [%s] "%s %s" %s %s%s%s',
                details.get("client") or "-",
                stamp,
                details.get("method") if http else ACTIONS.get(action, action.upper()),
                details["path"],
                "-" if status is None else status,
                details.get("size", "-"),
                f" {details['time_taken']:.3f}" if is_over else "",
                " cut" if details.get("cut") else "",
            )


class AccessLogGenerator:
    """Daphne's action logger: writes each line to a stream at once.

    It exists for programs that pass an instance to Server or override `write_entry`. AccessLog
    costs less per request.

    Args:
        stream: text stream to write to.
    """

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream

    def __call__(self, protocol: str, action: str, details: dict[str, Any]) -> None:
        """Write one action (see AccessLog)."""
        http = protocol == "http"
        name = details.get("method") if http else ACTIONS.get(action, action.upper())
        self.write_entry(
            host=details.get("client"),
            date=datetime.datetime.now(),
            request=f"{name} {details['path']}",
            status=details.get("status"),
            length=details.get("size"),
        )

    def write_entry(
        self,
        host: str | None,
        date: datetime.datetime,
        request: str,
        status: int | None = None,
        length: int | None = None,
        ident: str | None = None,
        user: str | None = None,
    ) -> None:
        """Write a line in NCSA's format, with a dash for each None."""
        dashed = ["-" if value is None else value for value in (host, ident, user, status, length)]
        host, ident, user, status, length = dashed  # type: ignore[assignment] # a dash is text
        stamp = date.strftime("%d/%b/%Y:%H:%M:%S")
        self.stream.write(f'{host} {ident} {user} [{stamp}] "{request}" {status} {length}\n')


_own: logging.Handler | None = None
"""The handler that `write_to` has added."""


def write_to(handler: logging.Handler) -> None:
    """Send the access log to a handler, in addition to those that the user configured for it."""
    global _own  # the logger is global to the process, too
    if _own is not None:
        log.removeHandler(_own)
    _own = handler
    _own.setFormatter(logging.Formatter("%(message)s"))
    attach()


def reopen() -> None:
    """Reopen the access log if it is a file, because log rotation may have moved the file."""
    if isinstance(_own, FileHandler):
        _own.reopen()


def attach() -> None:
    """Add the handler of `write_to` to the logger if it is missing; keep all other handlers."""
    if _own is None or _own in log.handlers:
        return
    if not log.handlers:  # otherwise the user has configured where the lines go
        log.propagate = False
    if log.level == logging.NOTSET:
        log.setLevel(logging.INFO)
    log.addHandler(_own)


def is_configured() -> bool:
    """Tell whether the user has configured a handler for the access log or for `daphne_like`."""
    above = logging.getLogger("daphne_like")
    theirs = [handler for handler in log.handlers if handler is not _own]
    return bool(theirs or (log.propagate and above.handlers))
