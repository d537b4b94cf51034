"""A WebSocket on a stream of HTTP/2 (RFC 8441), on a wire in memory."""

from __future__ import annotations

from typing import Any

from tests.support.h2_blocks import GET
from tests.support.h2_frames import data
from tests.support.h2_peer import H2Peer
from tests.support.websocket_peer import FrameReader

Field = tuple[bytes, bytes]

VERSION = (b"sec-websocket-version", b"13")
DEFLATE = (b"sec-websocket-extensions", b"permessage-deflate")


class Echo:
    """Accepts, and sends back what it receives, until it is told that the socket is closed."""

    def __init__(self, **accept: Any) -> None:
        self.accept = {"type": "websocket.accept", **accept}
        self.scopes: list[Any] = []
        self.ends: list[Any] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.scopes.append(scope)
        assert await receive() == {"type": "websocket.connect"}
        await send(self.accept)
        while (event := await receive())["type"] == "websocket.receive":
            answer = {key: event[key] for key in ("text", "bytes") if event.get(key) is not None}
            await send({"type": "websocket.send", **answer})
        self.ends.append(event)


class Opened:
    """A WebSocket of a peer."""

    def __init__(
        self, peer: H2Peer, *fields: Field, path: bytes = b"/", ends: bool = False
    ) -> None:
        self.peer = peer
        self.number, peer.next = peer.next, peer.next + 2
        self.reader = FrameReader()
        self._read = 0
        section = [
            (b":method", b"CONNECT"), (b":protocol", b"websocket"), *GET[1:3], (b":path", path),
            VERSION, *fields,
        ]  # fmt: skip
        peer.sends(peer.head(self.number, section, ends=ends))

    @property
    def answer(self) -> Any:
        self.peer.read()
        return self.peer.answer(self.number)

    def sends(self, *octets: bytes) -> Opened:
        self.peer.sends(*[data(self.number, part) for part in octets])
        return self

    def frames(self) -> list[Any]:
        """Those that have come since the last time."""
        octets = self.answer.body
        new, self._read = octets[self._read :], len(octets)
        return self.reader.feed(new)

    def payloads(self) -> list[bytes]:
        return [one.payload for one in self.frames()]
