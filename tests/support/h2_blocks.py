"""Field sections of HTTP/2 requests: good ones, and some whose blocks cost much to decode."""

from __future__ import annotations

from typing import Any

from hpack import Encoder

from tests.support.h2_frames import raw

HEADERS, CONTINUATION, FRAME = 1, 9, 16384

Pairs = list[tuple[bytes, bytes]]
GET: Pairs = [
    (b":method", b"GET"),
    (b":scheme", b"http"),
    (b":authority", b"x"),
    (b":path", b"/"),
]
"""A request, as pseudo-fields."""


def asking(method: bytes = b"GET", path: bytes = b"/", *fields: tuple[bytes, bytes]) -> Pairs:
    """The field section of a request."""
    return [(b":method", method), *GET[1:3], (b":path", path), *fields]


def block(*fields: tuple[bytes, bytes], base: Any = GET) -> bytes:
    """A field section, without the dynamic table."""
    encoder = Encoder()
    encoder.header_table_size = 0
    return encoder.encode([*base, *fields])[1:]  # without the change of the table's size


BLOCK = block()


def sectioned(number: int, octets: bytes) -> bytes:
    """A field section in as many frames as it takes."""
    parts = [octets[at : at + FRAME] for at in range(0, len(octets), FRAME)]
    frames = [raw(HEADERS if not at else CONTINUATION, 0, number, p) for at, p in enumerate(parts)]
    last = bytearray(frames[-1])
    last[4] |= 4
    first = bytearray(last if len(frames) == 1 else frames[0])
    first[4] |= 1
    return bytes(first) + b"".join(frames[1:-1]) + bytes(last if len(frames) > 1 else b"")


TINY = block() + b"\0\1a\1b" * 3000
CODED = block() + b"\0" + Encoder().encode([(b"a", b"a" * 90_000)])[1:]
CRUMBS = b"\x3f\xe1\x1f" + block() + b"\x40\x06cookie\1a" + b"\xbe" * 3000
