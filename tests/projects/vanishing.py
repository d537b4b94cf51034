"""Streams of events, with and without events; each tells when its client has gone."""

from __future__ import annotations

import asyncio
import time
from typing import Any


async def application(scope: Any, receive: Any, send: Any) -> None:
    await receive()  # the whole request
    fields = [(b"content-type", b"text/event-stream")]
    await send({"type": "http.response.start", "status": 200, "headers": fields})
    await send({"type": "http.response.body", "body": b": begun\n\n", "more_body": True})
    began = time.monotonic()
    gone = asyncio.ensure_future(receive())
    while not gone.done():
        if scope["path"] == "/busy":
            await send({"type": "http.response.body", "body": b"data: x\n\n", "more_body": True})
        await asyncio.wait([gone], timeout=0.2)
    print(f"{gone.result()['type']} {scope['path']} {time.monotonic() - began:.1f}", flush=True)
