"""The common application of tests/loopback/test_frameworks.py, in Falcon's WSGI half."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import falcon

seen: dict[str, Any] = {}


class Home:
    def on_get(self, request: Any, response: Any) -> None:
        response.text = "Hello, world!"


class Stream:
    def on_get(self, request: Any, response: Any) -> None:
        response.stream = (b"%d\n" % number for number in range(5))


class Echo:
    def on_post(self, request: Any, response: Any) -> None:
        body = request.stream
        response.stream = iter(lambda: body.read(65536), b"")


class Flood:
    def on_get(self, request: Any, response: Any) -> None:
        def parts() -> Iterator[bytes]:
            try:
                while True:
                    yield b"x" * 65536
            finally:
                seen["flood"] = "ended"

        response.stream = parts()


class Fail:
    def on_get(self, request: Any, response: Any) -> None:
        raise RuntimeError("on purpose")


class Tell:
    def on_get(self, request: Any, response: Any) -> None:
        response.media = seen


application = falcon.App()
for path, resource in {
    "/": Home(), "/stream": Stream(), "/echo": Echo(), "/flood": Flood(), "/fail": Fail(),
    "/seen": Tell(),
}.items():  # fmt: skip
    application.add_route(path, resource)
