"""The embedded demo: a bare ASGI 3 application that shows in a browser what its server does.

`daphne_like.demo:application` needs nothing but the standard library and runs on any ASGI server.
This module only tells the scope types apart; which part of the demo it is for is in `routes`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from daphne_like.demo.lifespan import attend
from daphne_like.demo.routes import converse, serve

if TYPE_CHECKING:
    from asgiref.typing import ASGIReceiveCallable, ASGISendCallable, Scope

__all__ = ["application"]


async def application(scope: Scope, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
    """Answer one HTTP request, attend one lifespan, or hold one WebSocket conversation.

    Args:
        scope: the connection's scope (ASGI 3.0).
        receive: yields the events of this connection.
        send: takes the events of the answer.

    Raises:
        ValueError: a scope type that ASGI may grow later; the specification wants an exception.
        OSError: the server says out of `send` that the peer is gone (ASGI H30, H31).
    """
    if scope["type"] == "http":
        await serve(scope, receive, send)
    elif scope["type"] == "websocket":
        await converse(scope, receive, send)
    elif scope["type"] == "lifespan":
        await attend(receive, send)
    else:
        raise ValueError(f"scope type: expected http, websocket or lifespan, got {scope['type']!r}")
