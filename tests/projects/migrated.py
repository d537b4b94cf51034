"""Tells what the application sees, under any server."""

import asyncio
import json
import os

seen = {"lifespan": False, "requests": 0}


async def application(scope, receive, send):
    if scope["type"] == "lifespan":
        seen["lifespan"] = True
        while True:
            event = await receive()
            await send({"type": f"{event['type']}.complete"})
            if event["type"] == "lifespan.shutdown":
                return
    if scope["type"] == "websocket":
        await talk(receive, send)
        return
    while (await receive()).get("more_body"):
        pass
    seen["requests"] += 1
    if scope["path"] == "/slow":
        await asyncio.sleep(20)
    told = {
        "client": list(scope["client"] or [])[:1],
        "scheme": scope["scheme"],
        "root_path": scope.get("root_path", ""),
        "path": scope["path"],
        "version": scope["http_version"],
        "pid": os.getpid(),
        **seen,
    }
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": json.dumps(told).encode()})


async def talk(receive, send):
    """Echo WebSocket messages."""
    await receive()
    await send({"type": "websocket.accept"})
    while (event := await receive())["type"] == "websocket.receive":
        text = event.get("text") or ""
        await send({"type": "websocket.send", "text": str(len(text))})


def make():
    """Return the application, as a factory."""
    return application
