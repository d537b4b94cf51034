"""An application whose process has a fixed limit of descriptors, and which tells about them."""

from __future__ import annotations

import os
import resource
from typing import Any

LIMIT = 200
held: list[int] = []


async def application(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "lifespan":
        await receive()
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (LIMIT, hard))
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})
        return
    os.close(os.open(os.devnull, os.O_RDONLY))  # there is a reserve for this
    if scope["path"] == "/hold":  # as an application does that forgets its files
        held.extend(os.open(os.devnull, os.O_RDONLY) for _ in range(LIMIT - 80))
    used = len(os.listdir("/proc/self/fd"))
    spent = sum(os.times()[:2])
    body = f"{os.getpid()} {used} {spent}".encode()
    fields = [(b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": fields})
    await send({"type": "http.response.body", "body": body})
