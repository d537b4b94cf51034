"""The ASGI application that every contender serves, one path for each workload.

The WebSocket side is in :mod:`benchmarks.websocket.application`. Both also run in the peers'
interpreters, so they import the standard library only. Nothing is tuned to a server: messages are
built for each request, as in real applications.
"""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.websocket import application as websocket

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from asgiref.typing import (
        ASGIReceiveCallable,
        ASGISendCallable,
        HTTPResponseBodyEvent,
        HTTPResponseStartEvent,
        HTTPScope,
        Scope,
    )

    Route = Callable[[ASGIReceiveCallable, ASGISendCallable], Awaitable[None]]
    ScopeRoute = Callable[[HTTPScope, ASGISendCallable], Awaitable[None]]

HELLO_BODY = b"Hello, world!"
STREAM_CHUNK = b"0123456789" * 10
STREAM_CHUNKS = 10
BIG_BODY = b"0123456789abcdef" * 6250
"""100 kB."""
FILE_BLOCK = bytes(range(250)) * 400
"""100 kB."""
FILES = {"/pathsend-1M": 10, "/pathsend-100M": 1000}
"""Paths of files, and the number of blocks in each."""
FILE_CHUNK_OCTETS = 65536
HTTP_VERSION_PATH = "/http-version"
GIGABYTE = 1_000_000_000
CHUNK_OCTETS = 100_000
"""Size of the chunks in which a body is offered or downloaded."""
SLOW_APPLICATION_PAUSE_SECONDS = 1.0


async def application(scope: Scope, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
    """Answer lifespan, WebSockets, and each path of a table of routes; other paths are 404.

    Paths are compared in decoded form, so a server that decodes escapes wrongly fails the check
    before the measurement.
    """
    if scope["type"] == "http" and scope["path"] in SCOPE_ROUTES:
        await SCOPE_ROUTES[scope["path"]](scope, send)
    elif scope["type"] == "http":
        await ROUTES.get(scope["path"], _not_found)(receive, send)
    elif scope["type"] == "websocket":
        await websocket.application(scope, receive, send)
    elif scope["type"] == "lifespan":
        await _lifespan(receive, send)
    else:
        raise NotImplementedError(f"scope type: not expected: {scope['type']}")


async def _lifespan(receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
    while True:
        event = await receive()
        if event["type"] == "lifespan.startup":
            await send({"type": "lifespan.startup.complete"})
        elif event["type"] == "lifespan.shutdown":
            await send({"type": "lifespan.shutdown.complete"})
            return


def _start(content_type: bytes, length: int | None, status: int = 200) -> HTTPResponseStartEvent:
    headers = [(b"content-type", content_type)]
    if length is not None:
        headers.append((b"content-length", b"%d" % length))
    return {
        "type": "http.response.start",
        "status": status,
        "headers": headers,
        "trailers": False,
    }


def _body(body: bytes, more_body: bool = False) -> HTTPResponseBodyEvent:
    return {"type": "http.response.body", "body": body, "more_body": more_body}


async def _not_found(receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
    await send(_start(b"text/plain", 0, status=404))
    await send(_body(b""))


async def _hello(receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
    # Written out in full, so that the application adds as little as possible to the figure.
    await send(
        {
            "type": "http.response.start",
            "status": 200,
            "headers": [(b"content-type", b"text/plain"), (b"content-length", b"13")],
            "trailers": False,
        }
    )
    await send({"type": "http.response.body", "body": HELLO_BODY, "more_body": False})


async def _json(receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
    body = b""
    more_body = True
    while more_body:
        event = await receive()
        if event["type"] != "http.request":
            return
        body += event.get("body", b"")
        more_body = event.get("more_body", False)
    order = json.loads(body)
    total = sum(line["price"] * line["count"] for line in order["lines"])
    answer = json.dumps({"customer": order["customer"], "total": total}).encode()
    await send(_start(b"application/json", len(answer)))
    await send(_body(answer))


async def _stream(receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
    await send(_start(b"text/plain", None))
    for _ in range(STREAM_CHUNKS):
        await send(_body(STREAM_CHUNK, more_body=True))
    await send(_body(b""))


async def _big(receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
    await send(_start(b"application/octet-stream", len(BIG_BODY)))
    await send(_body(BIG_BODY))


async def _file(scope: HTTPScope, send: ASGISendCallable) -> None:
    """Send a file by pathsend, or in chunks like Starlette's FileResponse if that is missing."""
    blocks = FILES[scope["path"]]
    # In the server's working directory, which is removed with the server.
    path = Path(os.curdir, scope["path"][1:]).absolute()  # noqa: ASYNC240 # once
    if not path.exists():
        path.write_bytes(FILE_BLOCK * blocks)
    await send(_start(b"application/octet-stream", len(FILE_BLOCK) * blocks))
    if "http.response.pathsend" in (scope.get("extensions") or {}):
        message: Any = {"type": "http.response.pathsend", "path": os.fspath(path)}
        await send(message)  # asgiref has no type for it
        return
    with path.open("rb") as file:
        while chunk := await asyncio.to_thread(file.read, FILE_CHUNK_OCTETS):
            await send(_body(chunk, more_body=True))
    await send(_body(b""))


async def _http_version(scope: HTTPScope, send: ASGISendCallable) -> None:
    """Respond with the scope's HTTP version."""
    version = scope["http_version"].encode()
    await send(_start(b"text/plain", len(version)))
    await send(_body(version))


async def _upload(receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
    count = 0
    more_body = True
    while more_body:
        event = await receive()
        if event["type"] != "http.request":
            return
        count += len(event.get("body", b""))
        more_body = event.get("more_body", False)
    answer = b"%d" % count
    await send(_start(b"text/plain", len(answer)))
    await send(_body(answer))


async def _slow_reader(receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
    await _offer(GIGABYTE, send)


async def _download(receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
    """Send as many octets as the request's body says; that body is one event."""
    event = await receive()
    if event["type"] == "http.request":
        await _offer(int(event.get("body", b"")), send)


async def _offer(octets: int, send: ASGISendCallable) -> None:
    """Send a body in chunks of new memory, so that chunks that a server keeps show in its RSS."""
    await send(_start(b"application/octet-stream", octets))
    for _ in range(octets // CHUNK_OCTETS):
        await send(_body(b"x" * CHUNK_OCTETS, more_body=True))
    await send(_body(b"x" * (octets % CHUNK_OCTETS)))


async def _slow_application(receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
    """Receive one chunk a second, however fast the client sends."""
    more_body = True
    while more_body:
        event = await receive()
        if event["type"] != "http.request":
            return
        more_body = event.get("more_body", False)
        await asyncio.sleep(SLOW_APPLICATION_PAUSE_SECONDS)
    await send(_start(b"text/plain", 0))
    await send(_body(b""))


ROUTES: dict[str, Route] = {
    "/": _hello,
    "/menu/caf\u00e9 cr\u00e8me": _hello,
    "/json": _json,
    "/stream": _stream,
    "/big": _big,
    "/upload": _upload,
    "/download": _download,
    "/slow-reader": _slow_reader,
    "/slow-application": _slow_application,
}

SCOPE_ROUTES: dict[str, ScopeRoute] = {
    **dict.fromkeys(FILES, _file),
    HTTP_VERSION_PATH: _http_version,
}
"""The routes whose application needs the scope."""
