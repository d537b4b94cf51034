"""Frames of RFC 9113 that a client sends, good and bad."""

from __future__ import annotations

from hyperframe.frame import (
    DataFrame,
    GoAwayFrame,
    PingFrame,
    RstStreamFrame,
    SettingsFrame,
    WindowUpdateFrame,
)

from tests.support.h2_codes import CANCEL, NO_ERROR

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


def raw(kind: int, flags: int, number: int, body: bytes = b"", size: int | None = None) -> bytes:
    """A frame as nobody should write one.

    Args:
        size: that it says it has.
    """
    length = len(body) if size is None else size
    return length.to_bytes(3, "big") + bytes((kind, flags)) + number.to_bytes(4, "big") + body


def settings(values: dict[int, int] | None = None, *, ack: bool = False) -> bytes:
    """SETTINGS."""
    return SettingsFrame(0, values or {}, flags=["ACK"] if ack else []).serialize()


def data(
    number: int, octets: bytes = b"", *, ends: bool = False, padding: int | None = None
) -> bytes:
    """DATA."""
    flags = ["END_STREAM"] if ends else []
    if padding is None:
        return DataFrame(number, octets, flags=flags).serialize()
    return DataFrame(number, octets, pad_length=padding, flags=[*flags, "PADDED"]).serialize()


def reset(number: int, code: int = CANCEL) -> bytes:
    """RST_STREAM."""
    return RstStreamFrame(number, code).serialize()


def window(number: int, increment: int) -> bytes:
    """WINDOW_UPDATE."""
    return WindowUpdateFrame(number, increment).serialize()


def ping(octets: bytes = b"12345678", *, ack: bool = False) -> bytes:
    """PING."""
    return PingFrame(0, octets, flags=["ACK"] if ack else []).serialize()


def goaway(code: int = NO_ERROR, last: int = 0) -> bytes:
    """GOAWAY."""
    return GoAwayFrame(0, last, code).serialize()


def priority_update(number: int, value: bytes) -> bytes:
    """PRIORITY_UPDATE (RFC 9218, 7.1)."""
    return raw(0x10, 0, 0, number.to_bytes(4, "big") + value)
