"""A bare application under a service manager: a start that waits, a blocked loop."""

import asyncio
import os
import time


async def application(scope, receive, send):
    if scope["type"] == "lifespan":
        await lifespan(receive, send)
        return
    body = b"\n".join(sorted(name.encode() for name in os.environ))
    if scope["path"] == "/block":
        time.sleep(2)
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body})


async def lifespan(receive, send):
    await receive()
    print("starting", flush=True)
    while not os.path.exists(os.environ.get("START_WHEN", "/")):
        await asyncio.sleep(0.02)
    await send({"type": "lifespan.startup.complete"})
    await receive()
    await send({"type": "lifespan.shutdown.complete"})
