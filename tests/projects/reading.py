"""An application that reads the whole body and answers with path and length."""

from __future__ import annotations

from typing import Any


async def application(scope: dict[str, Any], receive: Any, send: Any) -> None:
    if scope["type"] != "http":
        raise ValueError(scope["type"])
    length = 0
    while True:
        event = await receive()
        if event["type"] != "http.request":
            return
        length += len(event["body"])
        if not event["more_body"]:
            break
    await send({"type": "http.response.start", "status": 200})
    await send({"type": "http.response.body", "body": b"%b %d" % (scope["raw_path"], length)})
