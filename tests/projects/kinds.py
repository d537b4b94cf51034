"""One application of each kind, for tests/loopback/test_applications.py."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

release = threading.Event()
running = threading.Semaphore(0)


async def asgi3(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "lifespan":
        raise NotImplementedError
    await send({"type": "http.response.start", "status": 200})
    await send({"type": "http.response.body", "body": b"ASGI 3"})


def asgi2(scope: Any) -> Any:
    async def instance(receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            raise NotImplementedError
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body", "body": b"ASGI 2"})

    return instance


def unclear(*args: Any) -> Any:
    return asgi2(*args)


def make(application: str = "asgi3") -> Any:
    return globals()[application]


def app(environ: Any, start_response: Any) -> Any:
    """WSGI, by its path: ends, waits, fails, or never ends."""
    path = environ["PATH_INFO"]
    if path == "/fail":
        raise RuntimeError("on purpose")
    if path == "/exit":
        raise SystemExit(3)
    if path == "/wait":
        print("waiting", flush=True)
        release.wait(60)
    if path == "/release":
        release.set()
    start_response("200 OK", [("Content-Type", "text/plain")])
    if path == "/flood":
        return flood()
    if path == "/late":
        return late()
    return [b"WSGI"]


def flood() -> Iterator[bytes]:
    try:
        while True:
            yield b"x" * 1_000_000
    finally:
        print("flood: closed", flush=True)


def late() -> Iterator[bytes]:
    yield b"before"
    raise RuntimeError("on purpose")
