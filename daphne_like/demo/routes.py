"""Dispatches paths and methods to the parts of the demo.

There are two tables, for HTTP and for WebSocket. The only responses of this module are errors such
as 404 and 405.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from daphne_like.demo.answers import TEXT, answer
from daphne_like.demo.chat import Chat
from daphne_like.demo.events import send_events
from daphne_like.demo.page import show_page
from daphne_like.demo.scope_view import show_scope
from daphne_like.demo.stream import send_stream
from daphne_like.demo.upload import take_upload

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from asgiref.typing import (
        ASGIReceiveCallable,
        ASGISendCallable,
        HTTPScope,
        WebSocketCloseEvent,
        WebSocketScope,
    )

    Endpoint = Callable[[HTTPScope, ASGIReceiveCallable, ASGISendCallable], Awaitable[None]]
    WebSocketEndpoint = Callable[
        [WebSocketScope, ASGIReceiveCallable, ASGISendCallable], Awaitable[None]
    ]

ROUTES: dict[str, dict[str, Endpoint]] = {
    "/": {"GET": show_page, "HEAD": show_page},
    "/scope": {"GET": show_scope, "HEAD": show_scope},
    "/stream": {"GET": send_stream},
    "/upload": {"POST": take_upload},
    "/events": {"GET": send_events},
}

WEBSOCKET_ROUTES: dict[str, WebSocketEndpoint] = {"/chat": Chat()}

NOTHING_HERE: WebSocketCloseEvent = {
    "type": "websocket.close",
    "code": 4404,
    "reason": "there is nothing at this path",
}
"""Before the accept, the server answers it with 403; the code appears only in the server's log."""


def local_path(scope: HTTPScope | WebSocketScope) -> str:
    """Return the path below `root_path`; not all servers include `root_path` in it (ASGI H08)."""
    path, root_path = scope["path"], scope.get("root_path", "").rstrip("/")
    if root_path and path.startswith(root_path + "/"):
        return path[len(root_path) :]
    return path


async def serve(scope: HTTPScope, receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
    """Answer one request: by its route, or 404, or 405 with Allow (RFC 9110, 15.5.6)."""
    methods = ROUTES.get(local_path(scope))
    head_only = scope["method"] == "HEAD"
    if methods is None:
        await answer(send, 404, TEXT, b"There is nothing at this path.\n", head_only=head_only)
        return
    endpoint = methods.get(scope["method"])
    if endpoint is None:
        allow = (b"allow", ", ".join(methods).encode("ascii"))
        content = b"This path does not take that method.\n"
        await answer(send, 405, TEXT, content, fields=[allow], head_only=head_only)
        return
    await endpoint(scope, receive, send)


async def converse(
    scope: WebSocketScope, receive: ASGIReceiveCallable, send: ASGISendCallable
) -> None:
    """Hold one WebSocket conversation: by its route, or refuse the handshake (ASGI W31)."""
    endpoint = WEBSOCKET_ROUTES.get(local_path(scope))
    if endpoint is None:
        await receive()  # websocket.connect
        await send(NOTHING_HERE)
        return
    await endpoint(scope, receive, send)
