"""What a server answers to an opening handshake."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.support.applications import Script, sending
from tests.support.memory import Memory
from tests.support.websocket_frames import ACCEPTS, SWITCHED

Serve = Callable[..., Memory]

# Accepted, and the connection is open when the application has returned.
CLOSED_1000 = SWITCHED + b"\x88\x02\x03\xe8"


def answer(serve: Serve, request: bytes, **settings: Any) -> bytes:
    """All that a server sends whose application accepts and returns."""
    return serve(sending(ACCEPTS), **settings).connect().sends(request).take()


def unseen(serve: Serve, request: bytes, **settings: Any) -> bytes:
    """The answer to a request that no application gets to see."""
    script = Script()
    octets = serve(script, **settings).connect().sends(request).take()
    assert script.scope is None
    return octets
