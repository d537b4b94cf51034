"""Behind a proxy: tells what its scope says, streams events, and counts what it receives."""

import asyncio
import json
import time
import zlib

from daphne_like.runtime.request_start import queue_time
from daphne_like.server import Server

CONNECTIONS = []
BEGUN = []
LEFT = []
ASKED = asyncio.Event()
connected = Server.protocol_connected


def count(server, protocol):
    CONNECTIONS.append(protocol.protocol_name)
    return connected(server, protocol)


Server.protocol_connected = count


def tell(scope):
    fields = [(name.decode(), value.decode("latin-1")) for name, value in scope["headers"]]
    told = {name: scope[name] for name in ("scheme", "client", "root_path", "path", "http_version")}
    told |= {"headers": dict(fields), "connections": len(CONNECTIONS), "begun": BEGUN, "left": LEFT}
    started = dict(scope["headers"]).get(b"x-request-start", b"")
    told["queue_time"] = queue_time(started, time.time())
    return json.dumps(told)


async def application(scope, receive, send):
    if scope["type"] == "websocket":
        await echo(scope, receive, send)
    elif scope["type"] == "http":
        await {"/events": events, "/wait": wait, "/upload": upload}.get(scope["path"], answer)(
            scope, receive, send
        )
    else:
        raise NotImplementedError


async def answer(scope, receive, send, text=None):
    if scope["path"] == "/go":
        ASKED.set()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": (text or tell(scope)).encode()})


async def events(scope, receive, send):
    """The second event is sent when somebody has asked for it."""
    ASKED.clear()
    fields = [(b"content-type", b"text/event-stream"), (b"cache-control", b"no-cache")]
    await send({"type": "http.response.start", "status": 200, "headers": fields})
    await send({"type": "http.response.body", "body": b"data: 1\n\n", "more_body": True})
    ended = asyncio.ensure_future(disconnected(receive))
    await asyncio.wait([ended, asyncio.ensure_future(ASKED.wait())], return_when="FIRST_COMPLETED")
    octets = b"data: 2\n\n"
    while not ended.done():
        await send({"type": "http.response.body", "body": octets, "more_body": True})
        octets = b":\n\n"
        await asyncio.wait([ended], timeout=0.1)
    LEFT.append(scope["path"])


async def wait(scope, receive, send):
    """Nothing is sent."""
    BEGUN.append(scope["path"])
    await disconnected(receive)
    LEFT.append(scope["path"])


async def disconnected(receive):
    while (await receive())["type"] != "http.disconnect":
        pass


async def upload(scope, receive, send):
    size = checksum = 0
    more = True
    while more:
        event = await receive()
        size += len(event["body"])
        checksum = zlib.crc32(event["body"], checksum)
        more = event["more_body"]
    await answer(scope, receive, send, json.dumps([size, checksum]))


async def echo(scope, receive, send):
    await receive()
    await send({"type": "websocket.accept"})
    await send({"type": "websocket.send", "text": tell(scope)})
    while (event := await receive())["type"] == "websocket.receive":
        await send({**event, "type": "websocket.send"})
    LEFT.append(event["code"])
