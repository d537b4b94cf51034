"""Bare ASGI 3 and ASGI 2 applications."""

from __future__ import annotations

import asyncio
import hashlib
import json
import sys
from typing import Any

seen: dict[str, Any] = {}


async def application(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] != "http":
        raise NotImplementedError(scope["type"])
    await PATHS[scope["path"]](scope, receive, send)


async def answer(send: Any, body: bytes, *headers: tuple[bytes, bytes]) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def hello(scope: Any, receive: Any, send: Any) -> None:
    await answer(send, b"Hello, world!", (b"content-type", b"text/plain"))


async def upload(scope: Any, receive: Any, send: Any) -> None:
    digest, size, more = hashlib.sha256(), 0, True
    while more:
        event = await receive()
        digest.update(event["body"])
        size += len(event["body"])
        more = event["more_body"]
    await answer(send, b"%d %b" % (size, digest.hexdigest().encode()))


async def large(scope: Any, receive: Any, send: Any) -> None:
    await answer(send, bytes(range(256)) * 65536)


async def page(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    for path in ("/", "/clock"):
        await send({"type": "http.response.push", "path": path, "headers": []})
    await send({"type": "http.response.body", "body": b"page"})


async def clock(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    for number in range(3):
        await send({"type": "http.response.body", "body": b"%d\n" % number, "more_body": True})
        await asyncio.sleep(0.05)
    await send({"type": "http.response.body"})


async def endless(scope: Any, receive: Any, send: Any) -> None:
    seen["sent"] = 0
    await send({"type": "http.response.start", "status": 200, "headers": []})
    try:
        while True:
            await send({"type": "http.response.body", "body": b"x" * 65536, "more_body": True})
            seen["sent"] += 65536
    except OSError as error:
        seen["endless"] = type(error).__name__
        raise


async def wait(scope: Any, receive: Any, send: Any) -> None:
    seen["wait"] = [(await receive())["type"]]
    while seen["wait"][-1] != "http.disconnect":
        seen["wait"].append((await receive())["type"])


async def fail(scope: Any, receive: Any, send: Any) -> None:
    raise RuntimeError("on purpose")


async def fail_late(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"part", "more_body": True})
    await asyncio.sleep(0.01)
    raise RuntimeError("on purpose")


async def leave(scope: Any, receive: Any, send: Any) -> None:
    sys.exit(7)


async def no_length(scope: Any, receive: Any, send: Any) -> None:
    await answer(send, b"x" * 11, (b"content-length", b"10"))


async def tell(scope: Any, receive: Any, send: Any) -> None:
    await answer(send, json.dumps(seen).encode())


PATHS = {
    "/": hello, "/upload": upload, "/large": large, "/clock": clock, "/endless": endless,
    "/wait": wait, "/fail": fail, "/fail-late": fail_late, "/leave": leave,
    "/no-length": no_length, "/seen": tell, "/page": page,
}  # fmt: skip


class Legacy:
    """ASGI 2."""

    def __init__(self, scope: Any) -> None:
        self.scope = scope

    async def __call__(self, receive: Any, send: Any) -> None:
        await application(self.scope, receive, send)
