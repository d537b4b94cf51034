"""Log records as JSON: one object in one line, with flat keys that log collectors know.

The keys are OpenTelemetry's names of attributes, or those of the Elastic Common Schema (ECS).
"""

from __future__ import annotations

import json
import logging
import math
import time
from collections.abc import Mapping
from typing import Any

TEXT, JSON, ECS = "text", "json", "ecs"

ECS_VERSION = "8.11.0"
ECS_NAMES = {
    "timestamp": "@timestamp",
    "level": "log.level",
    "logger": "log.logger",
    "exception": "error.stack_trace",
    "request_id": "http.request.id",
    "trace_id": "trace.id",
    "span_id": "span.id",
    "http.response.body.size": "http.response.body.bytes",
    "http.server.request.duration": "event.duration",
    "network.protocol.version": "http.version",
}
"""Our key -> key of the Elastic Common Schema, where they differ."""

STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {
    "message", "asctime", "taskName", "attributes", "request_id", "trace_id", "span_id",
}  # fmt: skip
"""Attributes of a record that are not the application's own (`extra`)."""
IDS = ("request_id", "trace_id", "span_id")


def key(name: str, style: str) -> str:
    """Return the key of a value in a style, JSON or ECS."""
    return ECS_NAMES.get(name, name) if style == ECS else name


def level_name(name: str, style: str) -> str:
    """Return the name of a level; ECS writes it in lower case."""
    return name.lower() if style == ECS else name


class StructuredFormatter(logging.Formatter):
    """Formats a record as a JSON object.

    The object has timestamp (RFC 3339, UTC, milliseconds), level, logger and message, a traceback
    as `exception`, the ids of the request, and what the application passes as `extra`, if it is
    text, a number or a boolean. Control characters are escaped by JSON itself (S06).

    Args:
        style: JSON or ECS.
        process: name of the process among several; "" if there is one.
    """

    def __init__(self, style: str, process: str = "") -> None:
        super().__init__()
        self._names = style
        self._process = process

    def format(self, record: logging.LogRecord) -> str:
        """Return the line of a record.

        A record with `attributes` is a line of the access log, or comes from a worker: they are
        the values of an object that has been written already.
        """
        milliseconds = int(record.created * 1000)
        second = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(milliseconds // 1000))
        values: dict[str, Any] = {
            "timestamp": f"{second}.{milliseconds % 1000:03}Z",
            "level": level_name(record.levelname, self._names),
            "logger": record.name,
        }
        attributes: Mapping[str, Any] | None = getattr(record, "attributes", None)
        if attributes is None:
            values["message"] = record.getMessage()
            values.update(self._more(record))
        named = {key(name, self._names): value for name, value in values.items()}
        if attributes is not None:
            named.update(attributes)
        if self._names == ECS:
            named.setdefault("ecs.version", ECS_VERSION)
        if self._process:
            named["daphne_like.process"] = self._process
        return json.dumps(named)

    def _more(self, record: logging.LogRecord) -> dict[str, Any]:
        values: dict[str, Any] = {}
        if record.exc_info and not record.exc_text:
            record.exc_text = self.formatException(record.exc_info)
        if record.exc_text:
            values["exception"] = record.exc_text
        if record.stack_info:
            values["stack"] = record.stack_info
        for name in IDS:
            value = getattr(record, name, None)
            if value and value != "-":
                values[name] = value
        for name, value in vars(record).items():
            if name not in STANDARD and name not in values and is_plain(value):
                values[name] = value
        return values


def is_plain(value: object) -> bool:
    """Tell whether a value is one that JSON has: text, a finite number or a boolean."""
    if isinstance(value, float):
        return math.isfinite(value)
    return isinstance(value, (str, int))


def parse_line(text: str) -> dict[str, Any] | None:
    """Return the object that a formatter of this module has written; None for other text."""
    if not text.startswith("{"):
        return None
    try:
        values = json.loads(text)
    except ValueError:
        return None
    return values if isinstance(values, dict) and "message" in values else None
