"""A real server whose process has used up its file descriptors."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.support.live_endpoints import ON_STOCK_REACTOR
from tests.support.real_server import COMMAND, fetched

WARNED = "The file descriptors of this process are used up"


@pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="it looks into /proc: run on Linux"
)
@pytest.mark.parametrize(
    ("command", "arguments"),
    [(COMMAND, ("-p", "0")), (ON_STOCK_REACTOR, ("tcp:0:interface=127.0.0.1",))],
    ids=["native", "stock"],
)
def test_told_and_served_again(
    program: Callable[..., Any], command: tuple[str, ...], arguments: tuple[str, ...]
) -> None:
    """A shortage is told once, and connections are served again when it is over."""
    running = program(*arguments, "few_descriptors:application", program=command)
    running.wait_until_ready()
    crowd = [running.connect() for _ in range(60)]
    running.wait_for(WARNED)
    time.sleep(1.5)  # three looks more
    assert running.log.count(WARNED) == 1
    for connection in crowd:
        connection.close()
    deadline = time.monotonic() + 20
    answer = b""
    while not answer.endswith(b"here") and time.monotonic() < deadline:
        try:
            answer = fetched(running.port, "/")
        except OSError:
            pass
    assert answer.endswith(b"here")
