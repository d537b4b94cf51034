"""The client's side of RFC 6455 in octets: frames, the opening handshake, a strict reader."""

from __future__ import annotations

import itertools
import socket
from typing import NamedTuple

from tests.support.websocket_opcodes import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT

KEY = b"dGhlIHNhbXBsZSBub25jZQ=="
ACCEPT = b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
"""What RFC 6455, 1.3, answers to that key."""

MAY_BE_RECEIVED = frozenset((*range(1000, 1004), *range(1007, 1015), *range(3000, 5000)))
"""Close codes that a frame may carry."""


class Frame(NamedTuple):
    """One frame of the server."""

    opcode: int
    payload: bytes
    fin: bool = True
    rsv1: bool = False

    @property
    def code(self) -> int | None:
        """The code of a close frame."""
        return int.from_bytes(self.payload[:2], "big") if self.payload else None


def opening(path: bytes = b"/", *fields: bytes, host: bytes = b"127.0.0.1") -> bytes:
    """A valid opening handshake.

    Args:
        path: request target.
        fields: further field lines, without their ends.
        host: value of Host.
    """
    lines = (
        b"GET %b HTTP/1.1" % path, b"Host: " + host, b"Upgrade: websocket", b"Connection: Upgrade",
        b"Sec-WebSocket-Version: 13", b"Sec-WebSocket-Key: " + KEY, *fields, b"", b"",
    )  # fmt: skip
    return b"\r\n".join(lines)


_masks = itertools.count(1)


def put_mask(payload: bytes, mask: bytes) -> bytes:
    """Return the payload with the mask on, or off."""
    size = len(payload)
    repeated = (mask * (size // 4 + 1))[:size]
    return (int.from_bytes(payload, "big") ^ int.from_bytes(repeated, "big")).to_bytes(size, "big")


def frame(
    opcode: int,
    payload: bytes = b"",
    *,
    fin: bool = True,
    rsv1: bool = False,
    rsv: int = 0,
    mask: bytes | None = None,
    masked: bool = True,
    length: int | None = None,
    form: int | None = None,
) -> bytes:
    """Return a frame of the client, good or bad (RFC 6455, 5.2 and 5.3).

    Args:
        opcode: 0 to 15.
        payload: before masking.
        fin: it is the last of its message.
        rsv1: it is compressed.
        rsv: the three reserved bits as a number, if not rsv1 alone.
        mask: four octets; other ones each time, if none are given.
        masked: a client's frames have to be.
        length: what the head says, if it lies.
        form: 7, 16 or 64 bits of length; the shortest by default.
    """
    size = len(payload) if length is None else length
    if form is None:
        form = 7 if size < 126 else 16 if size < 65536 else 64
    bit = 0x80 if masked else 0
    head = bytes([fin << 7 | (4 if rsv1 else rsv) << 4 | opcode])
    if form == 7:
        head += bytes([bit | size])
    else:
        head += bytes([bit | (126 if form == 16 else 127)]) + size.to_bytes(form // 8, "big")
    if not masked:
        return head + payload
    if mask is None:
        mask = (next(_masks) * 2654435761 % 2**32).to_bytes(4, "big")
    return head + mask + put_mask(payload, mask)


def close(code: int | None = 1000, reason: bytes = b"") -> bytes:
    """Return a close frame of the client."""
    return frame(CLOSE, b"" if code is None else code.to_bytes(2, "big") + reason)


class FrameReader:
    """Reads frames of a server; what a server must not send is a failure (RFC 6455, 5.2, 5.5)."""

    def __init__(self) -> None:
        self.octets = bytearray()

    def feed(self, octets: bytes) -> list[Frame]:
        """The frames that are whole now."""
        self.octets += octets
        frames = []
        while (one := self._next()) is not None:
            frames.append(one)
        return frames

    def _next(self) -> Frame | None:
        octets = self.octets
        if len(octets) < 2:
            return None
        first, size = octets[0], octets[1]
        assert size < 0x80, "a server masks nothing"
        assert not first & 0x30, "nothing defines RSV2 and RSV3"
        start = 2
        if size > 125:
            start = 4 if size == 126 else 10
            if len(octets) < start:
                return None
            size = int.from_bytes(octets[2:start], "big")
            assert size > (125 if start == 4 else 65535), "the length is not the shortest"
        if len(octets) < start + size:
            return None
        payload = bytes(octets[start : start + size])
        del octets[: start + size]
        one = Frame(first & 0x0F, payload, bool(first & 0x80), bool(first & 0x40))
        assert one.opcode in (CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG)
        if one.opcode >= CLOSE:
            assert one.fin
            assert size < 126
        if one.opcode == CLOSE:
            assert size != 1
            assert one.code is None or one.code in MAY_BE_RECEIVED, one
            payload[2:].decode()
        return one


def read_frames(octets: bytes) -> list[Frame]:
    """Return the frames of a server that the octets are, all of them whole."""
    reader = FrameReader()
    frames = reader.feed(octets)
    assert not reader.octets, "a part of a frame"
    return frames


class Peer:
    """A client on a blocking socket, whose timeout is the deadline of each wait.

    Args:
        connection: connected; TLS is on it already.
        preface: goes out before the first octet, in the same segment.

    Attributes:
        head: the answer to the handshake, up to its empty line.
    """

    def __init__(self, connection: socket.socket, preface: bytes = b"") -> None:
        self.connection = connection
        self.preface = preface
        self.head = b""
        self._reader = FrameReader()
        self._frames: list[Frame] = []

    def open(self, path: bytes = b"/", *fields: bytes) -> Peer:
        """Shake hands, and be accepted."""
        self.sends(opening(path, *fields))
        return self.is_accepted()

    def is_accepted(self) -> Peer:
        """Read the answer to the handshake."""
        head, rest = self.read_head()
        self.head = head
        assert head.startswith(b"HTTP/1.1 101 Switching Protocols\r\n"), head
        assert b"\r\nSec-WebSocket-Accept: %b\r\n" % ACCEPT in head, head
        self._frames += self._reader.feed(rest)
        return self

    def read_head(self) -> tuple[bytes, bytes]:
        """The head of the answer, and what came behind it."""
        received = b""
        while b"\r\n\r\n" not in received:
            octets = self.connection.recv(65536)
            assert octets, f"the connection has ended after {received!r}"
            received += octets
        head, _, rest = received.partition(b"\r\n\r\n")
        return head + b"\r\n\r\n", rest

    def sends(self, *octets: bytes) -> None:
        """Send octets, each item on its own."""
        for part in octets:
            self.connection.sendall(self.preface + part)
            self.preface = b""

    def frame(self) -> Frame | None:
        """The next frame; None when the connection has ended in order."""
        while not self._frames:
            octets = self.connection.recv(262144)
            if not octets:
                assert not self._reader.octets, "it ended within a frame"
                return None
            self._frames += self._reader.feed(octets)
        return self._frames.pop(0)

    def echoed(self, text: bytes) -> None:
        """Send a text to an application that sends it back."""
        self.sends(frame(TEXT, text))
        assert self.frame() == Frame(TEXT, text)
