"""The soak, for a few seconds, and what real time would show only after a day."""

from __future__ import annotations

import gc
import sys
import weakref
from collections.abc import Callable
from typing import Any

import pytest

from tests.support.memory import Memory
from tests.support.soak import LEAVING, soak
from tests.support.websocket_opcodes import TEXT
from tests.support.websocket_peer import close, frame, opening

on_linux = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


@on_linux
def test_nothing_is_left() -> None:
    """W09, K1: 200 WebSockets that come and go in every way leave no task, connection or memory."""
    result = soak(seconds=5, connections=200)
    assert result.leaks == []
    assert result.tally["echoes"] > 200
    assert set(LEAVING) <= set(result.tally)


async def echo(scope: Any, receive: Any, send: Any) -> None:
    await receive()
    await send({"type": "websocket.accept"})
    while (event := await receive())["type"] == "websocket.receive":
        await send({**event, "type": "websocket.send"})


def references() -> int:
    """Weak references that there are in the process."""
    gc.collect()
    return sum(type(one) is weakref.ref for one in gc.get_objects())


def test_no_deadline_of_one_that_is_gone_is_left(serve: Callable[..., Memory]) -> None:
    """K1: minutes after a WebSocket is gone nothing remembers it, though it might live a day."""
    memory = serve(echo)

    def come_and_go(count: int) -> None:
        for _ in range(count):
            wire = memory.connect().sends(opening(b"/") + frame(TEXT, b"a"), close(1000))
            wire.vanishes()
        for _ in range(20):
            memory.passes(10)

    come_and_go(10)
    before = references()
    come_and_go(200)
    assert not memory.server.connections
    assert references() - before < 50
