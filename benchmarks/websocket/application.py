"""The WebSocket side of the application that every contender serves.

It also runs in the peers' interpreters, so it imports the standard library only. Events are built
for each message, as in real applications.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from asgiref.typing import (
        ASGIReceiveCallable,
        ASGISendCallable,
        WebSocketAcceptEvent,
        WebSocketScope,
    )

    Route = Callable[[ASGIReceiveCallable, ASGISendCallable], Awaitable[None]]

NEWS = "stop 471: next tram in 3 minutes"
"""The broadcast message: 32 octets of text."""

_subscribers: dict[object, ASGISendCallable] = {}


async def application(
    scope: WebSocketScope, receive: ASGIReceiveCallable, send: ASGISendCallable
) -> None:
    """Serve each path of :data:`ROUTES`; other paths are refused."""
    await receive()
    route = ROUTES.get(scope["path"])
    if route is None:
        await send({"type": "websocket.close", "code": 1000, "reason": None})
        return
    accept: WebSocketAcceptEvent = {"type": "websocket.accept", "subprotocol": None, "headers": []}
    await send(accept)
    await route(receive, send)


async def _echo(receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
    while True:
        event = await receive()
        if event["type"] != "websocket.receive":
            return
        text = event.get("text")
        if text is not None:
            await send({"type": "websocket.send", "text": text, "bytes": None})
        else:
            await send({"type": "websocket.send", "text": None, "bytes": event["bytes"]})


async def _broadcast(receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
    """For each message received, send NEWS to all connections, one after the other, in order."""
    own = object()
    _subscribers[own] = send
    try:
        while (await receive())["type"] == "websocket.receive":
            for subscriber in tuple(_subscribers.values()):
                await subscriber({"type": "websocket.send", "text": NEWS, "bytes": None})
    finally:
        del _subscribers[own]


ROUTES: dict[str, Route] = {"/echo": _echo, "/broadcast": _broadcast}
