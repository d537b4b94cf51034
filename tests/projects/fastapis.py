"""The common application of tests/loopback/test_frameworks.py, in FastAPI."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import BackgroundTasks, FastAPI, Request, WebSocket, WebSocketDisconnect
from fastapi.responses import PlainTextResponse, StreamingResponse

seen: dict[str, Any] = {}
let_go: list[asyncio.Event] = []


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    print("lifespan: startup", flush=True)
    yield
    print("lifespan: shutdown", flush=True)


application = FastAPI(lifespan=lifespan)


@application.get("/", response_class=PlainTextResponse)
def home() -> str:
    """Synchronous: FastAPI runs it in a thread."""
    return "Hello, world!"


@application.get("/stream")
async def stream() -> StreamingResponse:
    def parts() -> Any:
        for number in range(5):
            yield b"%d\n" % number

    return StreamingResponse(parts())


@application.post("/echo")
async def echo(request: Request) -> StreamingResponse:
    return StreamingResponse(request.stream())


@application.get("/flood")
async def flood() -> StreamingResponse:
    async def parts() -> AsyncIterator[bytes]:
        try:
            while True:
                yield b"x" * 65536
        finally:
            seen["flood"] = "ended"

    return StreamingResponse(parts())


@application.get("/background", response_class=PlainTextResponse)
async def background(tasks: BackgroundTasks) -> str:
    let_go.append(asyncio.Event())

    async def later() -> None:
        seen["background"] = "running"
        await let_go[-1].wait()
        seen["background"] = "done"

    tasks.add_task(later)
    return "accepted"


@application.get("/finish")
async def finish() -> None:
    let_go[-1].set()


@application.get("/fail")
async def fail() -> None:
    raise RuntimeError("on purpose")


@application.get("/seen")
async def tell() -> dict[str, Any]:
    gc.collect()  # Starlette leaves a generator that was not read to its end to the collector
    return seen


@application.websocket("/socket")
async def socket(websocket: WebSocket) -> None:
    await websocket.accept()
    try:
        while (text := await websocket.receive_text()) != "enough":
            await websocket.send_text(text)
        await websocket.close(4001, "enough")
    except WebSocketDisconnect as disconnect:
        seen["socket"] = disconnect.code
