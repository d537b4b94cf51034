"""What holds for every event that an application receives, on each carrier."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest

from daphne_like.asgi.lifespan import Lifespan
from tests.support.http_clients import Client, HTTP1Client, HTTP2Client
from tests.support.memory import Memory
from tests.support.websocket_frames import Socket, binary, text
from tests.support.websocket_peer import close

Serve = Callable[..., Memory]


def is_plain(value: Any) -> bool:
    """Tell whether a value is of the types that an event may hold, and of no subclass."""
    kind = type(value)
    if kind is dict:
        return all(type(key) is str and is_plain(inner) for key, inner in value.items())
    if kind is list:
        return all(map(is_plain, value))
    if kind is int:
        return bool(-(2**63) <= value < 2**63)
    return kind in (bytes, str, bool, type(None)) or (kind is float and math.isfinite(value))


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        ({"a": [b"b", "c", 1, 1.5, True, None, {}]}, True),
        (2**63 - 1, True),
        (2**63, False),
        (math.nan, False),
        ((1,), False),
        (bytearray(b"a"), False),
        ({b"a": 1}, False),
        ([{"a": {"b": memoryview(b"c")}}], False),
    ],
)
def test_plain(value: Any, plain: bool) -> None:
    """C07: bytes, str, bool, None, 64-bit int, finite float, lists and dicts of those."""
    assert is_plain(value) is plain


@pytest.mark.parametrize("client", [HTTP1Client, HTTP2Client])
def test_http(serve: Serve, client: type[Client]) -> None:
    """C07: http.request in parts, and http.disconnect."""
    events: list[Any] = []

    async def application(scope: Any, receive: Any, send: Any) -> None:
        while not events or events[-1]["type"] != "http.disconnect":
            events.append(await receive())

    carrier = client(serve(application))
    carrier.asks(b"POST", body=b"one", ends=False).more(b"two", ends=True)
    carrier.vanishes()
    assert {event["type"] for event in events} == {"http.request", "http.disconnect"}
    assert all(map(is_plain, events))


def test_websocket(serve: Serve) -> None:
    """C07: both kinds of message, and the code and reason of the client's close."""
    socket = Socket(serve)
    socket.wire.sends(text("a"), binary(b"b"), close(4000, b"bye"))
    events = socket.events()
    assert [event["type"] for event in events] == [
        "websocket.receive",
        "websocket.receive",
        "websocket.disconnect",
    ]
    assert all(map(is_plain, events))


def test_lifespan(serve: Serve) -> None:
    """C07: startup and shutdown."""
    events: list[Any] = []

    async def application(scope: Any, receive: Any, send: Any) -> None:
        for name in ("startup", "shutdown"):
            events.append(await receive())
            await send({"type": f"lifespan.{name}.complete"})

    async def run() -> None:
        lifespan = Lifespan(application, "on")
        await lifespan.startup(5.0)
        await lifespan.shutdown(5.0)

    serve(application).loop.run_until_complete(run())
    assert [event["type"] for event in events] == ["lifespan.startup", "lifespan.shutdown"]
    assert all(map(is_plain, events))
