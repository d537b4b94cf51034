"""Where the lifespan of an application in a twisted.web site runs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from tests.support.peers import get, read_answers, respond

Start = Callable[..., Any]


def test_one_event_loop(tree: Start) -> None:
    """L03: the lifespan and the requests run on one event loop, the reactor's."""
    loops: list[asyncio.AbstractEventLoop] = []

    async def application(scope: Any, receive: Any, send: Any) -> None:
        loops.append(asyncio.get_running_loop())
        if scope["type"] == "http":
            await respond(send)
            return
        for name in ("startup", "shutdown"):
            await receive()
            await send({"type": f"lifespan.{name}.complete"})

    memory = tree(application, lifespan="on")
    wire = memory.connect().sends(get(b"/app"), get(b"/app"))
    assert [answer.status for answer in read_answers(wire.take())] == [200, 200]
    assert loops == [memory.loop] * 3
