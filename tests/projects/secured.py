"""Answers with what its scope says of TLS, and of who is there."""

from __future__ import annotations

import hashlib
import json
from typing import Any


def told(scope: Any) -> str:
    known = {"scheme": scope["scheme"], "client": scope["client"], "server": scope["server"]}
    return json.dumps({**known, "tls": scope["extensions"].get("tls")})


async def application(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.send", "text": told(scope)})
        await receive()
        return
    if scope["type"] == "lifespan":
        for kind in ("startup", "shutdown"):
            await receive()
            await send({"type": f"lifespan.{kind}.complete"})
        return
    body = told(scope).encode()
    if scope["method"] == "POST":
        digest = hashlib.sha256()
        event = {"more_body": True}
        while event["more_body"]:
            event = await receive()
            digest.update(event["body"])
        body = digest.hexdigest().encode()
    elif scope["path"] == "/large":
        body = bytes(range(256)) * 65536
    length = b"%d" % len(body)
    start = {"type": "http.response.start", "status": 200}
    await send({**start, "headers": [(b"content-length", length)]})
    await send({"type": "http.response.body", "body": body})
