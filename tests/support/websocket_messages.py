"""Messages in fragments and compressed, made by zlib itself."""

from __future__ import annotations

import zlib

from tests.support.websocket_opcodes import BINARY, CONTINUATION
from tests.support.websocket_peer import frame

MEBI = 1 << 20


def deflated(octets: bytes) -> bytes:
    """The payload of a compressed message (RFC 7692, 7.2.1)."""
    compressor = zlib.compressobj(9, zlib.DEFLATED, -15)
    return (compressor.compress(octets) + compressor.flush(zlib.Z_SYNC_FLUSH))[:-4]


def compressed(octets: bytes) -> bytes:
    """A compressed binary message in one frame."""
    return frame(BINARY, deflated(octets), rsv=4)


def fragments(octets: bytes, number: int) -> list[bytes]:
    """A binary message in so many frames."""
    size = len(octets) // number
    parts = [octets[at * size : (at + 1) * size] for at in range(number - 1)]
    parts.append(octets[(number - 1) * size :])
    return [
        frame(CONTINUATION if at else BINARY, part, fin=at == number - 1)
        for at, part in enumerate(parts)
    ]
