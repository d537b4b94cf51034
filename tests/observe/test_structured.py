"""Log records as JSON."""

from __future__ import annotations

import json
import logging
import sys
from io import StringIO
from typing import Any

import pytest
from twisted.logger import Logger

from daphne_like.observe.structured import ECS, JSON, StructuredFormatter, parse_line
from daphne_like.observe.twisted_log import structured_observer

CREATED = 1796000000.0625


def record(message: str, *args: object, **more: Any) -> logging.LogRecord:
    made = logging.LogRecord("shop.orders", logging.WARNING, "", 0, message, args, None)
    made.created = CREATED
    vars(made).update(more)
    return made


class TestStructuredFormatter:
    """One object in one line."""

    def test_json(self) -> None:
        """Keys of OpenTelemetry, a time in RFC 3339 with milliseconds, in UTC."""
        line = StructuredFormatter(JSON).format(record("%d left", 3))
        assert json.loads(line) == {
            "timestamp": "2026-11-30T00:53:20.062Z",
            "level": "WARNING",
            "logger": "shop.orders",
            "message": "3 left",
        }

    def test_ecs(self) -> None:
        """Keys of the Elastic Common Schema, and its version."""
        line = StructuredFormatter(ECS, "worker 2").format(record("x", request_id="a1"))
        assert json.loads(line) == {
            "@timestamp": "2026-11-30T00:53:20.062Z",
            "log.level": "warning",
            "log.logger": "shop.orders",
            "message": "x",
            "http.request.id": "a1",
            "ecs.version": "8.11.0",
            "daphne_like.process": "worker 2",
        }

    @pytest.mark.parametrize(("style", "key"), [(JSON, "exception"), (ECS, "error.stack_trace")])
    def test_exception(self, style: str, key: str) -> None:
        """A traceback is one value, so that a record is one line."""
        try:
            raise KeyError("nothing")
        except KeyError:
            failed = record("failed", exc_info=sys.exc_info())
        line = StructuredFormatter(style).format(failed)
        assert "\n" not in line
        assert json.loads(line)[key].endswith("\nKeyError: 'nothing'")

    def test_control_characters(self) -> None:
        """S06: nothing in a line is obeyed by a terminal, and no line forges another."""
        line = StructuredFormatter(JSON).format(record("a\x1b[31m\nb\x9b\x00", who="\x1b"))
        assert line.isascii()
        assert line.isprintable()
        assert json.loads(line)["message"] == "a\x1b[31m\nb\x9b\x00"

    def test_extra(self) -> None:
        """What the application adds is there if JSON has such a value."""
        more = {"order": 7, "paid": True, "sum": 1.5, "none": float("nan"), "request": object()}
        values = json.loads(StructuredFormatter(JSON).format(record("x", **more)))
        assert {name: values.get(name) for name in more} == {
            "order": 7, "paid": True, "sum": 1.5, "none": None, "request": None
        }  # fmt: skip

    def test_line_that_was_an_object_already(self) -> None:
        """The values of a line of a worker, or of the access log, are not wrapped again."""
        written = StructuredFormatter(JSON).format(record("from a worker"))
        attributes = parse_line(written)
        again = StructuredFormatter(JSON).format(record("%s", written, attributes=attributes))
        assert json.loads(again) == attributes

    @pytest.mark.parametrize("text", ["", "text", "{", "[1]", '{"a": 1}'])
    def test_other_lines(self, text: str) -> None:
        """Text that only looks like JSON stays text."""
        assert parse_line(text) is None


def test_an_event_of_twisted() -> None:
    """It has the same keys, and its failure is the exception."""
    stream = StringIO()
    logger = Logger("some.service", observer=structured_observer(stream, JSON))
    logger.warn("{count} left", count=3)
    try:
        raise KeyError("nothing")
    except KeyError:
        logger.failure("failed")
    warned, failed = map(json.loads, stream.getvalue().splitlines())
    assert {**warned, "timestamp": ""} == {
        "timestamp": "",
        "level": "WARNING",
        "logger": "some.service",
        "message": "3 left",
    }
    assert (failed["level"], failed["message"]) == ("CRITICAL", "failed")
    assert "KeyError: 'nothing'" in failed["exception"]
