"""The access log: a line per request in NCSA's form, written when the event loop has time."""

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

    Entries are held for a quarter of a second and written together: formatting and output are
    not part of the time of any request.

    Args:
        logger: gets one INFO record per entry.
    """

    def __init__(self, logger: logging.Logger = log) -> None:
        self._logger = logger
        self._held: list[tuple[float, str, str, dict[str, Any]]] = []

    def __call__(self, protocol: str, action: str, details: dict[str, Any]) -> None:
        """Log something that happened.

        Args:
            protocol: "http" or "websocket".
            action: "complete" for HTTP; for WebSocket a key of ACTIONS.
            details: path, client ("host:port" or None) and time_taken; status (None where the
                client left before any) and size of a response, method for HTTP, code of a
                WebSocket that was disconnected; time_to_head of a response that went out in parts;
                cut (True) of one that did not come to its end.
        """
        held = self._held
        held.append((time.time(), protocol, action, details))
        if len(held) == 1:
            try:
                asyncio.get_running_loop().call_later(HOLD_SECONDS, self.flush)
            except RuntimeError:  # no loop runs: nothing to keep from waiting
                self.flush()
        elif len(held) >= MAX_BATCHED_LINES:
            self.flush()

    def flush(self) -> None:
        """Write what is held."""
        held, self._held = self._held, []
        second, stamp = 0, ""
        for moment, protocol, action, details in held:
            if int(moment) != second:
                second = int(moment)
                stamp = time.strftime("%d/%b/%Y:%H:%M:%S", time.localtime(second))
            http = protocol == "http"
            code = details.get("code")
            status = details.get("status") if code is None else code
            # What is begun has no duration.
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

    For people who gave a Server one of their own, or changed `write_entry`; AccessLog costs a
    request less.

    Args:
        stream: text is written to it.
    """

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream

    def __call__(self, protocol: str, action: str, details: dict[str, Any]) -> None:
        """See AccessLog."""
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
        """Write a line in NCSA's form; a dash stands for what is None."""
        dashed = ["-" if value is None else value for value in (host, ident, user, status, length)]
        host, ident, user, status, length = dashed  # type: ignore[assignment] # a dash is text
        stamp = date.strftime("%d/%b/%Y:%H:%M:%S")
        self.stream.write(f'{host} {ident} {user} [{stamp}] "{request}" {status} {length}\n')


_own: logging.Handler | None = None
"""The handler that `write_to` has added."""


def write_to(handler: logging.Handler) -> None:
    """Send the access log to a handler, beside those that a person configured for it."""
    global _own  # there is one logger of this name, too
    if _own is not None:
        log.removeHandler(_own)
    _own = handler
    _own.setFormatter(logging.Formatter("%(message)s"))
    attach()


def reopen() -> None:
    """Open the file of the access log anew, if it is one: it may have been moved away."""
    if isinstance(_own, FileHandler):
        _own.reopen()


def attach() -> None:
    """Add the handler of `write_to` to the logger, unless it is there; no other one is touched."""
    if _own is None or _own in log.handlers:
        return
    if not log.handlers:  # else a person has configured where the lines go
        log.propagate = False
    if log.level == logging.NOTSET:
        log.setLevel(logging.INFO)
    log.addHandler(_own)


def is_configured() -> bool:
    """Return whether a person has given the access log a handler, or all of `daphne_like` one."""
    above = logging.getLogger("daphne_like")
    theirs = [handler for handler in log.handlers if handler is not _own]
    return bool(theirs or (log.propagate and above.handlers))
