"""An echo for the soak, and what the process holds: tasks, connections, memory."""

from __future__ import annotations

import asyncio
import gc
import json
from collections import Counter
from pathlib import Path
from typing import Any

from daphne_like.http.h1.connection import HTTP1Connection
from daphne_like.reactor.transport import NativeTransport
from daphne_like.websocket.protocol import WebSocketProtocol
from daphne_like.websocket.session import Session

COUNTED = (Session, WebSocketProtocol, HTTP1Connection, NativeTransport)


async def application(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body", "body": json.dumps(figures()).encode()})
    elif scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        await echo(receive, send)
    else:
        raise NotImplementedError(scope["type"])


async def echo(receive: Any, send: Any) -> None:
    while (event := await receive())["type"] == "websocket.receive":
        if event.get("text") == "close":
            await send({"type": "websocket.close", "code": 4000})
        elif event.get("text") == "leave":
            return
        else:
            await send({**event, "type": "websocket.send"})


def figures() -> dict[str, int]:
    """Counts by name, and resident memory in KiB."""
    gc.collect()
    counts = Counter(
        kind.__name__ for one in gc.get_objects() for kind in COUNTED if isinstance(one, kind)
    )
    status = Path("/proc/self/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith("VmRSS:"))
    return {
        **{kind.__name__: counts[kind.__name__] for kind in COUNTED},
        "tasks": len(asyncio.all_tasks()),
        "kibibytes": int(line.split()[1]),
    }
