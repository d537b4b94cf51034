"""The demo's lifespan: it acknowledges each event, because there is nothing to prepare."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from asgiref.typing import ASGIReceiveCallable, ASGISendCallable


async def attend(receive: ASGIReceiveCallable, send: ASGISendCallable) -> None:
    """Acknowledge startup, then shutdown, then return (ASGI lifespan 2.0)."""
    while True:
        event = await receive()
        if event["type"] == "lifespan.startup":
            await send({"type": "lifespan.startup.complete"})
        elif event["type"] == "lifespan.shutdown":
            await send({"type": "lifespan.shutdown.complete"})
            return
