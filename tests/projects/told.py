"""Tells what a scope says about the two ends of a connection, and what carries it."""

import gc
import json

from daphne_like.http.h1.connection import HTTP1Connection


async def application(scope, receive, send):
    if scope["type"] == "lifespan":
        raise NotImplementedError
    told = {name: scope[name] for name in ("type", "scheme", "client", "server")}
    if scope["type"] == "http":
        told["carried_by"] = carried_by()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": json.dumps(told).encode()})
        return
    await receive()
    await send({"type": "websocket.accept"})
    await send({"type": "websocket.send", "text": json.dumps(told)})
    while (event := await receive())["type"] == "websocket.receive":
        await send({**event, "type": "websocket.send"})


def carried_by():
    """The kinds of transports below each open connection, outermost first."""
    found = []
    for connection in gc.get_objects():
        if isinstance(connection, HTTP1Connection):
            transport, kinds = connection.transport, []
            while transport is not None:
                kinds.append(f"{type(transport).__module__}.{type(transport).__name__}")
                transport = getattr(transport, "__dict__", {}).get("transport")
            connections = connection.context.connected.__self__.connections
            if connection in connections:
                found.append(kinds)
    return found
