"""Records of `logging` as events of Twisted's log."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import pytest
from twisted.logger import LogLevel, formatEvent, globalLogPublisher

from daphne_like.observe.twisted_log import TwistedLogHandler, to_twisted_log

NAME = "tests.twisted_log"


@pytest.fixture
def events() -> Iterator[list[dict[str, Any]]]:
    """What Twisted's log is given for the logger of these tests."""
    seen: list[dict[str, Any]] = []

    def observe(event: dict[str, Any]) -> None:
        if event["log_namespace"] == NAME:
            seen.append(event)

    globalLogPublisher.addObserver(observe)
    yield seen
    globalLogPublisher.removeObserver(observe)
    logging.getLogger(NAME).handlers.clear()
    logging.getLogger(NAME).setLevel(logging.NOTSET)


class TestEvents:
    """twisted.logger's events."""

    @pytest.mark.parametrize(
        ("ours", "theirs", "severity"),
        [
            (logging.DEBUG, LogLevel.debug, 7),
            (logging.INFO, LogLevel.info, 6),
            (logging.WARNING, LogLevel.warn, 4),
            (logging.WARNING + 1, LogLevel.warn, 4),
            (logging.ERROR, LogLevel.error, 3),
            (logging.CRITICAL, LogLevel.critical, 2),
        ],
    )
    def test_levels(
        self, events: list[dict[str, Any]], ours: int, theirs: Any, severity: int
    ) -> None:
        """Twisted's level, and syslog's severity (RFC 5424, 6.2.1)."""
        to_twisted_log(NAME, logging.DEBUG)
        logging.getLogger(NAME).log(ours, "%d {braces}", 1)
        (event,) = events
        assert (event["log_level"], event["syslogPriority"]) == (theirs, severity)
        assert formatEvent(event) == "1 {braces}"
        assert event["system"] == f"{NAME}#{theirs.name}"

    def test_a_traceback(self, events: list[dict[str, Any]]) -> None:
        """It is the event's failure, and not in its text."""
        to_twisted_log(NAME, logging.DEBUG)
        try:
            raise ValueError("their error")
        except ValueError as error:
            logging.getLogger(NAME).exception("it failed")
            cause = error
        (event,) = events
        assert formatEvent(event) == "it failed"
        assert event["log_failure"].value is cause

    def test_control_characters(self, events: list[dict[str, Any]]) -> None:
        """What a peer sends reaches no terminal unescaped (S06)."""
        to_twisted_log(NAME, logging.DEBUG)
        logging.getLogger(NAME).warning("a path: \x1b[31m")
        assert "\x1b" not in formatEvent(events[0])

    def test_once(self, events: list[dict[str, Any]]) -> None:
        """Asked for twice, it is said once; the level is the last one's."""
        to_twisted_log(NAME, logging.DEBUG)
        to_twisted_log(NAME, logging.ERROR)
        logging.getLogger(NAME).warning("not told")
        logging.getLogger(NAME).error("told")
        assert [formatEvent(event) for event in events] == ["told"]

    def test_arguments_that_do_not_fit(
        self, events: list[dict[str, Any]], capsys: pytest.CaptureFixture[str]
    ) -> None:
        """As with every handler of logging: standard error, and the program goes on."""
        record = logging.LogRecord(NAME, logging.INFO, __file__, 1, "%d", ("text",), None)
        handler = TwistedLogHandler()
        handler.handle(record)
        assert events == []
        assert "--- Logging error ---" in capsys.readouterr().err
