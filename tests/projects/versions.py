"""Says in which version of HTTP it was asked, and on which connection; its WebSocket echoes too."""

from __future__ import annotations

import json
from typing import Any


def told(scope: Any) -> str:
    return json.dumps({name: scope[name] for name in ("type", "scheme", "http_version", "client")})


async def application(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "http":
        headers = [(b"content-type", b"text/plain")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": told(scope).encode()})
        return
    if scope["type"] != "websocket":
        raise NotImplementedError(scope["type"])
    await receive()
    await send({"type": "websocket.accept"})
    await send({"type": "websocket.send", "text": told(scope)})
    while (event := await receive())["type"] == "websocket.receive":
        await send({"type": "websocket.send", "text": event["text"]})
