"""The common application of tests/loopback/test_frameworks.py, in BlackSheep."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator
from typing import Any

from blacksheep import (
    Application,
    Content,
    Request,
    Response,
    StreamedContent,
    WebSocket,
    WebSocketDisconnectError,
    json,
    text,
)

seen: dict[str, Any] = {}
let_go: list[asyncio.Event] = []
work: set[asyncio.Task[None]] = set()
application = Application()


@application.on_start
async def startup(app: Application) -> None:
    print("lifespan: startup", flush=True)


@application.on_stop
async def shutdown(app: Application) -> None:
    print("lifespan: shutdown", flush=True)


@application.router.get("/")
async def home() -> Response:
    return text("Hello, world!")


@application.router.get("/stream")
async def stream() -> Response:
    async def parts() -> AsyncIterator[bytes]:
        for number in range(5):
            yield b"%d\n" % number

    return Response(200, content=StreamedContent(b"text/plain", parts))


@application.router.post("/echo")
async def echo(request: Request) -> Response:
    async def parts() -> AsyncIterator[bytes]:
        async for part in request.stream():
            yield part

    return Response(200, content=StreamedContent(b"application/octet-stream", parts))


@application.router.get("/flood")
async def flood() -> Response:
    async def parts() -> AsyncIterator[bytes]:
        try:
            while True:
                yield b"x" * 65536
        finally:
            seen["flood"] = "ended"

    return Response(200, content=StreamedContent(b"application/octet-stream", parts))


@application.router.get("/background")
async def background() -> Response:
    """BlackSheep has no background work of its own."""
    let_go.append(asyncio.Event())

    async def later() -> None:
        seen["background"] = "running"
        await let_go[-1].wait()
        seen["background"] = "done"

    task = asyncio.create_task(later())
    work.add(task)
    task.add_done_callback(work.discard)
    return Response(200, content=Content(b"text/plain", b"accepted"))


@application.router.get("/finish")
async def finish() -> Response:
    let_go[-1].set()
    return text("")


@application.router.get("/fail")
async def fail() -> Response:
    raise RuntimeError("on purpose")


@application.router.get("/seen")
async def tell() -> Response:
    gc.collect()  # an asynchronous generator that was not read to its end
    return json(seen)


@application.router.ws("/socket")
async def socket(websocket: WebSocket) -> None:
    await websocket.accept()
    try:
        while (said := await websocket.receive_text()) != "enough":
            await websocket.send_text(said)
        await websocket.close(4001, "enough")
    except WebSocketDisconnectError as disconnect:
        seen["socket"] = disconnect.code
