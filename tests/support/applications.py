"""Small applications, and requests for them."""

from __future__ import annotations

import copy
from typing import Any

DATE = b"Date: Sat, 21 Nov 2026 08:00:00 GMT\r\n"
SERVER = b"Server: daphne-like\r\n"

GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
HEAD = b"HEAD / HTTP/1.1\r\nHost: x\r\n\r\n"
GET_10 = b"GET / HTTP/1.0\r\n\r\n"
GET_CLOSE = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"

ERROR_500 = (
    b"HTTP/1.1 500 Internal Server Error\r\nContent-Type: text/plain; charset=utf-8\r\n"
    b"Content-Length: 22\r\n" + DATE + SERVER + b"Connection: close\r\n\r\nInternal Server Error\n"
)

EXTENSIONS: dict[str, dict[str, Any]] = {
    "http.response.pathsend": {},
    "http.response.zerocopysend": {},
    "http.response.early_hint": {},
    "http.response.trailers": {},
}
"""What a scope of HTTP/1.1 and HTTP/2 advertises."""


def post(body: bytes, *, length: int | None = None) -> bytes:
    """A request with a body, or with the beginning of one."""
    return b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%b" % (
        len(body) if length is None else length,
        body,
    )


def start(status: Any = 200, headers: Any = (), **more: Any) -> dict[str, Any]:
    """http.response.start."""
    return {"type": "http.response.start", "status": status, "headers": headers, **more}


def body(octets: Any = b"", more: Any = False) -> dict[str, Any]:
    """http.response.body."""
    return {"type": "http.response.body", "body": octets, "more_body": more}


def head(status: bytes = b"200 OK", *lines: bytes) -> bytes:
    """The head of an answer, from its lines."""
    return b"".join(
        [b"HTTP/1.1 ", status, b"\r\n", DATE, SERVER, *[line + b"\r\n" for line in lines], b"\r\n"]
    )


def sending(*messages: Any) -> Any:
    """An application that sends these messages and returns."""

    async def application(scope: Any, receive: Any, send: Any) -> None:
        for message in messages:
            await send(message)

    return application


async def read_all(scope: Any, receive: Any, send: Any) -> None:
    """Read the whole body, and answer with its size."""
    size = 0
    while (event := await receive())["type"] == "http.request":
        size += len(event["body"])
        if not event["more_body"]:
            await send(start())
            await send(body(b"%d" % size))
            return


class Spoiling:
    """An application that empties its scope and all that is in it, and answers a request.

    Attributes:
        seen: a copy of each scope as it came.
    """

    def __init__(self) -> None:
        self.seen: list[Any] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.seen.append(copy.deepcopy(scope))
        is_request = scope["type"] == "http"
        for value in scope.values():
            if isinstance(value, list | dict):
                value.clear()
        scope.clear()
        if is_request:
            await send(start())
            await send(body())


class Trying:
    """An application that sends messages and goes on after an error.

    Attributes:
        errors: what `send` raised, None where nothing; one for each message.
    """

    def __init__(self, *messages: Any) -> None:
        self.messages = messages
        self.errors: list[BaseException | None] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        for message in self.messages:
            try:
                await send(message)
            except Exception as error:
                self.errors.append(error)
            else:
                self.errors.append(None)


class Script:
    """An application that a test plays step by step.

    Attributes:
        scope, receive, send: of the latest instance.
        events: what `receive` gave, when `listens` is set.
        ended: how the latest instance ended: "returned", or the exception.
    """

    def __init__(self) -> None:
        self.scope: Any = None
        self.receive: Any = None
        self.send: Any = None
        self.ended: Any = None
        self.wanted: Any = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        import asyncio

        self.scope, self.receive, self.send = scope, receive, send
        self.wanted = wanted = asyncio.get_running_loop().create_future()
        try:
            await wanted
        except BaseException as error:
            self.ended = error
            raise
        self.ended = "returned"

    def returns(self) -> None:
        self.wanted.set_result(None)

    def raises(self, error: BaseException) -> None:
        self.wanted.set_exception(error)
