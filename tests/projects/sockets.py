"""Bare WebSocket applications, by path, and HTTP to ask and to tell them."""

from __future__ import annotations

import asyncio
import json
from typing import Any

seen: dict[str, Any] = {}
"""By the query string of the WebSocket: what its application has seen."""
go = asyncio.Event()


async def application(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "http":
        await over_http(scope, send)
    elif scope["type"] == "websocket":
        assert (await receive()) == {"type": "websocket.connect"}
        name = scope["query_string"].decode()
        await PATHS[scope["path"]](scope, receive, send, seen.setdefault(name, {}))
    else:
        raise NotImplementedError(scope["type"])


async def over_http(scope: Any, send: Any) -> None:
    if scope["path"] == "/go":
        go.set()
    headers = [(b"content-type", b"application/json")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": json.dumps(seen).encode()})


async def until_disconnect(receive: Any, notes: dict[str, Any]) -> None:
    while (event := await receive())["type"] != "websocket.disconnect":
        pass
    notes["disconnect"] = [event["code"], event["reason"]]


async def echo(scope: Any, receive: Any, send: Any, notes: dict[str, Any]) -> None:
    await send({"type": "websocket.accept"})
    while (event := await receive())["type"] == "websocket.receive":
        await send({**event, "type": "websocket.send"})
    notes["disconnect"] = [event["code"], event["reason"]]


async def tell(scope: Any, receive: Any, send: Any, notes: dict[str, Any]) -> None:
    """Accepts with all that one can accept with, and tells its scope."""
    await send(
        {
            "type": "websocket.accept",
            "subprotocol": "chat" if "chat" in scope["subprotocols"] else None,
            "headers": [(b"x-own", b"1"), (b"set-cookie", b"a=b"), (b"set-cookie", b"c=d")],
        }
    )
    told = {
        name: scope[name] for name in ("type", "scheme", "path", "subprotocols", "http_version")
    }
    told["client"] = scope["client"]
    told["headers"] = [[name.decode(), value.decode("latin-1")] for name, value in scope["headers"]]
    await send({"type": "websocket.send", "text": json.dumps(told)})
    await until_disconnect(receive, notes)


async def close(scope: Any, receive: Any, send: Any, notes: dict[str, Any]) -> None:
    """Closes as it is told: {"code": ..., "reason": ...}."""
    await send({"type": "websocket.accept"})
    message = json.loads((await receive())["text"])
    await send({"type": "websocket.close", **message})
    await until_disconnect(receive, notes)


async def leave(scope: Any, receive: Any, send: Any, notes: dict[str, Any]) -> None:
    await send({"type": "websocket.accept"})


async def fail(scope: Any, receive: Any, send: Any, notes: dict[str, Any]) -> None:
    await send({"type": "websocket.accept"})
    raise RuntimeError("on purpose")


async def refuse(scope: Any, receive: Any, send: Any, notes: dict[str, Any]) -> None:
    await send({"type": "websocket.close"})


async def deny(scope: Any, receive: Any, send: Any, notes: dict[str, Any]) -> None:
    start = "websocket.http.response.start"
    headers = [(b"www-authenticate", b"Bearer"), (b"content-type", b"text/plain")]
    await send({"type": start, "status": 401, "headers": headers})
    for part, more in ((b"who ", True), (b"are you?", False)):
        body = "websocket.http.response.body"
        await send({"type": body, "body": part, "more_body": more})


async def undecided(scope: Any, receive: Any, send: Any, notes: dict[str, Any]) -> None:
    """Never accepts."""
    print("undecided", flush=True)
    await until_disconnect(receive, notes)


async def flood(scope: Any, receive: Any, send: Any, notes: dict[str, Any]) -> None:
    """Sends without end."""
    await send({"type": "websocket.accept"})
    notes["sent"] = 0
    message = {"type": "websocket.send", "bytes": b"x" * int(scope["query_string"])}
    try:
        while True:
            await send(message)
            notes["sent"] += 1
    except OSError as error:
        notes["ended"] = type(error).__name__
    await until_disconnect(receive, notes)


async def asleep(scope: Any, receive: Any, send: Any, notes: dict[str, Any]) -> None:
    """Reads nothing until it is told to, then everything."""
    await send({"type": "websocket.accept"})
    notes["octets"] = 0
    await go.wait()
    while (event := await receive())["type"] == "websocket.receive":
        notes["octets"] += len(event["bytes"])
    notes["disconnect"] = [event["code"], event["reason"]]


PATHS = {
    "/echo": echo, "/tell": tell, "/close": close, "/leave": leave, "/fail": fail,
    "/refuse": refuse, "/deny": deny, "/undecided": undecided, "/flood": flood,
    "/asleep": asleep,
}  # fmt: skip
