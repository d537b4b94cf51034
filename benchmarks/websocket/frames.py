"""The octets that a client sends and reads: opening handshake, frames, compressed payloads.

The octets are built once and sent often, so nonce and masking key are constants: no server checks
their randomness. The reader accepts messages without a mask and refuses fragments, because no
contender sends them.
"""

from __future__ import annotations

import base64
import hashlib
import struct
import zlib
from dataclasses import dataclass
from enum import IntEnum

HOST = "127.0.0.1"
KEY = base64.b64encode(b"sixteen  octets!").decode()
_GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
ACCEPT = base64.b64encode(hashlib.sha1((KEY + _GUID).encode()).digest()).decode()
"""The accept value for :data:`KEY` (RFC 6455, 4.2.2)."""

DEFLATE = "permessage-deflate"
OFFER = f"{DEFLATE}; client_max_window_bits"
"""The offer of Chromium and Firefox."""
# Smaller than any window a contender asks for; messages are about 1 KiB.
WINDOW_BITS = 10
_TAIL = b"\x00\x00\xff\xff"

_MASK = b"\x37\xfa\x21\x3d"
_FIN, _RSV1, _OPCODE, _MASKED, _LENGTH = 0x80, 0x40, 0x0F, 0x80, 0x7F
NORMAL_CLOSURE = struct.pack("!H", 1000)


class Opcode(IntEnum):
    """Frame types (RFC 6455, 5.2)."""

    CONTINUATION = 0x0
    TEXT = 0x1
    BINARY = 0x2
    CLOSE = 0x8
    PING = 0x9
    PONG = 0xA


@dataclass(frozen=True)
class Frame:
    """A whole message or control frame."""

    opcode: Opcode
    payload: bytes
    rsv1: bool = False
    """The payload is compressed (RFC 7692, 7.2.3)."""


def opening(target: str, port: int, deflate: bool) -> bytes:
    """Return the opening handshake's request."""
    lines = [
        f"GET {target} HTTP/1.1",
        f"Host: {HOST}:{port}",
        "Upgrade: websocket",
        "Connection: Upgrade",
        f"Sec-WebSocket-Key: {KEY}",
        "Sec-WebSocket-Version: 13",
    ]
    if deflate:
        lines.append(f"Sec-WebSocket-Extensions: {OFFER}")
    return "\r\n".join([*lines, "", ""]).encode()


def response_fields(head: bytes) -> tuple[str, dict[str, str]]:
    """Split a response head into its status line and its fields, with names in lower case."""
    status, *lines = head.decode("latin-1").split("\r\n")
    pairs = (line.partition(":") for line in lines if line)
    return status, {name.lower(): value.strip() for name, _, value in pairs}


def encoded(frame: Frame) -> bytes:
    """Return a frame as a client sends it: masked, not fragmented."""
    first = _FIN | (_RSV1 if frame.rsv1 else 0) | frame.opcode
    length = len(frame.payload)
    if length < 126:
        head = struct.pack("!BB", first, _MASKED | length)
    elif length < 1 << 16:
        head = struct.pack("!BBH", first, _MASKED | 126, length)
    else:
        head = struct.pack("!BBQ", first, _MASKED | 127, length)
    return head + _MASK + _masked(frame.payload)


def _masked(payload: bytes) -> bytes:
    mask = (_MASK * (len(payload) // 4 + 1))[: len(payload)]
    mixed = int.from_bytes(payload, "big") ^ int.from_bytes(mask, "big")
    return mixed.to_bytes(len(payload), "big")


def decoded(octets: bytes) -> tuple[Frame, int] | None:
    """Return the first frame of a server's octets, and its length; None if it is incomplete.

    Raises:
        ValueError: the frame is masked or a fragment.
    """
    if len(octets) < 2:
        return None
    first, second = octets[0], octets[1]
    if second & _MASKED or not first & _FIN:
        raise ValueError("frame: expected a whole one without mask")
    begin, length = 2, second & _LENGTH
    if length >= 126:
        form = "!H" if length == 126 else "!Q"
        begin += struct.calcsize(form)
        if len(octets) < begin:
            return None
        (length,) = struct.unpack_from(form, octets, 2)
    end = begin + length
    if len(octets) < end:
        return None
    return Frame(Opcode(first & _OPCODE), octets[begin:end], bool(first & _RSV1)), end


def message(content: str | bytes, deflate: bool) -> Frame:
    """Return a message as a frame.

    A compressed message does not depend on previous ones, so it can be sent repeatedly, whether or
    not the server keeps its compression context.
    """
    opcode, payload = Opcode.BINARY, content
    if isinstance(payload, str):
        opcode, payload = Opcode.TEXT, payload.encode()
    if not deflate:
        return Frame(opcode, payload)
    compressor = zlib.compressobj(wbits=-WINDOW_BITS)
    octets = compressor.compress(payload) + compressor.flush(zlib.Z_SYNC_FLUSH)
    return Frame(opcode, octets.removesuffix(_TAIL), rsv1=True)


class Inflater:
    """Decodes a server's messages; each compressed message is the context of the next one."""

    def __init__(self) -> None:
        self._decompressor = zlib.decompressobj(wbits=-zlib.MAX_WBITS)

    def content(self, frame: Frame) -> str | bytes:
        """Return a data frame's content."""
        payload = frame.payload
        if frame.rsv1:
            payload = self._decompressor.decompress(payload + _TAIL)
        return payload.decode() if frame.opcode is Opcode.TEXT else payload
