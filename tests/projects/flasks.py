"""The common application of tests/loopback/test_frameworks.py, in Flask (WSGI)."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

from flask import Flask, Response, request

seen: dict[str, Any] = {}
let_go: list[threading.Event] = []
application = Flask(__name__)


@application.get("/")
def home() -> str:
    return "Hello, world!"


@application.get("/stream")
def stream() -> Response:
    return Response(b"%d\n" % number for number in range(5))


@application.post("/echo")
def echo() -> Response:
    body = request.stream
    return Response(iter(lambda: body.read(65536), b""))


@application.get("/flood")
def flood() -> Response:
    def parts() -> Iterator[bytes]:
        try:
            while True:
                yield b"x" * 65536
        finally:
            seen["flood"] = "ended"

    return Response(parts())


@application.get("/background")
def background() -> Response:
    let_go.append(threading.Event())

    def later() -> None:
        seen["background"] = "running"
        let_go[-1].wait(60)
        seen["background"] = "done"

    response = Response("accepted")
    response.call_on_close(later)
    return response


@application.get("/finish")
def finish() -> str:
    let_go[-1].set()
    return ""


@application.get("/fail")
def fail() -> str:
    raise RuntimeError("on purpose")


@application.get("/seen")
def tell() -> dict[str, Any]:
    return seen
