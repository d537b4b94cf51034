"""The embedded demo: a plain ASGI 3 application that shows the server's features in a browser.

`daphne_like.demo:application` needs only the standard library and runs on any ASGI server. This
module only dispatches by scope type; `routes` dispatches by path.
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
        receive: returns the next event of this connection.
        send: sends one message of the response.

    Raises:
        ValueError: an unknown scope type, for which the specification requires an exception.
        OSError: raised by `send` because the peer is gone (ASGI H30, H31).
    """
    if scope["type"] == "http":
        await serve(scope, receive, send)
    elif scope["type"] == "websocket":
        await converse(scope, receive, send)
    elif scope["type"] == "lifespan":
        await attend(receive, send)
    else:
        raise ValueError(f"scope type: expected http, websocket or lifespan, got {scope['type']!r}")
