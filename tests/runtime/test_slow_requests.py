"""Requests that run for too long: --slow-request."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from typing import Any

import pytest

from tests.support.applications import GET, Script, body, start
from tests.support.memory import Memory
from tests.support.websocket_frames import Socket

Serve = Callable[..., Memory]


async def wait_for_a_lock(_scope: Any, _receive: Any, _send: Any) -> None:
    await asyncio.Event().wait()


def slow_lines(memory: Memory, caplog: pytest.LogCaptureFixture) -> list[str]:
    memory.server.lifecycle._loop = memory.loop
    memory.server.lifecycle.tick()
    memory.server.lifecycle.stop_ticking()
    return [line for line in caplog.messages if " has run for " in line]


class TestSlowRequests:
    """One line for each request, with the place."""

    def test_line(self, serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
        """Not before its time, and once; it says where the application waits."""
        memory = serve(wait_for_a_lock, slow_request=5)
        memory.connect().sends(GET)
        memory.now += 5
        assert slow_lines(memory, caplog) == []
        memory.now += 0.5
        (line,) = slow_lines(memory, caplog)
        assert re.search(
            r"Application for GET '/' has run for 5\.5 seconds, before its response began; "
            r"wait_for_a_lock waits at .*test_slow_requests\.py:\d+: await asyncio\.Event\(\)",
            line,
        )
        memory.now += 60
        assert slow_lines(memory, caplog) == [line]

    def test_response_that_has_begun(self, serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
        """A response in parts is a running request, too."""
        script = Script()
        memory = serve(script, slow_request=1)
        memory.connect().sends(GET)
        for message in (start(), body(b"abc", True)):
            memory.loop.create_task(script.send(message))
            memory.settle()
        memory.now += 2
        (line,) = slow_lines(memory, caplog)
        assert "has run for 2.0 seconds, after 3 bytes of its response 200" in line

    def test_event_stream(self, serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
        """A stream of events has no end of its own."""
        script = Script()
        memory = serve(script, slow_request=1)
        memory.connect().sends(GET)
        for message in (start(200, [(b"content-type", b"text/event-stream")]), body(b"x", True)):
            memory.loop.create_task(script.send(message))
            memory.settle()
        memory.now += 2
        assert slow_lines(memory, caplog) == []

    def test_websocket(self, serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
        """A handshake that waits is slow; an open WebSocket is not."""
        waiting = Socket(serve, accept=None, slow_request=1)
        waiting.memory.now += 2
        assert len(slow_lines(waiting.memory, caplog)) == 1
        caplog.clear()
        opened = Socket(serve, slow_request=1)
        opened.memory.now += 2
        assert slow_lines(opened.memory, caplog) == []
