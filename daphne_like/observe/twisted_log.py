"""Log records of the server and the application in Twisted's log, and its events as JSON."""

from __future__ import annotations

import logging
from typing import Any

from twisted.logger import FileLogObserver, Logger, LogLevel, formatEvent
from twisted.python.failure import Failure

from daphne_like.observe.request_identity import only_filter
from daphne_like.observe.structured import StructuredFormatter
from daphne_like.wording import escaped

LEVELS = (
    (logging.CRITICAL, LogLevel.critical, 2),
    (logging.ERROR, LogLevel.error, 3),
    (logging.WARNING, LogLevel.warn, 4),
    (logging.INFO, LogLevel.info, 6),
    (logging.NOTSET, LogLevel.debug, 7),
)
"""Minimum level of `logging`, level of Twisted, severity of syslog (RFC 5424, 6.2.1)."""


class TwistedLogHandler(logging.Handler):
    """Passes records of `logging` to Twisted's log: its file, JSON, syslog or terminal.

    The event's namespace is the record's logger; a traceback becomes the event's failure. Twisted
    passes events to syslog through its old interface, which ignores namespace and level, so the
    event repeats both in the old interface's keys.
    """

    def emit(self, record: logging.LogRecord) -> None:
        level, severity = next(theirs for ours, *theirs in LEVELS if record.levelno >= ours)
        more: dict[str, Any] = {
            "system": f"{record.name}#{level.name}",
            "syslogPriority": severity,
            "log_record": record,
        }
        if record.exc_info and record.exc_info[1] is not None:
            _, error, traceback = record.exc_info
            more["log_failure"] = Failure(error, type(error), traceback)
        try:
            text = self.format(record)
        except Exception:  # noqa: BLE001 # like every handler of logging
            self.handleError(record)
            return
        Logger(record.name).emit(level, "{text}", text=text, **more)


class MessageAlone(logging.Formatter):
    """Formats the message without its traceback, which Twisted's observers print themselves."""

    def format(self, record: logging.LogRecord) -> str:
        return escaped(record.getMessage())


def to_twisted_log(name: str, level: int) -> None:
    """Send the records of a logger and the loggers below it to Twisted's log, once.

    Args:
        name: name of the logger; "" for all.
        level: minimum level.
    """
    logger = logging.getLogger(name)
    if not any(isinstance(handler, TwistedLogHandler) for handler in logger.handlers):
        handler = TwistedLogHandler()
        handler.setFormatter(MessageAlone())
        handler.addFilter(only_filter)
        logger.addHandler(handler)
    logger.setLevel(level)


def structured_observer(stream: Any, style: str) -> FileLogObserver:
    """Return an observer that writes each event of Twisted's log as a JSON object in a line.

    Args:
        stream: text file.
        style: JSON or ECS, see structured.py.
    """
    formatter = StructuredFormatter(style)
    return FileLogObserver(stream, lambda event: f"{formatter.format(to_record(event))}\n")


def to_record(event: Any) -> logging.LogRecord:
    """Return an event of Twisted as a record; the record itself if it has been one."""
    if "log_record" in event:
        record: logging.LogRecord = event["log_record"]
        return record
    level = event.get("log_level", LogLevel.info)
    record = logging.makeLogRecord(
        {
            "name": event.get("log_namespace", "twisted"),
            "levelno": next(ours for ours, theirs, _ in LEVELS if theirs is level),
            "levelname": "WARNING" if level is LogLevel.warn else level.name.upper(),
            "msg": "%s",
            "args": (formatEvent(event),),
            "created": event.get("log_time", 0.0),
        }
    )
    failure = event.get("log_failure")
    if failure is not None:
        record.exc_text = failure.getTraceback()
    return record
