"""The common application of tests/loopback/test_frameworks.py, in Starlette."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, StreamingResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

seen: dict[str, Any] = {}
let_go: list[asyncio.Event] = []


@asynccontextmanager
async def lifespan(app: Starlette) -> AsyncIterator[None]:
    print("lifespan: startup", flush=True)
    yield
    print("lifespan: shutdown", flush=True)


async def home(request: Request) -> PlainTextResponse:
    return PlainTextResponse("Hello, world!")


async def stream(request: Request) -> StreamingResponse:
    async def parts() -> AsyncIterator[bytes]:
        for number in range(5):
            yield b"%d\n" % number

    return StreamingResponse(parts())


async def echo(request: Request) -> StreamingResponse:
    return StreamingResponse(request.stream())


async def flood(request: Request) -> StreamingResponse:
    async def parts() -> AsyncIterator[bytes]:
        try:
            while True:
                yield b"x" * 65536
        finally:
            seen["flood"] = "ended"

    return StreamingResponse(parts())


async def background(request: Request) -> PlainTextResponse:
    let_go.append(asyncio.Event())

    async def later() -> None:
        seen["background"] = "running"
        await let_go[-1].wait()
        seen["background"] = "done"

    return PlainTextResponse("accepted", background=BackgroundTask(later))


async def finish(request: Request) -> PlainTextResponse:
    let_go[-1].set()
    return PlainTextResponse("")


async def fail(request: Request) -> PlainTextResponse:
    raise RuntimeError("on purpose")


async def tell(request: Request) -> JSONResponse:
    gc.collect()  # Starlette leaves a generator that was not read to its end to the collector
    return JSONResponse(seen)


async def socket(websocket: WebSocket) -> None:
    await websocket.accept()
    try:
        while (text := await websocket.receive_text()) != "enough":
            await websocket.send_text(text)
        await websocket.close(4001, "enough")
    except WebSocketDisconnect as disconnect:
        seen["socket"] = disconnect.code


application = Starlette(
    routes=[
        Route("/", home), Route("/stream", stream), Route("/echo", echo, methods=["POST"]),
        Route("/flood", flood), Route("/background", background), Route("/finish", finish),
        Route("/fail", fail), Route("/seen", tell), WebSocketRoute("/socket", socket),
    ],
    lifespan=lifespan,
)  # fmt: skip
