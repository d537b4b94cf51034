"""runserver's lines, in memory."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support import needed

color = needed.module("django.core.management.color")
no_style, make_style = color.no_style, color.make_style

from daphne_like.management.request_lines import RequestLines  # noqa: E402 # needs Django

HTTP = {"method": "GET", "path": "/p", "status": 200, "client": "127.0.0.1:5", "time_taken": 0.01}


def lines(caplog: pytest.LogCaptureFixture, *action: str, **details: Any) -> list[str]:
    """The messages for one action."""
    with caplog.at_level("INFO", "django.channels.server"):
        RequestLines(no_style())(*action, {**HTTP, **details})
    return caplog.messages


def test_request(caplog: pytest.LogCaptureFixture) -> None:
    """Daphne's form of a line."""
    assert lines(caplog, "http", "complete") == ["HTTP GET /p 200 [0.01, 127.0.0.1:5]"]


def test_no_status(caplog: pytest.LogCaptureFixture) -> None:
    """A client that left before its answer: a dash, in no colour of an error."""
    with caplog.at_level("INFO", "django.channels.server"):
        RequestLines(make_style("dark"))("http", "complete", {**HTTP, "status": None})
    style = make_style("dark").HTTP_SUCCESS
    assert caplog.messages == [style("HTTP GET /p - [0.01, 127.0.0.1:5]")]


@pytest.mark.parametrize(("seconds", "slow"), [(1.0, False), (1.01, True)])
def test_slow(caplog: pytest.LogCaptureFixture, seconds: float, slow: bool) -> None:
    """What takes longer than a second is marked."""
    assert lines(caplog, "http", "complete", time_taken=seconds)[0].endswith("] slow") is slow


def test_control_characters(caplog: pytest.LogCaptureFixture) -> None:
    """S06: what a peer has sent never reaches the terminal unescaped."""
    assert lines(caplog, "http", "complete", path="/\x1b[31m\r\x9b") == [
        r"HTTP GET /\x1b[31m\r\x9b 200 [0.01, 127.0.0.1:5]"
    ]


def test_disconnect_has_its_code(caplog: pytest.LogCaptureFixture) -> None:
    """A WebSocket that ends: path and close code."""
    assert lines(caplog, "websocket", "disconnected", code=1001) == [
        "WebSocket DISCONNECT /p 1001 [127.0.0.1:5]"
    ]


def test_a_stream_is_not_slow(caplog: pytest.LogCaptureFixture) -> None:
    """Server-sent events last; what counts is how long their client waited for the first."""
    (line,) = lines(caplog, "http", "complete", time_taken=600.0, time_to_head=0.1)
    assert line == "HTTP GET /p 200 [600.00, 127.0.0.1:5]"


def test_a_stream_that_begins_late_is_slow(caplog: pytest.LogCaptureFixture) -> None:
    """More than a second until its head."""
    (line,) = lines(caplog, "http", "complete", time_taken=600.0, time_to_head=1.1)
    assert line.endswith("] slow")


def test_cut(caplog: pytest.LogCaptureFixture) -> None:
    """A response that did not come to its end."""
    (line,) = lines(caplog, "http", "complete", cut=True)
    assert line == "HTTP GET /p 200 [0.01, 127.0.0.1:5] cut"
