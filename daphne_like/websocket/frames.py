"""Builds frame heads and finds the end of frames (RFC 6455, 5.2). No connection, no state."""

from __future__ import annotations

CONTINUATION, TEXT, BINARY, CLOSE = 0, 1, 2, 8
FINAL = 0x80
COMPRESSED = 0x40
MASKED = 0x80
USUAL = (FINAL | TEXT, FINAL | BINARY)
"""First octets of data frames that hold a complete message."""
USUAL_COMPRESSED = (*USUAL, *(first | COMPRESSED for first in USUAL))
CONTROL = range(FINAL | CLOSE, FINAL | 0x0B)
"""First octets of valid close, ping and pong frames."""
MAX_CONTROL_PAYLOAD = 125
"""Maximum octets in the payload of a control frame; a greater length is an extended one."""

SHORT_HEADS = {
    first: [bytes((first, size)) for size in range(MAX_CONTROL_PAYLOAD + 1)]
    for first in USUAL_COMPRESSED
}
"""Heads of short messages, by first octet and size."""


def frame_end(octets: bytes, start: int) -> int | None:
    """Return the index of the end of a frame; None if its length has not arrived.

    Args:
        octets: received octets, at least one from `start` on. The frame may end after them.
        start: the index of the first octet of the frame.
    """
    size = len(octets)
    if size - start < 2:
        return None
    second = octets[start + 1]
    head = start + (6 if second & MASKED else 2)
    length = second & 0x7F
    if length > MAX_CONTROL_PAYLOAD:
        extended = 2 if length == 126 else 8
        if size - start < 2 + extended:
            return None
        length = int.from_bytes(octets[start + 2 : start + 2 + extended], "big")
        head += extended
    return head + length


def frame_head(first: int, size: int) -> bytes:
    """Return the head of an unmasked frame.

    Args:
        first: the first octet: FIN, RSV1 and opcode.
        size: octets of payload.
    """
    if size <= MAX_CONTROL_PAYLOAD:
        return bytes((first, size))
    if size < 65536:
        return bytes((first, 126, size >> 8, size & 0xFF))
    return bytes((first, 127)) + size.to_bytes(8, "big")
