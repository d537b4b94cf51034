"""Takes the mask off a frame's payload (RFC 6455, 5.3), by whatever is fastest for its size."""

from __future__ import annotations

try:
    # autobahn's native code (from 25.9 on). Called directly it costs 1.3 µs for 8 KiB; autobahn's
    # own wrapper 3.5 (26.10). It is private; without it the arithmetic below does all.
    from _nvx_xormasker import ffi, lib
except ImportError:
    lib = None

SHORT = 128
"""Octets up to which the arithmetic of integers is faster than a call into foreign code."""


def unmask(masked: bytes, mask: bytes) -> bytes | bytearray:
    """The octets of a payload.

    Args:
        masked: the payload as it came.
        mask: four octets.
    """
    size = len(masked)
    if size <= SHORT or lib is None:
        repeated = (mask * ((size >> 2) + 1))[:size]
        return (int.from_bytes(masked, "little") ^ int.from_bytes(repeated, "little")).to_bytes(
            size, "little"
        )
    payload = bytearray(masked)
    masker = lib.nvx_xormask_new(mask)
    lib.nvx_xormask_process(masker, ffi.from_buffer("uint8_t[]", payload), size)
    lib.nvx_xormask_free(masker)
    return payload


class Masker:
    """The mask of a payload that comes in parts, as autobahn's state machine wants it.

    Its own for autobahn before 25.9 are written in Python, octet by octet.
    """

    __slots__ = ("_mask", "_pointer")

    def __init__(self, mask: bytes) -> None:
        self._mask = mask
        self._pointer = 0

    def pointer(self) -> int:
        """Octets so far."""
        return self._pointer

    def process(self, part: bytes) -> bytes:
        """The next octets of the payload."""
        turned = self._pointer & 3
        self._pointer += len(part)
        return bytes(unmask(part, self._mask[turned:] + self._mask[:turned]))
