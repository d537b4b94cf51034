"""The access log: one line per request in NCSA's format, written in batches."""

from __future__ import annotations

import asyncio
import datetime
import logging
import time
from typing import Any, NamedTuple, TextIO

from daphne_like.observe.action_logger import client_name
from daphne_like.observe.handlers import FileHandler
from daphne_like.observe.observer import Observer

log = logging.getLogger("daphne_like.access")

MAX_BATCHED_LINES = 512
HOLD_SECONDS = 0.25

ACTIONS = {"connecting": "WSCONNECTING", "rejected": "WSREJECT", "connected": "WSCONNECT",
           "disconnected": "WSDISCONNECT"}  # fmt: skip


class Entry(NamedTuple):
    """One line of the access log, before it is formatted.

    Attributes:
        time: seconds since 1970.
        client: "host:port" as text, or host and port; None on a UNIX socket.
        method: method of the request, or the event of a WebSocket.
        target: request target.
        status: status, or close code; None if there is none.
        size: octets of the response's body; None if there is no response.
        seconds: duration; None for an event that only begins something.
        is_cut: the response is incomplete.
    """

    time: float
    client: Any
    method: str
    target: bytes | str
    status: int | None
    size: int | None
    seconds: float | None
    is_cut: bool


class AccessLog(Observer):
    """An observer that writes lines through `logging`; it can be called as an action logger, too.

    Entries are collected for a quarter of a second and written together, so that no request
    waits for formatting and output.

    Args:
        logger: receives one INFO record per entry.
    """

    def __init__(self, logger: logging.Logger = log) -> None:
        self._logger = logger
        self._held: list[Any] = []  # the fields of an Entry; making one takes longer

    def __call__(self, protocol: str, action: str, details: dict[str, Any]) -> None:
        """Log one action.

        Args:
            protocol: "http" or "websocket".
            action: "complete" for HTTP; a key of ACTIONS for WebSocket.
            details: see ActionLogger.
        """
        http = protocol == "http"
        code = details.get("code")
        status = details.get("status") if code is None else code
        is_over = http or status is not None
        self._add(
            (
                time.time(),
                details.get("client"),
                str(details.get("method")) if http else ACTIONS.get(action, action.upper()),
                details["path"],
                status,
                details.get("size"),
                details["time_taken"] if is_over else None,
                "cut" in details,
            )
        )

    # Observer.

    def exchange_ended(self, exchange: Any) -> None:
        self._add(
            (
                time.time(),
                exchange.client,
                "WSREJECT" if exchange.is_upgrade else exchange.method,
                exchange.target,
                exchange.status or None,
                exchange.body_octets_sent,
                exchange.ended - exchange.started,
                exchange.is_cut,
            )
        )

    def session_opening(self, session: Any) -> None:
        self._session("WSCONNECTING", session, None, None)

    def session_opened(self, session: Any) -> None:
        self._session("WSCONNECT", session, None, None)

    def session_closed(self, session: Any, code: int, by: str) -> None:
        seconds = session.context.clock() - session.started
        self._session("WSDISCONNECT", session, code, seconds)

    def _session(self, event: str, session: Any, code: int | None, seconds: float | None) -> None:
        client, target = session.client, session.target
        self._add((time.time(), client, event, target, code, None, seconds, False))

    def _add(self, entry: Any) -> None:
        held = self._held
        held.append(entry)
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
        for entry in map(Entry._make, held):
            if int(entry.time) != second:
                second = int(entry.time)
                stamp = time.strftime("%d/%b/%Y:%H:%M:%S", time.localtime(second))
            client, target = entry.client, entry.target
            self._logger.info(
                '%s - - [%s] "%s %s" %s %s%s%s',
                (client if isinstance(client, str) else client_name(client)) or "-",
                stamp,
                entry.method,
                target if isinstance(target, str) else target.decode("ascii", "backslashreplace"),
                "-" if entry.status is None else entry.status,
                "-" if entry.size is None else entry.size,
                "" if entry.seconds is None else f" {entry.seconds:.3f}",
                " cut" if entry.is_cut else "",
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
