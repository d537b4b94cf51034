"""The access log: one line per request, written in batches."""

from __future__ import annotations

import asyncio
import datetime
import logging
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TextIO

from daphne_like.observe.access_entry import Entry, client_name
from daphne_like.observe.handlers import DescriptorHandler, FileHandler
from daphne_like.observe.observer import Observer
from daphne_like.observe.request_identity import only_filter
from daphne_like.observe.structured import parse_line
from daphne_like.observe.terminal import coloured

log = logging.getLogger("daphne_like.access")

MAX_BATCHED_LINES = 512
HOLD_SECONDS = 0.25

ACTIONS = {"connecting": "WSCONNECTING", "rejected": "WSREJECT", "connected": "WSCONNECT",
           "disconnected": "WSDISCONNECT"}  # fmt: skip


class AccessLog(Observer):
    """An observer that writes lines as Daphne does; it can be called as an action logger, too.

    Entries are collected for a quarter of a second and written together, so that no request
    waits for formatting and output. They go through `logging`, or, if the access log has only the
    handler that this package has given it, directly to that handler, which costs less.

    Args:
        logger: receives one INFO record per entry.
        excluded: paths of requests that have no line, as they are sent, without a query.
        has_colours: the own handler's lines have the status in colour.
    """

    def __init__(
        self,
        logger: logging.Logger = log,
        excluded: Iterable[str] = (),
        *,
        has_colours: bool = False,
    ) -> None:
        self._logger = logger
        self._held: list[Any] = []  # the fields of an Entry; making one takes longer
        self._excluded = frozenset(path.encode("ascii", "backslashreplace") for path in excluded)
        self._has_colours = has_colours

    def __call__(self, protocol: str, action: str, details: dict[str, Any]) -> None:
        """Log one action.

        Args:
            protocol: "http" or "websocket".
            action: "complete" for HTTP; a key of ACTIONS for WebSocket.
            details: see ActionLogger.
        """
        if self._is_excluded(details["path"].encode("ascii", "backslashreplace")):
            return
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
        if self._excluded and self._is_excluded(exchange.target):
            return
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
        if not (self._excluded and self._is_excluded(target)):
            self._add((time.time(), client, event, target, code, None, seconds, False))

    def _is_excluded(self, target: bytes) -> bool:
        return target.partition(b"?")[0] in self._excluded

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
        if not held:
            return
        handler = only_handler(self._logger)
        if handler is not None:
            handler.write_lines(self._lines(held, has_colours=self._has_colours))
            return
        for line in self._lines(held, has_colours=False):
            attributes = parse_line(line)
            extra = None if attributes is None else {"attributes": attributes}
            self._logger.info("%s", line, extra=extra)

    def _lines(self, held: Sequence[Any], *, has_colours: bool) -> list[str]:
        """Format entries."""
        lines: list[str] = []
        second, stamp = 0, ""
        for entry in held:
            now, client, method, target, status, size, seconds, is_cut = entry
            if int(now) != second:
                second = int(now)
                stamp = time.strftime("%d/%b/%Y:%H:%M:%S", time.localtime(second))
            name = client_name(client) or "-"
            text = target if isinstance(target, str) else target.decode("ascii", "backslashreplace")
            shown = "-" if status is None else coloured(status) if has_colours else status
            octets = "-" if size is None else size
            took = "" if seconds is None else f" {seconds:.3f}"
            cut = " cut" if is_cut else ""
            lines.append(f'{name} - - [{stamp}] "{method} {text}" {shown} {octets}{took}{cut}')
        return lines


class FormattedAccessLog(AccessLog):
    """An access log in a format of one's own: each request and each WebSocket has one line.

    The line of a WebSocket is written at its end, with the status of its handshake.

    Args:
        line: writes an entry: an Entry, or a tuple like one.
        logger: see AccessLog.
        excluded: see AccessLog.
        keeps_fields: the line has fields of the request or the response.
        raw: `line` takes a tuple.
    """

    def __init__(
        self,
        line: Callable[[Any], str],
        logger: logging.Logger = log,
        excluded: Iterable[str] = (),
        *,
        keeps_fields: bool = True,
        raw: bool = False,
    ) -> None:
        super().__init__(logger, excluded)
        self._line = line
        self._keeps_fields = keeps_fields
        self._raw = raw

    def __call__(self, protocol: str, action: str, details: dict[str, Any]) -> None:
        """Log one action, see AccessLog; the beginning of a WebSocket has no line."""
        if action not in ("connecting", "connected") and not self._is_excluded(
            details["path"].encode("ascii", "backslashreplace")
        ):
            code = details.get("code")
            status = details.get("status") if code is None else 101
            self._add(
                Entry(
                    time.time(),
                    details.get("client"),
                    str(details.get("method") or "GET"),
                    details["path"],
                    status,
                    details.get("size"),
                    details["time_taken"],
                    "cut" in details,
                    close_code=code,
                )
            )

    def exchange_opened(self, exchange: Any) -> None:
        if self._keeps_fields:
            exchange.fields = tuple(exchange.scope["headers"])  # the application may change those

    def exchange_ended(self, exchange: Any) -> None:
        status, size = exchange.status or None, exchange.body_octets_sent
        self._add_exchange(exchange, status, size, exchange.ended - exchange.started, None)

    def session_opening(self, session: Any) -> None:
        """Write nothing: see the class."""

    def session_opened(self, session: Any) -> None:
        """Write nothing: see the class."""

    def session_closed(self, session: Any, code: int, by: str) -> None:
        seconds = session.context.clock() - session.started
        status = 101 if session.version == "1.1" else 200  # RFC 8441, 5
        self._add_exchange(session, status, None, seconds, code)

    def _add_exchange(
        self, exchange: Any, status: int | None, size: int | None, seconds: float, code: int | None
    ) -> None:
        target = exchange.target
        if self._excluded and self._is_excluded(target):
            return
        lines = exchange.field_lines if exchange.status and not exchange.error_sent else ()
        self._add(
            (
                time.time(),
                exchange.client,
                exchange.method,
                target,
                status,
                size,
                seconds,
                exchange.is_cut,
                exchange.version,
                exchange.scheme,
                exchange.fields,
                lines if self._keeps_fields else (),
                exchange.identity,
                code,
                exchange.queue_time,
            )
        )

    def _lines(self, held: Sequence[Any], *, has_colours: bool) -> list[str]:
        return list(map(self._line, held if self._raw else map(Entry._make, held)))


def only_handler(logger: logging.Logger) -> DescriptorHandler | None:
    """Return the handler of `write_to` if the access log's records go nowhere else."""
    if (
        logger is log
        and isinstance(_own, DescriptorHandler)
        and logger.handlers == [_own]
        and not logger.propagate
        and not logger.filters
        and set(_own.filters) <= {only_filter}
        and not logger.disabled
        and logger.isEnabledFor(max(logging.INFO, _own.level))
    ):
        return _own
    return None


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
