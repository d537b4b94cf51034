"""A Starlette application, and a FastAPI one."""

from __future__ import annotations

import asyncio
import gc
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, PlainTextResponse, StreamingResponse
from starlette.routing import Route

seen: dict[str, Any] = {}
work: list[asyncio.Event] = []


class Marking(BaseHTTPMiddleware):
    async def dispatch(self, request: Request, call_next: Any) -> Any:
        response = await call_next(request)
        response.headers["X-Marked"] = "yes"
        return response


@asynccontextmanager
async def lifespan(app: Starlette) -> AsyncIterator[dict[str, Any]]:
    print("lifespan: startup", flush=True)
    yield {"greeting": "from the lifespan", "counts": []}
    print("lifespan: shutdown", flush=True)


async def home(request: Request) -> PlainTextResponse:
    request.state.counts.append(1)
    return PlainTextResponse(f"{request.state.greeting} {len(request.state.counts)}")


async def echo(request: Request) -> PlainTextResponse:
    digest = hashlib.sha256()
    async for part in request.stream():
        digest.update(part)
    return PlainTextResponse(digest.hexdigest())


async def stream(request: Request) -> StreamingResponse:
    async def parts() -> AsyncIterator[bytes]:
        for number in range(5):
            yield b"%d\n" % number
            await asyncio.sleep(0.01)

    return StreamingResponse(parts())


async def flood(request: Request) -> StreamingResponse:
    async def parts() -> AsyncIterator[bytes]:
        try:
            while True:
                yield b"x" * 65536
        finally:
            seen["flood"] = "ended"

    return StreamingResponse(parts())


async def file(request: Request) -> FileResponse:
    return FileResponse(Path(__file__))


async def events(request: Request) -> StreamingResponse:
    async def parts() -> AsyncIterator[bytes]:
        yield b"data: first\n\n"
        try:
            while not await request.is_disconnected():
                await asyncio.sleep(0.02)
                # Behind BaseHTTPMiddleware `is_disconnected` never says so (Starlette waits
                # within its cancelled scope): there the failing `send` ends the stream.
                yield b": still here\n\n"
        finally:
            seen["events"] = "disconnected"

    return StreamingResponse(parts(), media_type="text/event-stream")


async def background(request: Request) -> PlainTextResponse:
    async def later() -> None:
        seen["background"] = "running"
        work.append(asyncio.Event())
        await work[-1].wait()
        seen["background"] = "done"

    return PlainTextResponse("accepted", background=BackgroundTask(later))


async def finish(request: Request) -> PlainTextResponse:
    work[-1].set()
    return PlainTextResponse("finished")


async def tell(request: Request) -> JSONResponse:
    gc.collect()  # Starlette leaves a generator that was not read to its end to the collector
    return JSONResponse(seen)


routes = [
    Route("/", home), Route("/echo", echo, methods=["POST"]), Route("/stream", stream),
    Route("/flood", flood), Route("/file", file), Route("/events", events),
    Route("/background", background), Route("/finish", finish), Route("/seen", tell),
]  # fmt: skip

plain = Starlette(routes=routes, lifespan=lifespan)
marking = Starlette(routes=routes, lifespan=lifespan, middleware=[Middleware(Marking)])


def _fast() -> Any:
    from fastapi import FastAPI

    fast = FastAPI()

    @fast.get("/items/{number}")
    async def item(number: int, q: str = "") -> dict[str, Any]:
        return {"number": number, "q": q}

    return fast


def __getattr__(name: str) -> Any:
    if name == "fast":
        return _fast()
    raise AttributeError(name)
