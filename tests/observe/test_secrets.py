"""Passwords and cookies are in no line of the log."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest

from daphne_like.launch.log_setup import make_access_log
from daphne_like.observe.access import AccessLog
from daphne_like.observe.structured import JSON, StructuredFormatter
from daphne_like.options import Options
from tests.support.applications import GET, sending, start
from tests.support.memory import Memory

Serve = Callable[..., Memory]

SECRET = "hunter2"
REQUEST = GET.replace(
    b"\r\n\r\n",
    f"\r\nAuthorization: Basic {SECRET}\r\nCookie: session={SECRET}\r\n\r\n".encode(),
)


def written(access: AccessLog) -> list[str]:
    """The lines that an access log holds, formatted."""
    return access._lines(access._held, has_colours=False)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"access_log_format": "combined"},
        {"log_format": "json"},
        {"log_format": "ecs"},
        {"access_log_format": "%(r)s %(s)s %({host}i)s %({x-a}o)s"},
    ],
)
def test_access_log(serve: Serve, options: dict[str, Any]) -> None:
    """Neither what the client sends nor what the application sets."""
    access = make_access_log(Options(**options))
    cookie = (b"set-cookie", f"session={SECRET}".encode())
    memory = serve(
        sending(start(200, [cookie, (b"x-a", b"1")]), {"type": "http.response.body"}),
        action_logger=access,
        **options,
    )
    memory.connect().sends(REQUEST)
    (line,) = written(access)
    assert "200" in line
    assert SECRET not in line


@pytest.mark.parametrize(
    "cookie",
    [
        (b"Set-Cookie", f"session={SECRET}\n".encode()),
        (b"set-cookie", f"session={SECRET}"),
        ("Set-Cookie", f"session={SECRET}"),
    ],
)
def test_log(serve: Serve, caplog: pytest.LogCaptureFixture, cookie: Any) -> None:
    """Nor the log of an application that fails because of a cookie, at any level below the wire."""
    caplog.set_level(logging.INFO, "daphne_like.wire")
    with caplog.at_level(logging.DEBUG, "daphne_like"):
        serve(sending(start(200, [cookie]))).connect().sends(REQUEST)
    assert "raised ApplicationError" in caplog.text
    assert SECRET not in caplog.text
    formatter = StructuredFormatter(JSON)
    assert not [record for record in caplog.records if SECRET in formatter.format(record)]
