"""The common application of tests/loopback/test_frameworks.py, in Falcon's ASGI half."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator
from typing import Any

import falcon.asgi
from falcon import WebSocketDisconnected

seen: dict[str, Any] = {}
let_go: list[asyncio.Event] = []


class Lifespan:
    async def process_startup(self, scope: Any, event: Any) -> None:
        print("lifespan: startup", flush=True)

    async def process_shutdown(self, scope: Any, event: Any) -> None:
        print("lifespan: shutdown", flush=True)


class Home:
    async def on_get(self, request: Any, response: Any) -> None:
        response.text = "Hello, world!"


class Stream:
    async def on_get(self, request: Any, response: Any) -> None:
        async def parts() -> AsyncIterator[bytes]:
            for number in range(5):
                yield b"%d\n" % number

        response.stream = parts()


class Echo:
    async def on_post(self, request: Any, response: Any) -> None:
        async def parts() -> AsyncIterator[bytes]:
            async for part in request.stream:
                yield part

        response.stream = parts()


class Flood:
    async def on_get(self, request: Any, response: Any) -> None:
        async def parts() -> AsyncIterator[bytes]:
            try:
                while True:
                    yield b"x" * 65536
            finally:
                seen["flood"] = "ended"

        response.stream = parts()


class Background:
    async def on_get(self, request: Any, response: Any) -> None:
        let_go.append(asyncio.Event())

        async def later() -> None:
            seen["background"] = "running"
            await let_go[-1].wait()
            seen["background"] = "done"

        response.text = "accepted"
        response.schedule(later)


class Finish:
    async def on_get(self, request: Any, response: Any) -> None:
        let_go[-1].set()


class Fail:
    async def on_get(self, request: Any, response: Any) -> None:
        raise RuntimeError("on purpose")


class Tell:
    async def on_get(self, request: Any, response: Any) -> None:
        gc.collect()  # an asynchronous generator that was not read to its end
        response.media = seen


class Socket:
    async def on_websocket(self, request: Any, websocket: Any) -> None:
        await websocket.accept()
        try:
            while (text := await websocket.receive_text()) != "enough":
                await websocket.send_text(text)
            await websocket.close(4001, "enough")
        except WebSocketDisconnected as disconnect:
            seen["socket"] = disconnect.code


application = falcon.asgi.App(middleware=[Lifespan()])
for path, resource in {
    "/": Home(), "/stream": Stream(), "/echo": Echo(), "/flood": Flood(),
    "/background": Background(), "/finish": Finish(), "/fail": Fail(), "/seen": Tell(),
    "/socket": Socket(),
}.items():  # fmt: skip
    application.add_route(path, resource)
