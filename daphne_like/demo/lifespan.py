"""The demo's lifespan: nothing to prepare, nothing to put away, and it says so when asked."""

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
