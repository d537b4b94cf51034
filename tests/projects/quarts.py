"""The common application of tests/loopback/test_frameworks.py, in Quart."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator
from typing import Any

from quart import Quart, request, websocket

seen: dict[str, Any] = {}
let_go: list[asyncio.Event] = []
application = Quart(__name__)
application.config["MAX_CONTENT_LENGTH"] = None


@application.before_serving
async def startup() -> None:
    print("lifespan: startup", flush=True)


@application.after_serving
async def shutdown() -> None:
    print("lifespan: shutdown", flush=True)


@application.get("/")
async def home() -> str:
    return "Hello, world!"


@application.get("/stream")
async def stream() -> Any:
    async def parts() -> AsyncIterator[bytes]:
        for number in range(5):
            yield b"%d\n" % number

    return parts()


@application.post("/echo")
async def echo() -> Any:
    body = request.body

    async def parts() -> AsyncIterator[bytes]:
        async for part in body:
            yield part

    return parts()


@application.get("/flood")
async def flood() -> Any:
    async def parts() -> AsyncIterator[bytes]:
        try:
            while True:
                yield b"x" * 65536
        finally:
            seen["flood"] = "ended"

    return parts()


@application.get("/background")
async def background() -> str:
    let_go.append(asyncio.Event())

    async def later() -> None:
        seen["background"] = "running"
        await let_go[-1].wait()
        seen["background"] = "done"

    application.add_background_task(later)
    return "accepted"


@application.get("/finish")
async def finish() -> str:
    let_go[-1].set()
    return ""


@application.get("/fail")
async def fail() -> str:
    raise RuntimeError("on purpose")


@application.get("/seen")
async def tell() -> dict[str, Any]:
    gc.collect()
    return seen


@application.websocket("/socket")
async def socket() -> None:
    try:
        while (text := await websocket.receive()) != "enough":
            await websocket.send(text)
        await websocket.close(4001, "enough")
    except asyncio.CancelledError:  # how Quart tells that the client has gone; it has no code
        seen["socket"] = "cancelled"
        raise
