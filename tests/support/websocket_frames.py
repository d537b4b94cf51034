"""Both ends of a WebSocket on a wire in memory: the client's octets, the application's messages."""

from __future__ import annotations

import asyncio
import struct
from typing import Any

from tests.support.applications import DATE, SERVER, Script
from tests.support.memory import Memory
from tests.support.websocket_opcodes import BINARY, CLOSE, TEXT
from tests.support.websocket_peer import ACCEPT, KEY, Frame, frame, read_frames

FIELDS = {
    b"Host": b"x",
    b"Upgrade": b"websocket",
    b"Connection": b"Upgrade",
    b"Sec-WebSocket-Key": KEY,
    b"Sec-WebSocket-Version": b"13",
}

SWITCHED = (
    b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n" + DATE + SERVER
    + b"Upgrade: websocket\r\nSec-WebSocket-Accept: " + ACCEPT + b"\r\n\r\n"
)  # fmt: skip

ACCEPTS = {"type": "websocket.accept"}
CONNECT = {"type": "websocket.connect"}


def opening(*lines: bytes, line: bytes = b"GET /chat HTTP/1.1", **changed: bytes | None) -> bytes:
    """An opening handshake.

    Args:
        lines: further field lines.
        line: the request line.
        changed: fields by name with _ for -, in the place of the usual value; None for none.
    """
    fields = dict(FIELDS)
    for name, value in changed.items():
        wanted = name.replace("_", "-").lower().encode()
        (usual,) = [known for known in fields if known.lower() == wanted]
        if value is None:
            del fields[usual]
        else:
            fields[usual] = value
    usual_lines = [b"%b: %b" % pair for pair in fields.items()]
    return b"\r\n".join((line, *usual_lines, *lines, b"", b""))


OPENING = opening()


def switched(*lines: bytes) -> bytes:
    """The whole answer to an accepted handshake, with further field lines."""
    start, upgrade, end = SWITCHED.partition(b"Upgrade: websocket\r\n")
    return start + b"".join(line + b"\r\n" for line in lines) + upgrade + end


def refused(status: bytes, text: bytes, *lines: bytes) -> bytes:
    """The whole answer of a server that refuses a request."""
    return b"".join(
        (
            b"HTTP/1.1 %b\r\nContent-Type: text/plain; charset=utf-8\r\n" % status,
            b"Content-Length: %d\r\n" % (len(text) + 1),
            *[line + b"\r\n" for line in lines],
            DATE, SERVER, b"Connection: close\r\n\r\n", text, b"\n",
        )
    )  # fmt: skip


# Frames of a client.


def text(characters: str) -> bytes:
    """A text message in one frame."""
    return frame(TEXT, characters.encode())


def binary(octets: bytes) -> bytes:
    """A binary message in one frame."""
    return frame(BINARY, octets)


def closing(code: int | None, reason: bytes = b"") -> Frame:
    """The close frame of a server."""
    return Frame(CLOSE, b"" if code is None else struct.pack(">H", code) + reason)


# What the application gets and sends.


def got(message: str | bytes) -> dict[str, Any]:
    """websocket.receive."""
    kind = "text" if isinstance(message, str) else "bytes"
    return {"type": "websocket.receive", kind: message}


def disconnected(code: int, reason: str = "") -> dict[str, Any]:
    """websocket.disconnect."""
    return {"type": "websocket.disconnect", "code": code, "reason": reason}


def sends_text(characters: Any) -> dict[str, Any]:
    """websocket.send with text."""
    return {"type": "websocket.send", "text": characters}


def sends_bytes(octets: Any) -> dict[str, Any]:
    """websocket.send with bytes."""
    return {"type": "websocket.send", "bytes": octets}


def closes(code: Any = 1000, reason: Any = "") -> dict[str, Any]:
    """websocket.close."""
    return {"type": "websocket.close", "code": code, "reason": reason}


class Socket:
    """One WebSocket from both ends: `wire` is the client's, `script` the application.

    Args:
        serve: the fixture.
        lines: field lines beside the usual ones of the handshake.
        accept: the application's answer; None for none yet.
        settings: of the server.
    """

    def __init__(
        self,
        serve: Any,
        *lines: bytes,
        accept: dict[str, Any] | None = ACCEPTS,
        **settings: Any,
    ) -> None:
        self.script = Script()
        self.memory: Memory = serve(self.script, **settings)
        self.wire = self.memory.connect().sends(opening(*lines))
        self.answer = b""
        if accept is not None:
            assert self.receives() == CONNECT
            self.sends(accept)
            self.answer = self.wire.take()
            self.wire.writes.clear()

    # The application's end.

    def starts(self, message: dict[str, Any]) -> asyncio.Task[None]:
        """The application sends; the task of its `send`, which may wait."""
        task = self.memory.loop.create_task(self.script.send(message))
        self.memory.settle()
        return task

    def sends(self, *messages: dict[str, Any]) -> None:
        """The application sends, and goes on."""
        for message in messages:
            task = self.starts(message)
            assert task.done(), "send waits"
            task.result()

    def receives(self) -> dict[str, Any]:
        """The application's next event, which is there."""
        task = self.memory.loop.create_task(self.script.receive())
        self.memory.settle()
        if not task.done():
            task.cancel()
            self.memory.settle()
            raise AssertionError("no event is there")
        return task.result()

    def events(self) -> list[dict[str, Any]]:
        """All events that are there, up to the last one."""
        found = []
        while not found or found[-1]["type"] != "websocket.disconnect":
            task = self.memory.loop.create_task(self.script.receive())
            self.memory.settle()
            if not task.done():
                task.cancel()
                self.memory.settle()
                break
            found.append(task.result())
        return found

    # The client's end.

    def frames(self) -> list[Frame]:
        """What the server has sent since the last time."""
        return read_frames(self.wire.take())
