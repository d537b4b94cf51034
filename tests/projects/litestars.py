"""The common application of tests/loopback/test_frameworks.py, in Litestar."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from litestar import Litestar, MediaType, Request, Response, WebSocket, get, post, websocket
from litestar.background_tasks import BackgroundTask
from litestar.exceptions import WebSocketDisconnect
from litestar.response import Stream

seen: dict[str, Any] = {}
let_go: list[asyncio.Event] = []


@asynccontextmanager
async def lifespan(app: Litestar) -> AsyncIterator[None]:
    print("lifespan: startup", flush=True)
    yield
    print("lifespan: shutdown", flush=True)


@get("/", media_type=MediaType.TEXT)
async def home() -> str:
    return "Hello, world!"


@get("/stream")
async def stream() -> Stream:
    async def parts() -> AsyncIterator[bytes]:
        for number in range(5):
            yield b"%d\n" % number

    return Stream(parts())


@post("/echo", status_code=200, request_max_body_size=None)
async def echo(request: Request[Any, Any, Any]) -> Stream:
    # Its Stream listens for the client's leave while it sends, and throws away the body that it
    # meets (Litestar 2.25, response/streaming.py): read all of it before.
    parts = [part async for part in request.stream()]
    return Stream(iter(parts))


@get("/flood")
async def flood() -> Stream:
    async def parts() -> AsyncIterator[bytes]:
        try:
            while True:
                yield b"x" * 65536
        finally:
            seen["flood"] = "ended"

    return Stream(parts())


@get("/background")
async def background() -> Response[str]:
    let_go.append(asyncio.Event())

    async def later() -> None:
        seen["background"] = "running"
        await let_go[-1].wait()
        seen["background"] = "done"

    return Response("accepted", media_type=MediaType.TEXT, background=BackgroundTask(later))


@get("/finish")
async def finish() -> None:
    let_go[-1].set()


@get("/fail")
async def fail() -> None:
    raise RuntimeError("on purpose")


@get("/seen")
async def tell() -> dict[str, Any]:
    gc.collect()  # an asynchronous generator that was not read to its end
    return seen


@websocket("/socket")
async def socket(socket: WebSocket[Any, Any, Any]) -> None:
    await socket.accept()
    try:
        while (text := await socket.receive_text()) != "enough":
            await socket.send_text(text)
        await socket.close(4001, "enough")
    except WebSocketDisconnect as disconnect:
        seen["socket"] = disconnect.code


application = Litestar(
    [home, stream, echo, flood, background, finish, fail, tell, socket], lifespan=[lifespan]
)
