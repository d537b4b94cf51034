"""The application that the suite expects: every message comes back as it is.

Peers import it too, with nothing but the standard library.
"""

from __future__ import annotations

from typing import Any


async def application(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Accept, and send back what comes until the peer has gone."""
    if scope["type"] != "websocket":
        raise ValueError(f"expected a WebSocket, got {scope['type']}")
    await receive()
    await send({"type": "websocket.accept"})
    while True:
        event = await receive()
        if event["type"] == "websocket.disconnect":
            return
        text = event.get("text")
        answer = {"bytes": event["bytes"]} if text is None else {"text": text}
        try:
            await send({"type": "websocket.send", **answer})
        except OSError:
            # The peer went in the meantime (ASGI, "Send: disconnected client").
            return
